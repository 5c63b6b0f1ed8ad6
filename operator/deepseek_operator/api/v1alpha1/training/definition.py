"""DeepSeekTraining as the API server is told of it: columns, and which edits are let in once a training has started.

A rule over status costs no webhook and can't be bypassed by one that is down.
"""

from deepseek_operator.api.base import rule, together
from deepseek_operator.api.definition import AGE, SHARED_EXAMPLES, Column, Definition
from deepseek_operator.api.resource import Family, of_kind
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining

TRAINING = of_kind("DeepSeekTraining", "deepseektrainings", Family("training", "train", ends_loose_pods=True))

_COLUMNS = (
    Column("PHASE", ".status.phase", "Where the training is in its life."),
    Column("READY", ".status.summary.ready", "True while all workers run, and once complete."),
    Column("REASON", ".status.summary.reason", "Why it is ready or not, and what stands in the way."),
    Column("WORKERS", ".status.summary.workers", "Pods that run or have succeeded, of the wanted ones."),
    Column("PROGRESS", ".status.summary.progress", "Steps that are done, of all."),
    Column("ETA", ".status.summary.eta", "Estimated time until the last step."),
    Column("LOSS", ".status.progress.loss", "Last training loss that was reported."),
    Column("RESTARTS", ".status.restarts", "Crashes that were answered by another attempt.", "integer"),
    AGE,
    Column("STEP", ".status.progress.step", "Last optimizer step that was reported.", "integer", wide=True),
    Column("ATTEMPT", ".status.attempt.number", "Number of the current attempt.", "integer", wide=True),
    Column("TOKENS/S", ".status.progress.tokensPerSecond", "Training throughput of all workers.", wide=True),
    Column("GRAD-NORM", ".status.progress.gradientNorm", "Norm of the last gradients, before clipping.", wide=True),
    Column("MFU", ".status.progress.mfu", "Utilisation of the devices' peak, 0 to 1.", wide=True),
    Column("DEVICE-MEM", ".status.progress.deviceMemory", "Most memory of one device so far.", wide=True),
    Column("LAST-CKPT", ".status.lastCheckpoint.step", "Step of the newest checkpoint.", "integer", wide=True),
    Column("MODEL", ".spec.model.name", "Name of the model.", wide=True),
    Column("GPUS", ".status.plan.gpus", "Devices of the training, under a profile.", "integer", wide=True),
    Column("LAYOUT", ".status.plan.layout", "How the model lies on them.", wide=True),
)


def _equal(path: str) -> str:
    """The field is as it was: absent then and now, or equal.

    Every object above it has a default and is always present, so only the field itself may be absent.
    """
    return f"(has(self.{path}) ? has(oldSelf.{path}) && self.{path} == oldSelf.{path} : !has(oldSelf.{path}))"


_HAS_STARTED = "has(oldSelf.status) && has(oldSelf.status.attempt)"
# The same as kinds.training.anew.is_unlearnt, which a test holds: no attempt has written, and the one under way does not
# run yet.
IS_UNLEARNT = (
    "has(oldSelf.status.volume) && has(oldSelf.status.volume.used) && !oldSelf.status.volume.used && "
    "!has(oldSelf.status.lastCheckpoint) && !(has(oldSelf.status.exports) && size(oldSelf.status.exports) > 0) && "
    "(has(oldSelf.status.attempt.verdict) || !has(oldSelf.status.attempt.runningAt)) && "
    "!(has(oldSelf.status.result) && oldSelf.status.result == 'Complete')"
)
_GO_ON = "create a new DeepSeekTraining with checkpoints.resume.from to go on from its checkpoints"
_FIXED_ONCE_STARTED = (
    ("spec.objective", _GO_ON),
    ("spec.model", _GO_ON),
    ("spec.initFrom", _GO_ON),
    ("spec.method", _GO_ON),
    ("spec.datasets", _GO_ON),
    ("spec.chatTemplate", _GO_ON),
    ("spec.lossOn", _GO_ON),
    ("spec.data", _GO_ON),
    ("spec.hyperparameters", _GO_ON),
    ("spec.checkpoints.resume", _GO_ON),
    ("spec.checkpoints.volume.claimName", "create a new DeepSeekTraining on the other claim"),
    ("spec.checkpoints.volume.subPath", "create a new DeepSeekTraining on the other folder"),
)
_FIXED_ONCE_MADE = (
    ("spec.checkpoints.volume.storageClassName", "create a new DeepSeekTraining with the other storage class"),
    ("spec.checkpoints.volume.accessMode", "create a new DeepSeekTraining with the other access mode"),
)

# What the operator asks for where no size is written (CheckpointVolume.size).
_DEFAULT_SIZE = "10Gi"

_ORIGIN = "{training: first}"


# Whoever writes the spec changes no status, and whoever writes the status no spec. So where one of these differs, as in nearly
# every status that the operator writes, no field of the spec need be compared.
_IS_A_STATUS = (
    "self.status.?progress.?step != oldSelf.status.?progress.?step || "
    "(has(self.status.conditions) && has(oldSelf.status.conditions) && self.status.conditions != oldSelf.status.conditions)"
)


def _edit_rule() -> dict[str, str]:
    """One rule over all that is fixed, since the server judges it whenever a status is written (see `together`)."""
    fixed = ((f"{_equal(path)} || ({IS_UNLEARNT})", path, remedy) for path, remedy in _FIXED_ONCE_STARTED)
    made = ((_equal(path), path, remedy) for path, remedy in _FIXED_ONCE_MADE)
    size = "spec.checkpoints.volume.size"
    new, old = (f"quantity(has({at}.{size}) ? string({at}.{size}) : '{_DEFAULT_SIZE}')" for at in ("self", "oldSelf"))
    return together(
        f"!({_HAS_STARTED}) || {_IS_A_STATUS}",
        *(
            rule(holds, f"{path} is fixed once the training has started: {remedy}")
            for holds, path, remedy in (*fixed, *made)
        ),
        rule(
            f"{_equal(size)} || {new}.compareTo({old}) >= 0",
            f"{size} may only grow once the training has started ({_DEFAULT_SIZE} where none is written): write the old "
            "size or more",
        ),
        at=".spec",
    )


DEFINITION = Definition(
    TRAINING,
    DeepSeekTraining,
    "dst",
    _COLUMNS,
    (".status.phase", ".spec.suspend"),
    (_edit_rule(),),
    examples={
        **SHARED_EXAMPLES,
        "spec.nodes": "{count: 2}",
        "spec.method": "{type: Full}",
        "spec.initFrom": _ORIGIN,
        "spec.initFrom.source": "{uri: pvc://checkpoints/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f}",
        "spec.checkpoints.volume": "{claimName: checkpoints}",
        "spec.checkpoints.resume": f"{{from: {_ORIGIN}}}",
        "spec.checkpoints.resume.from": _ORIGIN,
    },
)
