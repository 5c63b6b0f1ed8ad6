"""The pods of a replica of one revision: rendered once, when the revision is first wanted.

An engine is given long to load (startup), leaves the Service soon when it stops answering (readiness), and is
restarted only after two minutes of silence (liveness): a busy engine answers its health path late, not never. Where a
watchdog is asked for, that restarts it, with a record, and the probe waits longer.
Ending takes three steps within the grace period: the pod leaves the endpoints while it still answers (preStop), then
SIGTERM lets it finish what runs (drain), then there is a margin before SIGKILL.
"""

from math import ceil
from typing import Any

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.common.env import EnvVar
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.devices.profiles import pod_needs
from deepseek_operator.domain.programs.engines import contract
from deepseek_operator.domain.programs.engines.group import until_leader_is_gone
from deepseek_operator.domain.programs.engines.probes import load_rate, startup_seconds
from deepseek_operator.domain.programs.engines.request import AdapterKind
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.engines.watchdog import is_beside
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.values.command import Command, Metrics, Probe, Refusal
from deepseek_operator.kinds.serving.called import engine_names
from deepseek_operator.kinds.serving.command import (
    ENDPOINT_SECONDS,
    GRACE_SECONDS,
    MODEL_PATH,
    Served,
    adapter_mounts,
    adapters,
    command,
)
from deepseek_operator.kinds.serving.devices import nodes_of, served
from deepseek_operator.kinds.serving.files import annotations, files_mount, files_volume
from deepseek_operator.kinds.serving.keyed import CONTAINER, key_variable
from deepseek_operator.kinds.serving.labels import ENGINE_ROLE, WORKER_ROLE, pod_labels
from deepseek_operator.kinds.serving.model import claims_of
from deepseek_operator.kinds.serving.watched import FILES_MOUNT, FILES_VOLUME, installer, liveness, start
from deepseek_operator.workloads.pod.devices import on_devices
from deepseek_operator.workloads.pod.resources import SHARED_MEMORY_VOLUME, resources, shared_memory, whole_cores
from deepseek_operator.workloads.pod.security import container_security
from deepseek_operator.workloads.pod.template import pod_spec, with_settings
from deepseek_operator.workloads.replicas.keeper import Pods

CHECK = "check-adapters"
PORT_NAME = "http"

PROBE_TIMEOUT_SECONDS = 5
"""One look may take this long: an engine under full load answers slowly."""

READINESS_PERIOD_SECONDS = 5
LIVENESS_PERIOD_SECONDS = 15
LIVENESS_FAILURES = 8
"""Two minutes without one answer within five seconds: dead, not busy. A shorter time would kill engines under load."""

KILL_MARGIN_SECONDS = 5
"""Between the end of the drain and SIGKILL, for the process to exit."""


def rendered(owner: DeepSeekServing, revision: str, model: ResolvedModel, configuration: Configuration) -> Pods:
    """The pods of a replica of a revision. Under a profile, its plan is recorded already and can be served."""
    leader, nodes = render(owner, revision, model, configuration), nodes_of(owner)
    return (
        Pods(leader, render(owner, revision, model, configuration, WORKER_ROLE), nodes) if nodes > 1 else Pods(leader)
    )


def render(
    owner: DeepSeekServing, revision: str, model: ResolvedModel, configuration: Configuration, role: str = ENGINE_ROLE
) -> Manifest:
    """The template of the pod that answers, or of those that compute for it (`WORKER_ROLE`)."""
    if profiled(owner.spec.accelerator) is None:
        return _rendered(owner, revision, model, configuration, None, role)
    plan = owner.status.plan
    if plan is None or plan.refused:
        raise ValueError("under a profile, a revision is rendered only from a plan that was recorded and accepted")
    asked = served(owner, plan, configuration.profiles.resolve(plan.profile), model)
    template = _rendered(owner, revision, model, configuration, asked if asked.engine.is_built else None, role)
    variables = () if asked.engine.is_built else asked.profile.variables(asked.program, asked.nodes)
    keeps = owner.spec.engine.resources.shared_memory is not None
    return on_devices(template, pod_needs(asked.profile, asked.devices, asked.nodes), variables, keeps)


