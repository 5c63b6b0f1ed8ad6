"""Every field of a serving's status is written in some life, and says something there: a value unlike its default."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deepseek_operator.api.record import gathered, paths
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import ROLE_LABEL
from deepseek_operator.core.resources import POD
from deepseek_operator.core.seen import SignalWish, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.kinds.serving.labels import EXAMINER_ROLE
from deepseek_operator.kinds.serving.verbs import PROMOTE, ROLLBACK
from deepseek_operator.workloads.batch.fetch import ROLE as FETCHER
from tests.support.benched import begins, ends
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.leaves import leaves, schema_leaves
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE, TRAINING_UID, a_training, an_adapter_training
from tests.support.sleep_life import SleepLife
from tests.support.world import is_ended

SOURCE = {"uri": "pvc://models/m"}
DENSE = {"name": "deepseek-r1-distill-llama-70b", "source": SOURCE}


def follows_an_autoscaler_and_rolls_out() -> ServingLife:
    schedule = {"name": "a", "from": "00:00", "to": "23:00", "zone": "UTC", "minReplicas": 2}
    autoscaling = {"maxReplicas": 4, "signals": [{"target": 4}], "schedules": [schedule]}
    scaled: dict[str, Any] = {"autoscaling": autoscaling, "replicas": 2}
    training = a_training(exports=[100], result="Complete", bestCheckpoint={"step": 100})
    life = ServingLife(training, model={"fromTraining": {"name": "tune"}}, **scaled)
    life.run()
    life.operator.wishes = (SignalWish("InFlight", 7.0, 4.0, 2, "fewer replicas report than serve"),)
    life.world.set_autoscaler(NAMESPACE, SERVICE, True, 2)
    life.operator.settle()
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    rolls_back_and_makes_it_so(life)
    return life


def rolls_back_and_makes_it_so(life: ServingLife) -> None:
    """The annotation stays behind, and is done with."""
    annotate(life, ROLLBACK, life.status.stable)


def serves_an_adapter_of_an_export() -> ServingLife:
    base = {"trainingUID": TRAINING_UID, "claimName": "models", "subPath": f"{TRAINING_UID}/exports/100", "step": 100}
    training = a_training(exports=[100], result="Complete")
    adapters = [{"name": "legal", "fromTraining": {"name": "legal"}}]
    model = {"fromTraining": {"name": "tune"}}
    return ServingLife(training, an_adapter_training(base=base), model=model, adapters=adapters)


def serves_an_adapter_that_was_fetched() -> ServingLife:
    adapters = [{"name": "legal", "source": {"uri": "hf://a/b@main", "claimName": "models"}}]
    life = ServingLife(adapters=adapters)
    brought = {"folder": "sources/hf/a--b/1", "revision": "1", "digest": f"sha256:{'0' * 64}", "bytes": 1}
    life.world.run_job_controller()
    life.operator.settle()
    (pod,) = (pod for pod in life.pods() if pod["metadata"]["labels"].get(ROLE_LABEL) == FETCHER)
    life.world.end(pod, 0, json.dumps({"source": brought}))
    life.world.run_job_controller()
    life.operator.settle()
    return life


def is_woken() -> ServingLife:
    life = SleepLife()
    life.falls_asleep()
    life.somebody_waits()
    return life


def tries_a_version() -> ServingLife:
    """A step at a time, promoted once, and rolled back."""
    step = {"weight": 50, "replicas": 1}
    life = ServingLife(rollout={"canary": {"steps": [step, step]}}, replicas=2)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    canary = life.status.canary
    assert canary is not None
    annotate(life, PROMOTE, canary.target)
    annotate(life, ROLLBACK, canary.stable)
    return life


def judges_a_version() -> ServingLife:
    """By a relative limit, which it does not keep, nor does it answer its requests well."""
    metrics = [{"type": "ErrorRate", "max": "0.01"}, {"type": "Latency", "maxIncreasePercent": 0}]
    step = {"weight": 50, "bakeSeconds": 600, "analysis": {"metrics": metrics}}
    life = ServingLife(rollout={"canary": {"steps": [step]}}, replicas=2)
    life.run()
    life.operator.store.answer = lambda query, at: Reading((500.0 if query.startswith("sum(inc") else 0.5,), at)
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    life.clock.advance(60)
    life.operator.settle()
    return life


def examines_a_version() -> ServingLife:
    """A try fails; the next one leaves a mark."""
    metric = {"type": "Accuracy", "data": "builtin://uppercase", "min": "0.9"}
    step = {"weight": 50, "bakeSeconds": 600, "analysis": {"metrics": [metric]}}
    life = ServingLife(rollout={"canary": {"steps": [step]}}, replicas=2)
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    mark = json.dumps({"metrics": {"accuracy": 0.5, "samples": 100}})
    for code, said in ((1, "the server was gone"), (0, mark)):
        life.world.run_job_controller()
        exam = next(
            p for p in life.pods() if p["metadata"]["labels"].get(ROLE_LABEL) == EXAMINER_ROLE and not is_ended(p)
        )
        life.operator.settle()
        life.world.end(exam, code, said)
        life.world.run_job_controller()
        life.operator.settle()
        life.clock.advance(60)
        life.operator.settle()
    return life


def compares_two_versions() -> ServingLife:
    """By all that can be, and of an exam; some queries are not answered."""
    metric = {"type": "Accuracy", "data": "builtin://uppercase", "min": "0.1"}
    step = {"replicas": 1, "bakeSeconds": 60, "analysis": {"metrics": [metric]}}
    life = ServingLife(rollout={"canary": {"steps": [step], "match": {"percent": 20}}}, replicas=2)
    life.run()
    life.operator.store.answer = lambda query, at: (
        Unavailable("connection refused")
        if query.startswith("sum(inc") and life.status.stable in query and " / " not in query
        else Reading((0.5 if " / " in query or query.startswith("hist") else 500.0,), at)
    )
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    life.world.run_job_controller()
    for pod in life.pods():
        if pod["metadata"]["labels"].get(ROLE_LABEL) == EXAMINER_ROLE:
            life.world.end(pod, 0, json.dumps({"metrics": {"accuracy": 0.5, "samples": 100}}))
    life.world.run_job_controller()
    life.operator.settle()
    life.clock.advance(60)
    life.operator.settle()
    return life


def fetches_its_model() -> ServingLife:
    """A try fails; the next one brings it."""
    life = ServingLife(model={"source": {"uri": "hf://a/b@main", "claimName": "models"}})
    brought: dict[str, Any] = {
        "folder": "sources/hf/a--b/1",
        "revision": "1",
        "digest": f"sha256:{'0' * 64}",
        "bytes": 1,
    }
    brought |= {"readBytesPerSecond": 5, "evicted": ["hf/c--d/2 (1.0 GiB)"]}
    for code, said in ((69, "it does not answer"), (0, json.dumps({"source": brought}))):
        life.world.run_job_controller()
        life.operator.settle()
        (pod,) = (p for p in life.pods() if p["metadata"]["labels"].get(ROLE_LABEL) == FETCHER and not is_ended(p))
        fetch = {"done": 1, "total": 2}
        life.operator.progress.answers[pod["metadata"]["name"]] = {"formatVersion": 1, "fetch": fetch}
        life.world.run(pod)
        life.operator.settle()
        life.clock.advance(31)
        life.operator.settle()
        life.world.end(pod, code, said)
        life.world.run_job_controller()
        life.operator.settle()
        life.clock.advance(60)
        life.operator.settle()
    return life


def annotate(life: ServingLife, key: str, value: str) -> None:
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(annotations={key: value}))
    life.operator.settle()


def is_restarted_by_its_watchdog() -> ServingLife:
    life = ServingLife(engine={"watchdog": {}})
    life.run()
    said = json.dumps({"formatVersion": 1, "result": "Stalled", "message": "no token for 301 s"})
    life.world.end(life.pods()[0], 76, said)
    # It is the container that ended: the pod lives.
    life.cluster.edit(
        POD, NAMESPACE, life.pods()[0]["metadata"]["name"], lambda live: live["status"].update(phase="Running")
    )
    life.operator.settle()
    return life


def is_benched() -> ServingLife:
    life = ServingLife()
    life.run()
    ends(life, begins(life))
    return life


def is_laid_out_in_stages() -> ServingLife:
    return on_devices(DENSE, parallelism={"pipeline": 2})


def is_laid_out_over_experts() -> ServingLife:
    return on_devices({"name": "deepseek-r1", "source": SOURCE}, parallelism={"data": 4})


def is_refused() -> ServingLife:
    return on_devices(DENSE, accelerator={"profile": "nvidia-rtx3090-24"}, nodes={"count": 1})


def spans_nodes_and_rolls_out() -> ServingLife:
    life = on_devices({"name": "deepseek-r1", "source": SOURCE}, accelerator={"profile": "nvidia-h100-80"})
    life.run()
    life.edit(engine={"type": "vllm", "args": ["--max-num-seqs=64"]})
    life.run()
    return life


def answers_by_a_gateway() -> ServingLife:
    life = ServingLife(configuration=Configuration(gate=GATE), gateway={**PUBLIC, "auth": {"apiKeys": True}})
    for _ in range(3):
        life.run()
        takes(life)
    return life


def on_devices(model: dict[str, Any], **spec: Any) -> ServingLife:
    return ServingLife(
        model=model, **{"engine": {"type": "vllm"}, "accelerator": {"profile": "nvidia-h200-141"}, **spec}
    )


LIVES: tuple[Callable[[], ServingLife], ...] = (
    fetches_its_model,
    serves_an_adapter_that_was_fetched,
    follows_an_autoscaler_and_rolls_out,
    is_woken,
    serves_an_adapter_of_an_export,
    tries_a_version,
    judges_a_version,
    examines_a_version,
    compares_two_versions,
    is_laid_out_in_stages,
    is_laid_out_over_experts,
    is_refused,
    spans_nodes_and_rolls_out,
    answers_by_a_gateway,
    is_restarted_by_its_watchdog,
    is_benched,
)


def written(life: ServingLife) -> Iterator[str]:
    """Paths of everything that its statuses ever said."""
    for change in life.changes:
        if change.resource == SERVING and change.type != "DELETED":
            status = ServingStatus.model_validate(change.manifest.get("status") or {})
            told = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
            yield from leaves(gathered(told, paths(ServingStatus)), "status")


def test_every_status_field_is_written_in_some_life() -> None:
    said = {path for live in LIVES for path in written(live())}
    assert schema_leaves("deepseekservings", "status") == said


@pytest.mark.parametrize("live", LIVES, ids=lambda live: live.__name__)
def test_nothing_is_written_that_the_schema_would_drop(live: Callable[[], ServingLife]) -> None:
    wire = live().serving()["status"]
    assert set(leaves(wire, "status")) <= schema_leaves("deepseekservings", "status")
