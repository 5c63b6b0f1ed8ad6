"""What the pods say of themselves: termination messages and rank 0's progress. Untrusted, bounded, never relied on.

A pod that lies harms its own training only: the numbers are shown, and a newer checkpoint resets its own backoff.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic.alias_generators import to_camel

from deepseek_operator.api.v1alpha1.training.progress import (
    BestCheckpoint,
    DataStatus,
    DroppedStatus,
    InPlaceRestartStatus,
    LastCheckpoint,
    OwnMetric,
    PreflightStatus,
    PreparedStatus,
    RollbackStatus,
    StragglerStatus,
)
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.workloads.batch.gang import rank_of
from deepseek_operator.workloads.last_words import document, tail
from deepseek_operator.workloads.pod.state import terminated

MAX_STEP = 10**9
MAX_TOKENS = 10**15
MAX_BYTES = 2**53
MAX_EXPORTS = 128
MAX_CAUSE = 512
MAX_METRICS = 16
_USUAL = ("evalLoss", "accuracy")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Report:
    """One pod's last words, or what rank 0 says while it runs.

    Attributes:
        message: at most ten lines and 1,024 characters, printable.
        step, first_step: the last optimizer step, and the one that the attempt began with.
        loss, gradient_norm, eval_loss, accuracy: as of `step`, decimals as a status shows them.
        metrics: of the user's own, by name; `evaluation_failure` says why the last evaluation has none.
        latest, best: the checkpoints that it named; None when it named none.
        exports: steps, ascending.
        data: what was read of the datasets.
        rollbacks: how often it went back, and the last time from where to where.
        in_place_restarts: how often its processes started again in their pods, and why the last time.
        preflight: what was tried first, and passed.
        straggler: who keeps the others waiting.
        stopped_early: the step that the last evaluations did not better, and how many those were; None for another end.
        diverged: True when the trainer says that its numbers are no longer finite.
        is_ours: it has the form that the launcher writes.
    """

    message: str = ""
    step: int | None = None
    first_step: int | None = None
    loss: str | None = None
    gradient_norm: str | None = None
    eval_loss: str | None = None
    accuracy: str | None = None
    metrics: tuple[OwnMetric, ...] = ()
    evaluation_failure: str | None = None
    latest: LastCheckpoint | None = None
    best: BestCheckpoint | None = None
    exports: tuple[int, ...] = ()
    data: DataStatus | None = None
    rollbacks: RollbackStatus | None = None
    in_place_restarts: InPlaceRestartStatus | None = None
    straggler: StragglerStatus | None = None
    preflight: PreflightStatus | None = None
    stopped_early: tuple[int, int] | None = None
    diverged: bool = False
    is_ours: bool = False

    @property
    def names_no_checkpoint(self) -> bool:
        """True when the launcher says so: it looked at the volume before it spoke."""
        return self.is_ours and not self.exports and self.latest is None and self.best is None and not self.step


def report_of(pod: Manifest) -> Report | None:
    """The termination message of the pod's container; None while it runs or when it left none."""
    state = terminated(pod, TRAINER.container)
    text = str(state.get("message") or "") if state is not None else ""
    if not text:
        return None
    said = document(text)
    # Not our form: a foreign trainer's own words, or the tail of its log.
    return from_mapping(said) if said is not None else Report(message=tail(text))


def from_mapping(said: Mapping[str, object]) -> Report:
    """The fields that have the contract's form; any other counts as unknown."""
    exports, metrics = said.get("exports"), said.get("metrics")
    measured: Mapping[str, object] = metrics if isinstance(metrics, Mapping) else {}
    steps = {step for value in exports if (step := whole(value)) is not None} if isinstance(exports, list) else set()
    return Report(
        message=tail(str(said.get("message") or "")),
        step=whole(said.get("step")),
        first_step=whole(said.get("firstStep")),
        loss=number(said.get("loss")),
        gradient_norm=number(said.get("gradientNorm")),
        eval_loss=number(measured.get("evalLoss")),
        accuracy=number(measured.get("accuracy")),
        metrics=own_metrics(measured),
        evaluation_failure=failure(said.get("evaluationFailure")),
        latest=_latest(said.get("latest")),
        best=_best(said.get("best")),
        exports=tuple(sorted(steps)[-MAX_EXPORTS:]),
        data=_data(said.get("data")),
        rollbacks=_rollbacks(said.get("rollbacks")),
        in_place_restarts=_in_place_restarts(said.get("inPlaceRestarts")),
        straggler=_straggler(said.get("straggler")),
        preflight=_preflight(said.get("preflight")),
        stopped_early=_stopped_early(said.get("stoppedEarly")),
        diverged=said.get("result") == "Diverged",
        is_ours="formatVersion" in said,
    )


def reports(pods: Iterable[Manifest]) -> tuple[Report, ...]:
    """What the ended pods left, rank 0 first."""
    ranked = sorted(pods, key=lambda pod: (rank_of(pod) or 0, pod["metadata"]["name"]))
    return tuple(report for pod in ranked if (report := report_of(pod)) is not None)


