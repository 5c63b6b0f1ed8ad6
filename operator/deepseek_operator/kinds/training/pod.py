"""The pod of a training: one container `trainer`, restricted, with the contract in its environment.

Everything that the container may rely on is here: mounts, variables, limits. The Job around it is in `job`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.checkpoints import BestMetric
from deepseek_operator.api.v1alpha1.training.data import Dataset
from deepseek_operator.api.v1alpha1.training.failures import FailurePolicy
from deepseek_operator.api.v1alpha1.training.method import TrainingMethod
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingPlanStatus, TrainingStatus
from deepseek_operator.api.v1alpha1.training.trainer import Trainer
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.ownership import JOB_UID
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.devices.profiles import pod_needs
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.kinds.training import ancestry, evaluator, tracking, work
from deepseek_operator.kinds.training.command import DATASETS_PATH, MODEL_PATH, Started
from deepseek_operator.kinds.training.in_place import most
from deepseek_operator.kinds.training.installed import FILES_MOUNT, FILES_VOLUME, installer, launched, told
from deepseek_operator.kinds.training.names import training_job, training_service
from deepseek_operator.kinds.training.program import TRAINER
from deepseek_operator.kinds.training.service import LAUNCHER_PORT, PROGRESS_PORT, PROGRESS_PORT_NAME, RENDEZVOUS_PORT
from deepseek_operator.kinds.training.settings import experts_over, grace_s, is_hybrid, processes_per_node
from deepseek_operator.kinds.training.sources import reading_s
from deepseek_operator.workloads.batch.gang import COMPLETION_INDEX
from deepseek_operator.workloads.pod import template as pod_template
from deepseek_operator.workloads.pod.devices import on_devices
from deepseek_operator.workloads.pod.resources import SHARED_MEMORY_VOLUME, resources, shared_memory, whole_cores
from deepseek_operator.workloads.pod.security import container_security

CHECKPOINTS = "/checkpoints"
INIT = "/init"
DEFAULT_EVERY_SECONDS = 600
PREFLIGHT_S = 120
"""Where nobody writes a limit: far above what a healthy gang needs, far below a start timeout."""

_OWN_VOLUMES = (SHARED_MEMORY_VOLUME, "tmp", evaluator.VOLUME)
"""What the trainer's container does not read, but works with."""

EnvVar = dict[str, Any]
Mount = dict[str, Any]


@dataclass(frozen=True)
class Attempt:
    """What a new attempt's pods are made from: recorded facts, nothing that is still to be found out.

    `foreign` is what a trainer of another's making runs; None for ours, and for a program of the user's.
    """

    owner: DeepSeekTraining
    status: TrainingStatus
    number: int
    claim_name: str
    foreign: Started | None = None

    @property
    def spec(self) -> TrainingSpec:
        """The spec that the attempt embodies."""
        return self.owner.spec

    @property
    def job(self) -> str:
        """Name of the attempt's Job."""
        return training_job(self.owner.metadata.name, self.owner.metadata.uid, self.number)

    @property
    def plan(self) -> TrainingPlanStatus | None:
        """What was decided about its devices; None without a profile."""
        return self.status.plan if profiled(self.spec.accelerator) is not None else None


def is_told(trainer: Trainer) -> bool:
    """True when what is trained comes from the spec, and a launcher of ours speaks for the trainer, whoever made it."""
    return TRAINERS[trainer.type].start is not Start.WRITTEN


def is_ours(trainer: Trainer) -> bool:
    """True when the built-in trainer runs, in whichever image."""
    return TRAINERS[trainer.type].start is Start.OURS


