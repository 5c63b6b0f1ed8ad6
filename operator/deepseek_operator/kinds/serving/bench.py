"""The Job that finds how many requests at a time one replica answers within an objective, and the targets that follow from it.

It is made by whoever asks for it, with that person's rights, and never by the operator: it loads a replica until that is slow,
which nothing may repeat that makes things so again and again. What it found the operator tells (`benched`). The program is the
runtime's `deepseek_runtime.bencher`. One pod is asked at its own address, behind no Service: a target is of one replica, and
replicas that come meanwhile change nothing.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import USUAL_QUANTILE
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.kinds import Benched, BenchWish
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID, ROLE_LABEL, digest, handed_on
from deepseek_operator.core.resources import GROUP, JOB, Manifest, is_terminating, labels_of
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.domain.policy.capacity import Held, targets
from deepseek_operator.domain.programs.engines.loads import (
    IN_FLIGHT,
    NEEDS,
    PROMQL,
    QUANTILES,
    TIME_TO_FIRST_TOKEN,
    USUAL_TARGETS,
    tells,
)
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.kinds.serving.benched import BENCHER, MEASURED, bench_prefix
from deepseek_operator.kinds.serving.keyed import CONTAINER, key_of, key_variable
from deepseek_operator.kinds.serving.labels import ENGINE_ROLE, revision_of
from deepseek_operator.kinds.serving.template import CHECK, PORT_NAME
from deepseek_operator.kinds.serving.watched import CONTAINER as WATCHDOG
from deepseek_operator.workloads.batch.single import single_spec
from deepseek_operator.workloads.obstacles import condition_of

LABEL = f"{GROUP}/bench"
COMMAND = ("python3", "-m", "deepseek_runtime.bencher")
KEY = "DEEPSEEK_BENCH_KEY"
LIMIT_S = 4 * 3600
"""Of the whole: P99 of a slow model takes half an hour; nothing loads a replica for a day."""
KEPT_S = 24 * 3600
"""How long the Job and its log are there for `--last`."""
_GRACE_S = 1
"""From SIGTERM to SIGKILL: whoever ends a bench wants its load to end."""
_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "500m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}
"""A core reads some thousand tokens a second; a bencher that is itself slow would be what it measures."""
_ENDED = (Phase.COMPLETED, Phase.COMPARED, Phase.ROLLED_BACK)


def job(manifest: Manifest, pods: Sequence[Manifest], wish: BenchWish) -> Manifest:
    """The Job, by the stored serving and its pods. Raises ValueError: it can't be measured as it is."""
    owner = DeepSeekServing.model_validate(manifest)
    replica = _replica(owner, pods)
    limits, quantile = objectives(owner, wish)
    container = {
        "name": BENCHER,
        "image": wish.image or _image(owner, replica),
        "command": list(COMMAND),
        "env": [*_told(owner, replica, limits, quantile, wish)],
        "resources": {kind: dict(amounts) for kind, amounts in _RESOURCES.items()},
    }
    meta = owner.metadata
    # By the latter the operator hears of it, and tells in status what it found.
    known = {MANAGED_BY: MANAGER, OWNER_UID: meta.uid, ROLE_LABEL: BENCHER}
    labels = {LABEL: meta.uid, "app.kubernetes.io/name": "deepseek-bench", **known}
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": f"{bench_prefix(meta.name)}{digest([meta.uid, wish.token], 7)}b",
            "namespace": meta.namespace,
            "labels": {**handed_on(meta.labels), **labels},
            "annotations": {f"{GROUP}/replica": str(replica["metadata"]["name"]), MEASURED: revision_of(replica)},
            # No controller: it goes with the serving, and the operator neither ends nor mends it.
            "ownerReferences": [_reference(owner)],
        },
        "spec": {
            **single_spec(container, owner.spec.pod, labels, (), _GRACE_S),
            "activeDeadlineSeconds": LIMIT_S,
            "ttlSecondsAfterFinished": KEPT_S,
        },
    }


def objectives(owner: DeepSeekServing, wish: BenchWish) -> tuple[Mapping[str, int], str]:
    """Milliseconds by signal, and the quantile: as wished, else those that the serving is scaled by, else the usual ones."""
    signals = owner.spec.autoscaling.signals if owner.spec.autoscaling is not None else []
    scaled = {one.type: one.aim for one in signals if one.type in QUANTILES}
    limits = dict(wish.limits) or scaled or {TIME_TO_FIRST_TOKEN: USUAL_TARGETS[TIME_TO_FIRST_TOKEN]}
    shares = [one.share for one in signals if one.type in limits]
    return limits, wish.quantile or max(shares, key=float, default=USUAL_QUANTILE)