def _rendered(
    owner: DeepSeekServing,
    revision: str,
    model: ResolvedModel,
    configuration: Configuration,
    asked: Served | None,
    role: str,
) -> Manifest:
    pod, built = owner.spec.pod, _command(asked) if asked is not None else None
    grace_s = pod.termination_grace_period_seconds or GRACE_SECONDS
    leaving_s, drain_s = _ending(grace_s)
    is_worker = role == WORKER_ROLE
    own = (
        _written(owner, model, configuration, drain_s, is_worker)
        if asked is None or built is None
        else _built(asked, built, is_worker)
    )
    watchdog = owner.spec.engine.watchdog if not is_worker else None
    brought = watchdog is not None and is_beside(ENGINES[owner.spec.engine.type])
    container = {
        "name": CONTAINER,
        **own,
        "imagePullPolicy": configuration.image_pull_policy,
        # An engine that leaves no last words is quoted by the end of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "lifecycle": {"preStop": _stays(leaving_s, drain_s, is_worker, asked is not None)},
        "volumeMounts": [*_mounts(model), *([dict(FILES_MOUNT)] if brought else []), *files_mount(built)],
    }
    volumes = [
        *_volumes(model, owner.spec.engine.resources),
        *([dict(FILES_VOLUME)] if brought else []),
        *files_volume(built),
    ]
    spec = pod_spec(pod, grace_s, [container], volumes)
    is_checked = asked is not None and any(adapter.base != model.folder for adapter in model.adapters or ())
    first = (
        *([installer(owner, configuration)] if brought else []),
        *([_check(owner, model, configuration)] if is_checked else []),
    )
    if first:
        spec["initContainers"] = list(first)
    told = annotations(built)
    metadata = {"labels": pod_labels(owner, revision, role), **({"annotations": told} if told else {})}
    return with_settings({"metadata": metadata, "spec": spec}, pod)


def _stays(leaving_s: int, drain_s: int, is_worker: bool, has_python: bool) -> dict[str, Any]:
    """What keeps a pod that is told to end: one that answers, for requests that still arrive; a worker, for those that its
    leader has begun, at most as long as that may take. Images of users may have nothing to look with."""
    if not is_worker:
        return {"sleep": {"seconds": leaving_s}}
    if has_python:
        return {"exec": {"command": [*until_leader_is_gone(leaving_s + drain_s)]}}
    return {"sleep": {"seconds": leaving_s + drain_s}}


def _check(owner: DeepSeekServing, model: ResolvedModel, configuration: Configuration) -> dict[str, Any]:
    """Looks at the weights, where it is not known that the adapters were trained beside this very folder: engines whose
    command the operator makes compare shapes alone."""
    unread = () if AdapterKind.LATENT in ENGINES[owner.spec.engine.type].adapters else (contract.FOLDED,)
    told = dict(contract.variables(MODEL_PATH, "", 0, 0, 0, 0, adapters(owner, model)))
    return {
        "name": CHECK,
        "image": configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": [*contract.CHECK, *unread],
        "env": [_variable(name, told[name]) for name in ("DEEPSEEK_MODEL_PATH", "DEEPSEEK_ADAPTERS")],
        # A quota wants figures of every container; the pod is given the larger ones of both, which are these.
        "resources": resources(owner.spec.engine.resources),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": container_security(),
        "volumeMounts": _mounts(model)[:-1],
    }