def pod_spec(attempt: Attempt, configuration: Configuration) -> dict[str, Any]:
    """spec.template.spec of the Job."""
    spec = attempt.spec
    volumes = _volumes(attempt)
    foreign = attempt.foreign
    mounted = [
        *({"name": name, "persistentVolumeClaim": {"claimName": claim}} for claim, name in volumes.items()),
        shared_memory(spec.trainer.resources),
        {"name": "tmp", "emptyDir": {}},
        *([dict(FILES_VOLUME)] if foreign is not None else []),
        *([evaluator.volume()] if spec.evaluation_image else []),
    ]
    return {
        "restartPolicy": "Never",
        "subdomain": training_service(attempt.owner.metadata.name),
        **_before(attempt, configuration, volumes),
        **pod_template.pod_spec(
            spec.trainer.pod, grace_s(spec), [_container(attempt, configuration, volumes)], mounted
        ),
    }


def _before(attempt: Attempt, configuration: Configuration, volumes: Mapping[str, str]) -> dict[str, Any]:
    """The containers that begin before the trainer's; nothing where there are none."""
    foreign, evaluation, image = attempt.foreign, attempt.spec.evaluation, attempt.spec.evaluation_image
    wanted = [] if foreign is None else [installer(attempt.spec.trainer, foreign, configuration)]
    if evaluation is not None and image is not None:
        read = [mount for mount in _mounts(attempt, volumes) if mount["name"] not in _OWN_VOLUMES]
        wanted.append(evaluator.sidecar(evaluation, image, read, configuration))
    return {"initContainers": wanted} if wanted else {}


def placed(template: Manifest, attempt: Attempt, configuration: Configuration) -> Manifest:
    """The template on the devices of the attempt's profile; as it is without one."""
    if attempt.plan is None or attempt.spec.accelerator is None:
        return template
    profile = configuration.profiles.resolve(attempt.plan.profile)
    nodes = attempt.spec.nodes.number
    needs = pod_needs(profile, attempt.spec.accelerator.devices, nodes)
    keeps = attempt.spec.trainer.resources.shared_memory is not None
    return on_devices(template, needs, profile.variables(attempt.spec.trainer.type, nodes), keeps)