def patch(manifest: Manifest, result: Mapping[str, Any], headroom_percent: int) -> Manifest:
    """spec.autoscaling with the signals that follow from a result; others of the serving stay as they are.

    Raises ValueError: no concurrency was found, or the engine doesn't tell what is in flight.
    """
    owner = DeepSeekServing.model_validate(manifest)
    entry, version = ENGINES[owner.spec.engine.type], owner.spec.engine.version
    target = targets(held_of(result), headroom_percent).in_flight
    if not tells(entry, version, IN_FLIGHT):
        raise ValueError(
            f"engine.type {entry.type} doesn't tell what is in flight: write a signal of type {PROMQL} that does, with "
            f"target {target}"
        )
    quantile = f"{float(result['quantile']):g}"
    found: dict[str, dict[str, Any]] = {IN_FLIGHT: {"type": IN_FLIGHT, "target": target}}
    for name, limit in result["objectives"].items():
        if name in QUANTILES and tells(entry, version, name):
            found[name] = {"type": name, "target": max(1, round(limit)), "quantile": quantile}
    scaling = manifest["spec"].get("autoscaling") or {}
    others = [one for one in scaling.get("signals") or () if one.get("type") not in found]
    most = scaling.get("maxReplicas") or max(1, owner.spec.replicas)
    return {"spec": {"autoscaling": {"maxReplicas": most, "signals": [*found.values(), *others]}}}


def held_of(result: Mapping[str, Any]) -> Held:
    """What one replica held, by a result. Raises ValueError: nothing."""
    held = result.get("held")
    if not isinstance(held, Mapping) or not isinstance(streams := held.get("streams"), int) or streams < 1:
        raise ValueError("no concurrency was found at which the objective holds: there are no targets to propose")
    return Held(streams, held.get("requestsPerSecond"), held.get("tokensPerSecond"))


def _replica(owner: DeepSeekServing, pods: Sequence[Manifest]) -> Manifest:
    """The pod that is asked: the first ready one of the stable revision."""
    name, status = owner.metadata.name, owner.status
    if owner.spec.suspend:
        raise ValueError(f"{name} is suspended: resume it first")
    if (run := status.canary) is not None and run.phase not in _ENDED:
        raise ValueError(f"{name} tries a new revision ({run.phase}): bench it when that is over")
    ready = [pod for pod in pods if labels_of(pod).get(ROLE_LABEL) == ENGINE_ROLE and _answers(pod)]
    if not ready:
        raise ValueError(f"{name} has no replica that is ready: there is nothing to measure")
    of_stable = [pod for pod in ready if revision_of(pod) == status.stable]
    return min(of_stable or ready, key=lambda pod: str(pod["metadata"]["name"]))


def _answers(pod: Manifest) -> bool:
    status = pod.get("status") or {}
    return not is_terminating(pod) and bool(status.get("podIP")) and condition_of(pod, "Ready").get("status") == "True"


def _image(owner: DeepSeekServing, replica: Manifest) -> str:
    """The runtime image, which whoever asks for a bench need not know: as the replica itself was made with it."""
    containers = {
        one["name"]: one for kind in ("initContainers", "containers") for one in replica["spec"].get(kind) or ()
    }
    ours = owner.spec.engine.image is None and ENGINES[owner.spec.engine.type].start is Start.OURS
    for name in (*((CONTAINER,) if ours else ()), WATCHDOG, CHECK):
        if name in containers:
            return str(containers[name]["image"])
    raise ValueError(
        f"the pods of {owner.metadata.name} hold no image with the bencher: write --image with the operator's runtime image, "
        "the chart's value runtime.image"
    )


def _told(
    owner: DeepSeekServing, replica: Manifest, limits: Mapping[str, int], quantile: str, wish: BenchWish
) -> list[dict[str, Any]]:
    engine = next(one for one in replica["spec"]["containers"] if one["name"] == CONTAINER)
    address, port = str(replica["status"]["podIP"]), _port(engine)
    names = ENGINES[owner.spec.engine.type].metric_names(owner.spec.engine.version)
    in_flight = [names[signal] for signal in sorted(NEEDS[IN_FLIGHT]) if signal in names]
    numbers = {
        "PROMPT_WORDS": wish.prompt_words,
        "ANSWER_TOKENS": wish.answer_tokens,
        "MOST_STREAMS": wish.most_streams,
        "LOAD_SECONDS": wish.load_s,
    }
    told = {
        "URL": f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}",
        "OBJECTIVES": json.dumps(dict(limits)),
        "QUANTILE": quantile,
        "IN_FLIGHT": json.dumps(in_flight),
        "MODEL": wish.model or "",
        "AMONG_OTHERS": "true" if wish.among_others else "",
        **{name: str(number) for name, number in numbers.items() if number is not None},
    }
    plain = [{"name": f"DEEPSEEK_BENCH_{name}", "value": value} for name, value in told.items() if value]
    return [*plain, *key_variable(KEY, key_of(replica))]


def _port(engine: Mapping[str, Any]) -> int:
    return next(int(port["containerPort"]) for port in engine.get("ports") or () if port.get("name") == PORT_NAME)


def _reference(owner: DeepSeekServing) -> dict[str, Any]:
    meta = owner.metadata
    return {"apiVersion": SERVING.api_version, "kind": SERVING.kind, "name": meta.name, "uid": meta.uid}


BENCHED = Benched(LABEL, BENCHER, job, patch)