def whole(value: object, most: int = MAX_STEP) -> int | None:
    """A step or a count: a whole number of 0 … `most`; None for anything else."""
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    return value if ok and isinstance(value, int) else None


def number(value: object) -> str | None:
    """A finite number with four digits, a large one whole, as text (a status holds no floats); None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def own_metrics(said: object) -> tuple[OwnMetric, ...]:
    """The numbers that are a user's own, by name, at most MAX_METRICS."""
    named = said.items() if isinstance(said, Mapping) else ()
    found = [
        OwnMetric(name=name, value=shown)
        for name, value in sorted((str(name), value) for name, value in named)
        if name not in _USUAL and _METRIC.fullmatch(name) and (shown := number(value)) is not None
    ]
    return tuple(found[:MAX_METRICS])


def failure(said: object) -> str | None:
    """`step 40: it took longer than …`; None for what no trainer says."""
    if not isinstance(said, Mapping) or (step := whole(said.get("step"))) is None:
        return None
    return f"step {step}: {tail(str(said.get('message') or ''))}"


def memory(value: object) -> str | None:
    """Bytes as people read them, `61.3Gi`; None for what is no size."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1 << 60
    return f"{value / GIB:.3g}Gi" if known and isinstance(value, int | float) else None


def _latest(said: object) -> LastCheckpoint | None:
    if not isinstance(said, Mapping) or (step := whole(said.get("step"))) is None:
        return None
    return LastCheckpoint(
        step=step,
        time=_word(said.get("time")),
        size_bytes=whole(said.get("bytes"), MAX_BYTES) or None,
        seconds=number(said.get("seconds")),
        blocked_seconds=number(said.get("blockedSeconds")),
        blocked_share=number(said.get("blockedShare")),
    )


def _best(said: object) -> BestCheckpoint | None:
    if not isinstance(said, Mapping) or (step := whole(said.get("step"))) is None:
        return None
    return BestCheckpoint(step=step, metric=_word(said.get("metric")), value=number(said.get("value")))


def _data(said: object) -> DataStatus | None:
    if not isinstance(said, Mapping) or (examples := whole(said.get("examples"))) is None:
        return None
    dropped, cut, longest = (whole(said.get(name)) or 0 for name in ("dropped", "cut", "longest"))
    return DataStatus(
        examples=examples, dropped=dropped, cut=cut, longest=longest, prepared=_prepared(said.get("prepared"))
    )


def _prepared(said: object) -> PreparedStatus | None:
    if not isinstance(said, Mapping) or (read := whole(said.get("read"))) is None:
        return None
    digest, tokens, dropped = said.get("digest"), said.get("tokens"), said.get("dropped")
    reasons = {to_camel(name): name for name in DroppedStatus.model_fields}
    counts = {
        reasons[name]: count
        for name, value in (dropped.items() if isinstance(dropped, Mapping) else ())
        if name in reasons and (count := whole(value)) is not None
    }
    return PreparedStatus(
        digest=digest if isinstance(digest, str) and _DIGEST.fullmatch(digest) else "",
        read=read,
        sequences=whole(said.get("sequences")) or 0,
        tokens=whole(tokens, MAX_TOKENS) or 0,
        dropped=DroppedStatus(**counts),
    )


def _rollbacks(said: object) -> RollbackStatus | None:
    if not isinstance(said, Mapping) or not (count := whole(said.get("count"))):
        return None
    return RollbackStatus(count=count, **{name: whole(said.get(name)) for name in ("step", "to", "skipped")})


def _in_place_restarts(said: object) -> InPlaceRestartStatus | None:
    if not isinstance(said, Mapping) or not (count := whole(said.get("count"))):
        return None
    cause = said.get("cause")
    text = tail(cause)[:MAX_CAUSE] if isinstance(cause, str) else ""
    return InPlaceRestartStatus(count=count, step=whole(said.get("step")), cause=text)


def _straggler(said: object) -> StragglerStatus | None:
    if not isinstance(said, Mapping) or (rank := whole(said.get("rank"))) is None:
        return None
    factor = number(said.get("factor"))
    node = said.get("node")
    if factor is None:
        return None
    return StragglerStatus(rank=rank, node=tail(node)[:253] if isinstance(node, str) else "", factor=factor)


def _preflight(said: object) -> PreflightStatus | None:
    if not isinstance(said, Mapping) or (seconds := number(said.get("seconds"))) is None:
        return None
    node = said.get("node")
    return PreflightStatus(
        seconds=seconds,
        collective_megabytes_per_second=number(said.get("collectiveMegabytesPerSecond")),
        write_megabytes_per_second=number(said.get("writeMegabytesPerSecond")),
        read_megabytes_per_second=number(said.get("readMegabytesPerSecond")),
        node=tail(node)[:253] if isinstance(node, str) else "",
    )


def _stopped_early(said: object) -> tuple[int, int] | None:
    if not isinstance(said, Mapping):
        return None
    best, evaluations = whole(said.get("best")), whole(said.get("evaluations"))
    return (best, evaluations) if best is not None and evaluations else None


def _word(value: object) -> str | None:
    return tail(value)[:64] if isinstance(value, str) else None