def _written(
    owner: DeepSeekServing, model: ResolvedModel, configuration: Configuration, drain_s: int, is_worker: bool
) -> dict[str, Any]:
    """What the container of our own engine, or of the user's, has of its own. Whether a worker of the user's answers
    anything is not known: it is not asked, and its replica ends when it does."""
    engine, entry = owner.spec.engine, ENGINES[owner.spec.engine.type]
    written = engine.command if entry.start is Start.WRITTEN else contract.COMMAND
    told = Metrics("/metrics", engine.port, entry.metric_names(None))
    command = start(engine, written, told) if written and not is_worker else tuple(written or ())
    return {
        "image": engine.image or configuration.runtime_image,
        **({"command": list(command)} if command else {}),
        **({"args": list(engine.args)} if engine.args else {}),
        **({} if is_worker else {"ports": [_port(PORT_NAME, engine.port)]}),
        "env": [*_key(engine, is_worker), *_environment(owner, model, drain_s)],
        "resources": resources(engine.resources, owner.spec.accelerator),
        **({} if is_worker else _probes(engine, _loading_s(engine, model))),
    }


def _command(asked: Served) -> Command:
    built = command(asked)
    if isinstance(built, Refusal):
        raise ValueError(f"a plan was accepted that can't be served: {built}")
    return built


def _built(asked: Served, built: Command, is_worker: bool) -> dict[str, Any]:
    """What the container of an engine whose command the operator makes has of its own."""
    engine = asked.owner.spec.engine
    assert built.probes is not None
    assert built.metrics is not None
    probes, worker = (built.worker_probes if is_worker else None) or built.probes, built.worker_args or built.args
    return {
        "image": asked.image,
        "command": list(worker if is_worker else start(engine, built.args, built.metrics)),
        **({} if is_worker else {"ports": [_port(port.name, port.number) for port in built.ports]}),
        "env": [*_key(engine, is_worker), *_built_environment(asked.owner, built)],
        "resources": resources(engine.resources),
        "startupProbe": _probe(probes.startup, is_worker, engine.start_timeout_seconds),
        **({"readinessProbe": _probe(probes.readiness, is_worker)} if probes.readiness is not None else {}),
        "livenessProbe": _probe(liveness(engine, probes.liveness), is_worker),
    }


def _key(engine: Engine, is_worker: bool) -> list[dict[str, Any]]:
    """Before all others, which may refer to it. A worker answers nobody, and needs none."""
    wanted = engine.api_key if not is_worker else None
    return key_variable(contract.KEY_VARIABLE, wanted.to_wire() if wanted is not None else None)


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _built_environment(owner: DeepSeekServing, built: Command) -> list[dict[str, Any]]:
    """The engines keep caches under HOME and ask for the user's name, which an arbitrary uid has not: both are given."""
    names = {
        "DEEPSEEK_SERVING_NAME": owner.metadata.name,
        "DEEPSEEK_SERVING_NAMESPACE": owner.metadata.namespace,
        "DEEPSEEK_MODEL_PATH": MODEL_PATH,
    }
    ours = {**names, "HOME": "/tmp", "USER": CONTAINER, **dict(built.env)}
    theirs = {variable.name: _users(variable) for variable in owner.spec.engine.env if variable.name not in names}
    return list({**{name: _variable(name, value) for name, value in ours.items()}, **theirs}.values())


def _probe(probe: Probe, is_worker: bool, least_s: int = 0) -> dict[str, Any]:
    """A worker's port has no name: by that, what scrapes replicas finds them, and workers tell nothing."""
    failures = max(probe.failure_threshold, ceil(least_s / probe.period_seconds))
    return {**_looks(probe, probe.port if is_worker else PORT_NAME), "timeoutSeconds": probe.timeout_seconds, "periodSeconds": probe.period_seconds,
            "failureThreshold": failures}  # fmt: skip


def _looks(probe: Probe, port: int | str) -> dict[str, Any]:
    if probe.command:
        return {"exec": {"command": list(probe.command)}}
    return {"httpGet": {"path": probe.path, "port": port}} if probe.path else {"tcpSocket": {"port": port}}