def _container(attempt: Attempt, configuration: Configuration, volumes: Mapping[str, str]) -> dict[str, Any]:
    trainer, foreign = attempt.spec.trainer, attempt.foreign
    command = TRAINERS[trainer.type].command or trainer.command or ()
    env, mounts = _environment(attempt, configuration), _mounts(attempt, volumes)
    if foreign is not None:
        command, env, mounts = launched(foreign), told(foreign, env), [*mounts, dict(FILES_MOUNT)]
    wanted: dict[str, Any] = {
        "name": TRAINER.container,
        "image": foreign.image if foreign is not None else trainer.image or configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": command,
        "env": env,
        "ports": [{"name": PROGRESS_PORT_NAME, "containerPort": PROGRESS_PORT, "protocol": "TCP"}],
        "resources": resources(trainer.resources, attempt.spec.accelerator),
        "securityContext": {
            **container_security(),
            # A foreign image may write anywhere of its own; the built-in trainer needs /tmp and its mounts only.
            "readOnlyRootFilesystem": is_ours(trainer) and trainer.image is None,
        },
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if trainer.args and foreign is None:
        wanted["args"] = list(trainer.args)
    return wanted


def _volumes(attempt: Attempt) -> dict[str, str]:
    """Pod volume by claim: every claim once, however many mounts it has."""
    spec = attempt.spec
    others = {
        claim
        for claim in (_model_claim(spec), _init_claim(spec), *(one.source.claim for one in spec.datasets))
        if claim
    }
    names = {attempt.claim_name: "checkpoints"}
    for index, claim in enumerate(sorted(others - {attempt.claim_name})):
        names[claim] = f"claim-{index}"
    return names


def _mounts(attempt: Attempt, volumes: Mapping[str, str]) -> list[Mount]:
    spec = attempt.spec
    mounts = [_mount("checkpoints", CHECKPOINTS, spec.checkpoints.volume.sub_path or "")]
    if spec.model.source is not None:
        mounts.append(_mount(volumes[spec.model.source.claim], MODEL_PATH, spec.model.source.path, read_only=True))
    if spec.init_from is not None and spec.init_from.source is not None:
        mounts.append(_mount(volumes[spec.init_from.source.claim], INIT, spec.init_from.source.path, read_only=True))
    for index, dataset in enumerate(spec.datasets):
        if claim := dataset.source.claim:
            mounts.append(_mount(volumes[claim], f"{DATASETS_PATH}/{index}", "", read_only=True))
    if spec.evaluation_image:
        mounts.append(evaluator.mount())
    return [*mounts, _mount(SHARED_MEMORY_VOLUME, "/dev/shm", ""), _mount("tmp", "/tmp", "")]


def _mount(name: str, path: str, sub_path: str, *, read_only: bool = False) -> Mount:
    mount: Mount = {"name": name, "mountPath": path}
    if sub_path:
        mount["subPath"] = sub_path
    if read_only:
        mount["readOnly"] = True
    return mount


def _model_claim(spec: TrainingSpec) -> str | None:
    return spec.model.source.claim if spec.model.source is not None else None


def _init_claim(spec: TrainingSpec) -> str | None:
    source = spec.init_from.source if spec.init_from is not None else None
    return source.claim if source is not None else None


def _environment(attempt: Attempt, configuration: Configuration) -> list[EnvVar]:
    """The contract's variables, with the user's own beside them: those may replace any that is not DEEPSEEK_*."""
    meta = attempt.owner.metadata
    ours = {
        variable["name"]: variable
        for variable in (
            *_identity(attempt),
            *_gang(attempt),
            *_restarts(attempt),
            *_checkpoints(attempt),
            *tracking.variables(attempt.spec.tracking, meta.namespace, meta.name, attempt.claim_name),
            *_work(attempt, configuration),
            _literal("HOME", "/tmp"),
        )
    }
    theirs = {
        variable.name: variable.to_container()
        for variable in attempt.spec.trainer.env
        if not variable.name.startswith("DEEPSEEK_")
    }
    return list({**ours, **theirs}.values())


def _identity(attempt: Attempt) -> list[EnvVar]:
    meta = attempt.owner.metadata
    return [
        _literal("DEEPSEEK_TRAINING_NAME", meta.name),
        _literal("DEEPSEEK_TRAINING_NAMESPACE", meta.namespace),
        _literal("DEEPSEEK_TRAINING_UID", meta.uid),
        _literal("DEEPSEEK_ATTEMPT", str(attempt.number)),
        _label("DEEPSEEK_JOB_UID", JOB_UID),
        _field("DEEPSEEK_POD_UID", "metadata.uid"),
        _literal("DEEPSEEK_PROGRESS_PORT", str(PROGRESS_PORT)),
        _literal("DEEPSEEK_STALL_TIMEOUT_SECONDS", str(attempt.spec.failure_policy.stall_timeout_seconds)),
        _literal("DEEPSEEK_START_TIMEOUT_SECONDS", str(_loading_s(attempt))),
        _literal("DEEPSEEK_GRACE_SECONDS", str(grace_s(attempt.spec))),
        *(
            [_literal("DEEPSEEK_CPUS", str(cores))]
            if (cores := whole_cores(attempt.spec.trainer.resources.cpu))
            else []
        ),
        # The kubelet takes $(NAME) for a variable and $$ for one dollar; a private config may hold either.
        _literal("DEEPSEEK_TRAINING_SPEC", _json(resolved_spec(attempt.spec, attempt.plan)).replace("$", "$$")),
    ]


def _loading_s(attempt: Attempt) -> int:
    """As long as is written; longer where the model was fetched, and takes longer to read."""
    spec = attempt.spec
    return max(spec.failure_policy.start_timeout_seconds, reading_s(spec.model.source, attempt.status.sources))


def _work(attempt: Attempt, configuration: Configuration) -> list[EnvVar]:
    """Of the built-in trainer under a profile."""
    if attempt.plan is None or not is_ours(attempt.spec.trainer):
        return []
    return work.variables(attempt.spec, configuration.profiles.resolve(attempt.plan.profile))


def _gang(attempt: Attempt) -> list[EnvVar]:
    spec = attempt.spec
    processes = processes_per_node(spec)
    gang = [
        _literal("DEEPSEEK_NODES", str(spec.nodes.number)),
        _label("DEEPSEEK_NODE_RANK", COMPLETION_INDEX),
        _literal("DEEPSEEK_PROCESSES_PER_NODE", str(processes)),
        _literal("MASTER_ADDR", f"{attempt.job}-0.{training_service(attempt.owner.metadata.name)}"),
        _literal("MASTER_PORT", str(RENDEZVOUS_PORT)),
    ]
    if processes == 1:
        gang += [
            _literal("WORLD_SIZE", str(spec.nodes.number)),
            _label("RANK", COMPLETION_INDEX),
            _literal("LOCAL_RANK", "0"),
        ]
    return gang


def _restarts(attempt: Attempt) -> list[EnvVar]:
    """How often processes may start again in their pods, and what a message about one of them names."""
    if not is_ours(attempt.spec.trainer):
        return []
    node, restarts = [_field("DEEPSEEK_NODE_NAME", "spec.nodeName"), *_preflight(attempt)], most(attempt.spec)
    if not restarts:
        return node
    history = attempt.status.history
    follows_crash = bool(history) and history[-1].verdict == "Crash"
    return [
        *node,
        _literal("DEEPSEEK_MAX_IN_PLACE_RESTARTS", str(restarts)),
        *([_literal("DEEPSEEK_FOLLOWS_CRASH", "1")] if follows_crash else []),
        *([_literal("DEEPSEEK_LAUNCHER_PORT", str(LAUNCHER_PORT))] if attempt.spec.nodes.number > 1 else []),
    ]


def _preflight(attempt: Attempt) -> list[EnvVar]:
    """What is tried before anything is loaded, and for how long; nothing where the spec says so."""
    policy, accelerator = attempt.spec.failure_policy, attempt.spec.accelerator
    limit_s = policy.preflight_timeout_seconds
    limit_s = PREFLIGHT_S if limit_s is None else limit_s
    if not limit_s:
        return []
    least = policy.min_volume_megabytes_per_second
    has_devices = accelerator is not None and bool(accelerator.resource or accelerator.profile)
    return [
        _literal("DEEPSEEK_PREFLIGHT_SECONDS", str(limit_s)),
        *([_literal("DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND", str(least))] if least is not None else []),
        *([_literal("DEEPSEEK_DEVICES", str(processes_per_node(attempt.spec)))] if has_devices else []),
    ]


def _checkpoints(attempt: Attempt) -> list[EnvVar]:
    policy = attempt.spec.checkpoints
    uid = attempt.owner.metadata.uid
    every = (
        _literal("DEEPSEEK_CHECKPOINT_EVERY_STEPS", str(policy.every_steps))
        if policy.every_steps is not None
        else _literal("DEEPSEEK_CHECKPOINT_EVERY_SECONDS", str(policy.every_seconds or DEFAULT_EVERY_SECONDS))
    )
    source = ancestry.resume_from(attempt.status, policy.resume.from_, uid, attempt.number)
    variables = [
        _literal("DEEPSEEK_CHECKPOINT_ROOT", f"{CHECKPOINTS}/{uid}"),
        every,
        _literal("DEEPSEEK_CHECKPOINT_KEEP_LAST", str(policy.keep_last)),
        _literal("DEEPSEEK_CHECKPOINT_KEEP_BEST", str(policy.keep_best)),
        *_best(policy.best),
        _literal("DEEPSEEK_RESUME_POLICY", policy.resume.policy),
        _literal(ancestry.ENVIRONMENT_NAME, ancestry.to_environment(attempt.status.ancestry)),
    ]
    return [*variables, _literal("DEEPSEEK_RESUME_FROM", _json(source.to_wire()))] if source else variables


def _best(best: BestMetric | None) -> list[EnvVar]:
    """What ranks checkpoints; nothing where that is the usual order."""
    if best is None:
        return []
    mode = [_literal("DEEPSEEK_CHECKPOINT_BEST_MODE", best.mode)] if best.mode is not None else []
    return [_literal("DEEPSEEK_CHECKPOINT_BEST_METRIC", best.metric), *mode]


def resolved_spec(spec: TrainingSpec, plan: TrainingPlanStatus | None = None) -> dict[str, Any]:
    """What the built-in trainer is asked to do: the API's fields, and beside each source where it lies in the pod.

    `model.path` is set for `model.source`; `datasets[].source` has `path` (a file) or `builtin` (a generated task);
    the micro-batch is the one that a plan has counted the memory with.
    """
    wire = spec.to_wire()
    model = {key: value for key, value in wire["model"].items() if key != "source"}
    if spec.model.source is not None:
        model = {**model, "path": MODEL_PATH}
    hyperparameters = wire["hyperparameters"]
    if plan is not None and plan.micro_batch_size is not None:
        hyperparameters = {"microBatchSize": plan.micro_batch_size, **hyperparameters}
    return {
        "model": model,
        "objective": wire["objective"],
        "method": _resolved_method(spec.method),
        "datasets": [_resolved_dataset(index, dataset) for index, dataset in enumerate(spec.datasets)],
        **{name: wire[name] for name in ("chatTemplate", "lossOn", "data", "earlyStopping") if name in wire},
        **_evaluation(spec),
        "hyperparameters": hyperparameters,
        **({"initFrom": {"path": INIT, "checkpoint": spec.init_from.checkpoint}} if spec.init_from is not None else {}),
        **_answers(spec.failure_policy),
        **_parallelism(spec),
    }


def _evaluation(spec: TrainingSpec) -> dict[str, Any]:
    """The program, or the folder through which one in another container is asked."""
    if spec.evaluation is None:
        return {}
    said = spec.evaluation.to_wire()
    if said.pop("image", None) is not None:
        said.pop("resources", None)
        said["folder"] = evaluator.FOLDER
    return {"evaluation": said}


def _parallelism(spec: TrainingSpec) -> dict[str, Any]:
    """Nothing where it is what older images do as well."""
    said: dict[str, Any] = {"expert": expert} if (expert := experts_over(spec)) > 1 else {}
    said |= {"sharding": "Hybrid"} if is_hybrid(spec) else {}
    return {"parallelism": said} if said else {}


def _answers(policy: FailurePolicy) -> dict[str, Any]:
    """What is done about numbers that are no longer finite; nothing where the training stops, which older images do too."""
    answer = policy.on_divergence
    return {"onDivergence": answer.to_wire()} if answer is not None and answer.action != "Stop" else {}


def _resolved_method(method: TrainingMethod) -> dict[str, Any]:
    """With every setting of an adapter written out: a newer image may have other defaults."""
    adapter, prompt = method.adapter, method.virtual
    lora = {} if adapter is None else {"lora": {**adapter.to_wire(), "alpha": adapter.scale}}
    return {"type": method.type, **lora, **({} if prompt is None else {"prompt": prompt.to_wire()})}


def _resolved_dataset(index: int, dataset: Dataset) -> dict[str, Any]:
    uri = str(dataset.source.uri)
    scheme, _, rest = uri.partition("://")
    match scheme:
        case "pvc":
            root, place = f"{DATASETS_PATH}/{index}", {"path": f"{DATASETS_PATH}/{index}/{rest.partition('/')[2]}"}
        case "image":
            root, place = "", {"path": rest}
        case _:
            root, place = "", {"builtin": rest}
    pin = dataset.source.dvc
    pinned = (
        {"dvc": {**pin.to_wire(), **({"file": f"{root}/{pin.file}"} if pin.file else {})}} if pin is not None else {}
    )
    return {**dataset.to_wire(), "source": {"uri": uri, **place, **pinned}}


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _literal(name: str, value: str) -> EnvVar:
    return {"name": name, "value": value}


def _field(name: str, path: str) -> EnvVar:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _label(name: str, label: str) -> EnvVar:
    return _field(name, f"metadata.labels['{label}']")