def _ending(grace_s: int) -> tuple[int, int]:
    """Seconds to leave the endpoints, and seconds to drain; a short grace period is shared out in quarters."""
    leaving_s, margin_s = min(ENDPOINT_SECONDS, grace_s // 4), min(KILL_MARGIN_SECONDS, grace_s // 4)
    return leaving_s, grace_s - leaving_s - margin_s


def _environment(owner: DeepSeekServing, model: ResolvedModel, drain_s: int) -> list[dict[str, Any]]:
    engine = owner.spec.engine
    served_name, *aliases = engine_names(owner)
    ours = {
        "DEEPSEEK_SERVING_NAME": owner.metadata.name,
        "DEEPSEEK_SERVING_NAMESPACE": owner.metadata.namespace,
        **dict(
            contract.variables(
                MODEL_PATH,
                served_name,
                engine.port,
                engine.max_concurrency,
                engine.queue_limit,
                drain_s,
                adapters(owner, model),
                aliases,
            )
        ),
    }
    if (cores := whole_cores(engine.resources.cpu)) is not None:
        ours["DEEPSEEK_CPUS"] = str(cores)
    theirs = [_users(variable) for variable in engine.env if variable.name not in ours]
    return [*(_variable(name, value) for name, value in ours.items()), *theirs]


def _variable(name: str, value: str) -> dict[str, str]:
    """The API server stores no empty value; wanting one would be drift for ever."""
    return {"name": name, "value": value} if value else {"name": name}


def _users(variable: EnvVar) -> dict[str, Any]:
    return variable.to_container() if variable.secret is not None else _variable(variable.name, variable.value)


def _loading_s(engine: Engine, model: ResolvedModel) -> int:
    """As long as is written; longer where a source was fetched, whose size and rate are known, and takes longer to read."""
    fetched = startup_seconds(model.size_bytes, load_rate(model.read_bytes_per_second)) if model.size_bytes else 0
    return max(engine.start_timeout_seconds, fetched)


def _probes(engine: Engine, loading_s: int) -> dict[str, Any]:
    look = {"httpGet": {"path": engine.health_path, "port": PORT_NAME}, "timeoutSeconds": PROBE_TIMEOUT_SECONDS}
    loading = ceil(loading_s / READINESS_PERIOD_SECONDS)
    alive = liveness(engine, Probe(engine.health_path, engine.port, LIVENESS_PERIOD_SECONDS, LIVENESS_FAILURES))
    return {
        "startupProbe": {**look, "periodSeconds": READINESS_PERIOD_SECONDS, "failureThreshold": loading},
        "readinessProbe": {**look, "periodSeconds": READINESS_PERIOD_SECONDS, "failureThreshold": 3},
        "livenessProbe": {**look, "periodSeconds": alive.period_seconds, "failureThreshold": alive.failure_threshold},
    }


def _volumes(model: ResolvedModel, wanted: ComputeResources) -> list[dict[str, Any]]:
    """One volume for each claim: the kubelet mounts a claim once for a pod, under one name."""
    names = _volume_names(model)
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for claim, name in names.items()]
    return [*claims, shared_memory(wanted)]


def _volume_names(model: ResolvedModel) -> dict[str, str]:
    """What the volume of each claim is called in the pod."""
    of_model, *others = claims_of(model)
    return {of_model: "model", **{claim: f"adapters-{number}" for number, claim in enumerate(others)}}


def _mounts(model: ResolvedModel) -> list[dict[str, Any]]:
    """Read-only is the mount, not the claim: the training that writes its next export may use the claim as well."""
    names = _volume_names(model)
    mounts = [
        _mount(names[model.claim_name], MODEL_PATH, model.sub_path),
        *(_mount(names[one.claim_name], place, one.sub_path) for place, one in adapter_mounts(model)),
    ]
    return [*mounts, {"name": SHARED_MEMORY_VOLUME, "mountPath": "/dev/shm"}]


def _mount(volume: str, place: str, sub_path: str) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": volume, "mountPath": place, "readOnly": True}
    return {**mount, "subPath": sub_path} if sub_path else mount
