"""Every field of a serving's spec does something: two values of it, and where the difference shows.

The table holds the schema to it: a field that enters without a row, or that is accepted and ignored, fails here.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import (
    AUTOSCALER,
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    DEPLOYMENT,
    GRPC_ROUTE,
    HTTP_ROUTE,
    JOB,
    REVISION,
    SCALED_OBJECT,
    SECURITY_POLICY,
    Resource,
)
from deepseek_operator.core.seen import Answer, Sample
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.domain.programs.engines.loads import IN_FLIGHT, LOADS
from deepseek_operator.kinds.serving.names import serving_cache
from deepseek_operator.kinds.serving.signals import AGE, REPORTING, queries, wanted
from tests.support.gateways import GATE
from tests.support.leaves import schema_leaves, with_leaf
from tests.support.moments import START
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE, TRAINING_UID, a_claim, a_serving, a_training, an_adapter_training
from tests.support.sleep_life import SleepLife

Spec = Mapping[str, Any]
Scene = Callable[[Spec], object]

ABSENT = object()


@dataclass(frozen=True)
class Field:
    """One leaf of the spec.

    Attributes:
        path: without the leading `spec.`.
        shows: what a spec leads to.
        values: what each value leads to; specs differ in this leaf only.
        base: the spec around it.
    """

    path: str
    shows: Scene
    values: tuple[tuple[Any, object], ...]
    base: Spec = field(default_factory=dict)


# --- where it shows ---------------------------------------------------------------------------------------------


def at(found: Any, path: str) -> Any:
    """The value at a dotted path; None where a step is missing."""
    for step in path.split("."):
        if isinstance(found, list):
            found = found[int(step)] if int(step) < len(found) else None
        else:
            found = (found or {}).get(step)
    return found


def pod(path: str) -> Scene:
    return lambda spec: at(ServingLife(a_claim("team.a"), **spec).template()["spec"], path)


def engine(path: str) -> Scene:
    return pod(f"containers.0.{path}")


def variable(name: str) -> Scene:
    """The value of an environment variable; None where there is none."""

    def shows(spec: Spec) -> object:
        variables: Any = engine("env")(spec)
        return {v["name"]: v.get("value", "") for v in variables}.get(name)

    return shows


def secret_of(name: str) -> Scene:
    """Name and key of the Secret's entry that a variable takes its value from."""

    def shows(spec: Spec) -> object:
        variables: Any = engine("env")(spec)
        (found,) = [v["valueFrom"]["secretKeyRef"] for v in variables if v["name"] == name]
        return found["name"], found["key"]

    return shows


def flag(name: str) -> Scene:
    """The value after a flag of the engine's command; None where the flag is not given."""

    def shows(spec: Spec) -> object:
        command: Any = engine("command")(spec)
        return command[command.index(name) + 1] if name in command else None

    return shows


def flags(name: str) -> Scene:
    """All values after a flag of the engine's command."""

    def shows(spec: Spec) -> object:
        command: Any = engine("command")(spec)
        rest = command[command.index(name) + 1 :]
        return list(takewhile(lambda word: not word.startswith("--"), rest))

    return shows


def fetched(name: str) -> Scene:
    """A variable of the pod that fetches, its Secret's name and key, or the claim that it writes to."""

    def shows(spec: Spec) -> object:
        (job,) = ServingLife(a_claim("team.a"), **spec).cluster.all(JOB, NAMESPACE)
        pod = job["spec"]["template"]["spec"]
        if name == "claim":
            return pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
        told: Any = next((v for v in pod["containers"][0]["env"] if v["name"] == name), {})
        of = told.get("valueFrom", {}).get("secretKeyRef")
        return (of["name"], of["key"]) if of else told.get("value")

    return shows


def last_flag(spec: Spec) -> object:
    command: Any = engine("command")(spec)
    return command[-1]


def plan(path: str) -> Scene:
    return lambda spec: at(ServingLife(**spec).serving()["status"]["plan"], path)


def autoscaler(path: str) -> Scene:
    return lambda spec: at(ServingLife(**spec).stored(AUTOSCALER, SERVICE)["spec"], path)


def scalers(spec: Spec) -> list[str]:
    """Kinds of what scales it, where KEDA may ask."""
    life = ServingLife(configuration=Configuration(wanted_url="http://operator:8082"), **spec)
    return [resource.kind for resource in (AUTOSCALER, SCALED_OBJECT) if life.cluster.all(resource)]


def route(path: str) -> Scene:
    return lambda spec: at(ServingLife(**spec).stored(HTTP_ROUTE, SERVICE)["spec"], path)


def called_under(spec: Spec) -> object:
    """Host names of the route for gRPC."""
    return ServingLife(**spec).stored(GRPC_ROUTE, f"{SERVICE}-grpc")["spec"]["hostnames"]


def policy(path: str) -> Scene:
    def found(spec: Spec) -> object:
        life = ServingLife(configuration=Configuration(gate=GATE), **spec)
        return at(life.stored(BACKEND_TRAFFIC_POLICY, SERVICE)["spec"], path)

    return found


def asked_in(spec: Spec) -> object:
    """By what the gate is asked to know a client."""
    asked: str = at(_security_policy(spec), "extAuth.http.path")
    return asked.rpartition("/")[2].partition(".")[0]


def token(path: str) -> Scene:
    return lambda spec: at(_security_policy(spec), f"jwt.providers.0.{path}")


def _security_policy(spec: Spec) -> Any:
    return ServingLife(configuration=Configuration(gate=GATE), **spec).stored(SECURITY_POLICY, SERVICE)["spec"]


def gate_waits(spec: Spec) -> object:
    """How long Envoy waits for the gate's answer."""
    return at(_security_policy(spec), "extAuth.timeout")


def phase_after_two_minutes_without_requests(spec: Spec) -> object:
    life = SleepLife(**spec)
    life.numbers["in_flight"] = 0.0
    for _ in range(8):
        life.after(15)
    return life.at


def cache(path: str) -> Scene:
    """Of the pods of the cache before the only revision."""
    return lambda spec: at(_cache(DEPLOYMENT, spec)["spec"]["template"]["spec"], path)


def kept_for(spec: Spec) -> object:
    """Seconds that nginx keeps an answer."""
    told: str = _cache(CONFIG_MAP, spec)["data"]["nginx.conf"]
    return int(told.partition("proxy_cache_valid 200 ")[2].partition("s;")[0])


def _cache(resource: Resource, spec: Spec) -> Any:
    life = ServingLife(configuration=Configuration(gate=GATE), **spec)
    life.run()
    assert life.status.current is not None
    return life.stored(resource, serving_cache("chat", life.status.current.name))


def both(*scenes: Scene) -> Scene:
    return lambda spec: tuple(scene(spec) for scene in scenes)


def runs(spec: Spec) -> object:
    """Pods in the end, and replicas told."""
    life = ServingLife(**spec)
    life.run()
    return len(life.pods()), life.status.replicas


def served_export(spec: Spec) -> object:
    """The folder that is mounted, beside two trainings that have ended."""
    first = a_training("tune", exports=[100, 200, 300], result="Complete", bestCheckpoint={"step": 200})
    second = a_training("other", exports=[200], result="Complete", uid="22222222")
    life = ServingLife(first, second, **spec)
    return at(life.template()["spec"], "containers.0.volumeMounts.0.subPath")


def export_after_the_training_went_on(spec: Spec) -> object:
    life = ServingLife(a_training(exports=[100], result="Complete", bestCheckpoint={"step": 100}), **spec)
    life.train(exports=[100, 200], result="Complete", bestCheckpoint={"step": 200})
    life.run(rounds=6)
    return at(life.template()["spec"], "containers.0.volumeMounts.0.subPath")


def beside(path: str) -> Scene:
    """What is recorded of the first adapter, beside two trainings that have ended."""
    exports: dict[str, Any] = {"exports": [50, 60, 70], "bestCheckpoint": {"step": 50}}
    trainings = (an_adapter_training(**exports), an_adapter_training("other", uid="44444444", **exports))
    return lambda spec: at(
        ServingLife(*trainings, a_claim("team.a"), **spec).status.to_wire(), f"resolved.adapters.0.{path}"
    )


def adapter_after_the_training_went_on(spec: Spec) -> object:
    life = ServingLife(an_adapter_training(), **spec)
    life.train("legal", exports=[50, 60], result="Complete", uid="33333333")
    life.run(rounds=6)
    return at(life.template()["spec"], "containers.0.volumeMounts.1.subPath")


def replicas_for_12_in_flight(spec: Spec) -> object:
    samples = {name: Sample(value, START) for name, value in {IN_FLIGHT: 12, REPORTING: 1, AGE: 0}.items()}
    return wanted(DeepSeekServing.model_validate(a_serving(**spec)), Configuration(), samples).replicas


def asked_of_prometheus(load: str = "") -> Scene:
    """What is asked for a signal; the names of all that is, without one."""

    def shows(spec: Spec) -> object:
        everywhere = Configuration(queries_of=frozenset({"*"}))
        asked = dict(queries(DeepSeekServing.model_validate(a_serving(**spec)), everywhere))
        return asked[load] if load else sorted(name for name in asked if name in LOADS)

    return shows


def of_first_token(quantile: str) -> str:
    buckets = 'vllm:time_to_first_token_seconds_bucket{namespace="team",deepseek_serving="chat"}'
    return f"1000 * histogram_quantile({quantile}, sum by (le) (rate({buckets}[120s])))"


def scheduled(field: str) -> Scene:
    """What is told of the bounds."""
    return lambda spec: at(ServingLife(**spec).status.to_wire(), f"autoscaling.{field}")


def falls_after_a_minute(spec: Spec) -> object:
    """Replicas let run one minute after the autoscaler was made, which wants one of three."""
    life = ServingLife(**spec)
    life.clock.advance(60)
    life.world.scale(NAMESPACE, "chat", 1)
    life.world.set_autoscaler(NAMESPACE, SERVICE, True, 1)
    life.operator.settle()
    return life.status.running_replicas


def new_version_without_room(spec: Spec) -> object:
    """Phase, and whether the new version serves, on a cluster that has room for as many pods as run."""
    life = ServingLife(**spec)
    life.run()
    old = life.status.stable
    life.edit(engine={"maxConcurrency": 8})
    life.run(room=1)
    return life.status.phase, life.status.stable != old


def revisions_kept(spec: Spec) -> object:
    """Of seven that were wanted one after the other."""
    life = ServingLife(**spec)
    for concurrency in range(10, 16):
        life.edit(engine={"maxConcurrency": concurrency})
        life.run()
    return len(life.cluster.all(REVISION))


def tried(spec: Spec) -> ServingLife:
    """Four replicas of one version, and another that is asked for."""
    life = ServingLife(**{**spec, "replicas": 4})
    life.run()
    life.edit(engine={"maxConcurrency": 8})
    return life


def replicas_tried(spec: Spec) -> object:
    life = tried(spec)
    life.run()
    return len(life.pods()) - 4


def phase_of_a_run(spec: Spec) -> object:
    """Two minutes after its replicas served."""
    life = tried(spec)
    life.run()
    return _phase_after_two_minutes(life, room=1000)


def phase_without_room(spec: Spec) -> object:
    """Two minutes after it began, on a cluster that is full."""
    life = tried(spec)
    life.run(room=4)
    return _phase_after_two_minutes(life, room=4)


def _phase_after_two_minutes(life: ServingLife, room: int) -> object:
    life.clock.advance(120)
    life.operator.settle()
    life.run(room)
    assert life.status.canary is not None
    return life.status.canary.phase


def judged(spec: Spec) -> ServingLife:
    """A minute after the new version served: a twentieth of its 500 answers are errors, and it is slower by a fifth."""
    life = ServingLife(configuration=Configuration(queries_of=frozenset({"*"})), replicas=4, **spec)
    life.run()
    first = life.status.stable

    def answer(query: str, at: datetime) -> Answer:
        counts, times = query.startswith("sum(increase("), query.startswith("histogram_quantile")
        return Reading((500.0 if counts else 0.05 if not times else 1.0 if f'"{first}"' in query else 1.2,), at)

    life.operator.store.answer = answer
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    life.clock.advance(60)
    life.operator.settle()
    return life


def asks(part: str) -> Scene:
    """Whether Prometheus was asked something with that in it."""
    return lambda spec: any(part in query for query in judged(spec).operator.store.asked)


def verdict_after_a_minute(spec: Spec) -> object:
    canary = judged(spec).status.canary
    return canary.analysis.verdict if canary is not None and canary.analysis is not None else ""


def phase_after_a_failure(spec: Spec) -> object:
    canary = judged(spec).status.canary
    return canary.phase if canary is not None else ""


def name_of_a_metric(spec: Spec) -> object:
    canary = judged(spec).status.canary
    return canary.analysis.metrics[0].name if canary is not None and canary.analysis is not None else ""


def examiner(name: str) -> Scene:
    """A variable of the pods that examine the new version."""

    def shows(spec: Spec) -> object:
        jobs = judged(spec).cluster.all(JOB)
        said = [{e["name"]: e["value"] for e in at(job, "spec.template.spec.containers.0.env")} for job in jobs]
        return [env[name] for env in said]

    return shows


def verdict_of_a_mark(spec: Spec) -> object:
    """Of the new version a tenth less of the answers is right than of the stable one's, all of which are."""
    life = judged(spec)
    life.world.run_job_controller()
    for pod in life.pods():
        env = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
        if (url := env.get("DEEPSEEK_EXAM_URL")) is not None:
            metrics = {"accuracy": 1.0 if life.status.stable in url else 0.9, "samples": 200}
            life.world.end(pod, 0, json.dumps({"metrics": metrics}))
    life.world.run_job_controller()
    life.operator.settle()
    life.clock.advance(60)
    life.operator.settle()
    assert life.status.canary is not None
    assert life.status.canary.analysis is not None
    return life.status.canary.analysis.verdict


def asked_by_header(part: str) -> Scene:
    """Name or value of the header by which the route tells requests apart, once the new version serves."""

    def shows(spec: Spec) -> object:
        life = tried({**ROUTED, **spec})
        life.run()
        rules = life.stored(HTTP_ROUTE, SERVICE)["spec"]["rules"]
        return [header[part] for rule in rules for header in rule["matches"][0].get("headers", ())]

    return shows


def suspended(spec: Spec) -> object:
    """Replicas specified, and autoscalers."""
    life = ServingLife(**spec)
    return life.deployment()["spec"]["replicas"], len(life.cluster.all(AUTOSCALER))


# --- the specs around the fields ------------------------------------------------------------------------------------

SOURCE = {"uri": "pvc://models/v2"}
FOLDER: Spec = {"model": {"source": SOURCE}}
HUB: Spec = {"model": {"source": {"uri": "hf://a/b@main", "claimName": "models"}}}
IMAGE: Spec = {"engine": {"type": "custom", "image": "e:1"}}
GPUS: Spec = {"accelerator": {"resource": "nvidia.com/gpu"}}
H200 = {"profile": "nvidia-h200-141"}
EXPORT: Spec = {"model": {"fromTraining": {"name": "tune"}}}
SCALED: Spec = {"autoscaling": {"maxReplicas": 8, "signals": [{"type": "InFlight", "target": 4}]}, "replicas": 3}
DEMAND = {"type": "InFlight", "target": 4}
BY_TIME: Spec = {"autoscaling": {"maxReplicas": 8, "signals": [{"type": "TimeToFirstToken"}, DEMAND]}}
SCHEDULED = {"name": "day", "from": "00:00", "to": "12:00", "zone": "UTC", "minReplicas": 5}
NEW_YEAR: Spec = {"autoscaling": {"maxReplicas": 8, "signals": [DEMAND], "schedules": [SCHEDULED]}}
"""The world of these tests begins with the year 2026, a Thursday, at midnight in UTC."""
BY_QUERY: Spec = {"autoscaling": {"maxReplicas": 8, "signals": [{"type": "PromQL", "target": 4}]}}
TOLERATION: Spec = {"pod": {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "a"}]}}
ROUTED: Spec = {"gateway": {"parentRef": {"name": "public"}}}
JWT: Spec = {"issuer": "https://login.example.com", "audiences": ["deepseek"], "jwks": {"configMapName": "keys"}}
TOKENS: Spec = {"gateway": {**ROUTED["gateway"], "auth": {"jwt": JWT}}}
FETCHED: Spec = {
    "gateway": {**ROUTED["gateway"], "auth": {"jwt": {**JWT, "jwks": {"uri": "https://login.example.com"}}}}
}
SLEEPS: Spec = {
    "autoscaling": {"minReplicas": 0, "maxReplicas": 8, "signals": [{"type": "InFlight", "target": 4}]},
    "gateway": {**ROUTED["gateway"], "auth": {"apiKeys": True}},
}
KEYED: Spec = {"gateway": {**ROUTED["gateway"], "auth": {"apiKeys": True}}}
CALLED: Spec = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": SOURCE},
    "engine": {"type": "triton"},
    "accelerator": {"profile": "nvidia-h200-141"},
    "gateway": {**ROUTED["gateway"], "hostnames": ["a.example.com"], "grpc": {}},
}
CACHED: Spec = {"gateway": {**ROUTED["gateway"], "auth": {"apiKeys": True}, "cache": {"image": "nginx:1"}}}
API_KEY: Spec = {"engine": {"apiKey": {"name": "a", "key": "key"}}}
SECRET: Spec = {"engine": {"env": [{"name": "A", "secret": {"name": "hub", "key": "token"}}]}}
PRIVATE = {
    "model_type": "llama", "num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64,
    "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 128256, "max_position_embeddings": 8192,
}  # fmt: skip


def canary(**step: Any) -> Spec:
    return {"rollout": {"canary": {"steps": [step]}}}


ANALYSIS = "rollout.canary.steps[].analysis"
BAD: Spec = {"type": "ErrorRate", "max": "0.01"}
SLOW: Spec = {"type": "Latency", "maxIncreasePercent": 10}
EXAM: Spec = {"type": "Accuracy", "data": "builtin://uppercase", "min": "0.9"}
DROP: Spec = {"type": "Accuracy", "data": "builtin://uppercase", "maxDrop": "0.2"}
OWN: Spec = {"type": "PromQL", "name": "A", "query": "a", "min": "0.01"}


def judged_by(metric: Spec) -> Spec:
    return canary(weight=25, bakeSeconds=600, analysis={"metrics": [metric]})


TRIED, BAKED = canary(weight=25), canary(weight=25, bakeSeconds=60)
A_B: Spec = {"rollout": {"canary": {"steps": [{"replicas": 1}], "match": {"percent": 20}}}}
BY_HEADER: Spec = {
    **ROUTED,
    "rollout": {"canary": {"steps": [{"replicas": 1}], "match": {"header": {"name": "x-a", "value": "1"}}}},
}
STALLED: Spec = {"rollout": {"canary": {**TRIED["rollout"]["canary"], "stallSeconds": 60}}}


def by(program: str, name: str = "deepseek-r1-distill-llama-70b", **spec: Any) -> Spec:
    """A model of the catalogue, by an engine whose command the operator makes, on H200s."""
    model = {"name": name, "source": SOURCE}
    return {"model": model, "engine": {"type": program}, "accelerator": H200, **spec}


vllm, sglang = partial(by, "vllm"), partial(by, "sglang")
TIGHT = vllm(accelerator={"profile": "nvidia-h20-96", "perNode": 2})
"""Lacks 2.3 GiB of what the model's whole context needs."""

GRACE = pod("terminationGracePeriodSeconds")


def exported(step: int) -> str:
    return f"{TRAINING_UID}/exports/{step}"


ADAPTER: Spec = {**FOLDER, "adapters": [{"name": "legal", "source": {"uri": "pvc://models/legal"}}]}
HUB_ADAPTER: Spec = {
    **FOLDER, "adapters": [{"name": "legal", "source": {"uri": "hf://a/b@main", "claimName": "models"}}]}  # fmt: skip
TUNED: Spec = {**FOLDER, "adapters": [{"name": "legal", "fromTraining": {"name": "legal"}}]}

FIELDS = (
    Field("model.name", variable("DEEPSEEK_SERVED_MODEL_NAME"), ((ABSENT, "chat"), ("ds", "ds")), FOLDER),
    Field("model.name", both(plan("gpus"), flag("--served-model-name")),
          (("deepseek-r1", (8, "deepseek-r1")), ("deepseek-v2-lite", (1, "deepseek-v2-lite"))), vllm()),
    Field("model.source.uri", pod("volumes.0.persistentVolumeClaim.claimName"),
          (("pvc://models/v2", "models"), ("pvc://team.a/v2", "team.a")), FOLDER),
    Field("model.source.uri", engine("volumeMounts.0.subPath"),
          (("pvc://models/v2", "v2"), ("pvc://models/v3", "v3"), ("pvc://models", None)), FOLDER),
    Field("model.source.uri", fetched("DEEPSEEK_SOURCE_URI"),
          (("hf://a/b@main", "hf://a/b@main"), ("hf://a/b@v2", "hf://a/b@v2")), HUB),
    Field("model.source.claimName", fetched("claim"), (("models", "models"), ("team.a", "team.a")), HUB),
    Field("model.source.credentials", fetched("HF_TOKEN"), ((ABSENT, None), ("hub", ("hub", "token"))), HUB),
    Field("model.source.digest", fetched("DEEPSEEK_SOURCE_DIGEST"),
          ((ABSENT, None), (f"sha256:{'0' * 64}", f"sha256:{'0' * 64}")), HUB),
    Field("model.fromTraining.name", served_export,
          (("tune", exported(200)), ("other", "22222222/exports/200")), EXPORT),
    Field("model.fromTraining.checkpoint", served_export,
          (("Best", exported(200)), ("Latest", exported(300)), ("100", exported(100))), EXPORT),
    Field("model.fromTraining.update", export_after_the_training_went_on,
          (("Pinned", exported(100)), ("OnNewBest", exported(200))), EXPORT),
    Field("model.custom", plan("gpus"), ((PRIVATE, 2), ({**PRIVATE, "num_hidden_layers": 8}, 1)), vllm("mine")),
    Field("model.quantization", both(plan("format"), plan("gpus")),
          ((ABSENT, ("bf16", 2)), ("awq", ("awq", 1)), ("fp8", ("fp8", 1))), vllm()),
    Field("adapters[].name", variable("DEEPSEEK_ADAPTERS"),
          (("legal", '[{"name": "legal", "path": "/adapters/0"}]'), ("a", '[{"name": "a", "path": "/adapters/0"}]')), ADAPTER),
    Field("adapters[].name", flag("--lora-modules"), (("legal", "legal=/adapters/0"), ("a", "a=/adapters/0")),
          {**vllm(), "adapters": ADAPTER["adapters"]}),
    Field("adapters[].name", flag("--lora-paths"), (("legal", "legal=/adapters/0"), ("a", "a=/adapters/0")),
          {**sglang(), "adapters": ADAPTER["adapters"]}),
    Field("adapters[].source.uri", engine("volumeMounts.1.subPath"),
          (("pvc://models/a", "a"), ("pvc://models/b", "b"), ("pvc://models", None)), ADAPTER),
    Field("adapters[].source.uri", pod("volumes.1.persistentVolumeClaim.claimName"),
          (("pvc://models/a", None), ("pvc://team.a/a", "team.a")), ADAPTER),
    Field("adapters[].source.claimName", fetched("claim"), (("models", "models"), ("team.a", "team.a")), HUB_ADAPTER),
    Field("adapters[].source.credentials", fetched("HF_TOKEN"),
          ((ABSENT, None), ("hub", ("hub", "token"))), HUB_ADAPTER),
    Field("adapters[].source.digest", fetched("DEEPSEEK_SOURCE_DIGEST"),
          ((ABSENT, None), (f"sha256:{'0' * 64}", f"sha256:{'0' * 64}")), HUB_ADAPTER),
    Field("adapters[].rank", flag("--max-lora-rank"), ((ABSENT, "16"), (17, "32"), (320, "320")),
          {**vllm(), "adapters": ADAPTER["adapters"]}),
    Field("adapters[].fromTraining.name", beside("subPath"),
          (("legal", "33333333/exports/50"), ("other", "44444444/exports/50")), TUNED),
    Field("adapters[].fromTraining.checkpoint", beside("step"), (("Best", 50), ("Latest", 70), ("60", 60)), TUNED),
    Field("adapters[].fromTraining.update", adapter_after_the_training_went_on,
          (("Pinned", "33333333/exports/50"), ("OnNewBest", "33333333/exports/60")), TUNED),
    Field("engine.type", engine("command"),
          (("builtin", ["python3", "-m", "deepseek_runtime.engine"]), ("custom", None)), IMAGE),
    Field("engine.type", engine("command.0"), (("vllm", "sh"), ("sglang", "python3")), vllm()),
    Field("engine.version", engine("image"),
          (("0.33.0", "vllm/vllm-openai:v0.33.0"), ("0.18.0", "vllm/vllm-openai:v0.18.0")), vllm()),
    Field("engine.version", engine("image"),
          (("0.5.23", "lmsysorg/sglang:v0.5.23"), ("0.5.20", "lmsysorg/sglang:v0.5.20")), sglang()),
    Field("engine.image", engine("image"), ((ABSENT, Configuration().runtime_image), ("e:2", "e:2"))),
    Field("engine.image", engine("image"), ((ABSENT, "vllm/vllm-openai:v0.33.0"), ("e:2", "e:2")), vllm()),
    Field("engine.command[]", engine("command"), ((["a", "b"], ["a", "b"]), (["c"], ["c"])), IMAGE),
    Field("engine.args[]", engine("args"), ((["-a"], ["-a"]), (["-b", "c"], ["-b", "c"])), IMAGE),
    Field("engine.args[]", last_flag, ((["--x=1"], "--x=1"), (["--y"], "--y")), vllm()),
    Field("engine.args[]", last_flag, ((["--x=1"], "--x=1"), (["--y"], "--y")), sglang()),
    Field("engine.env[].name", both(variable("A"), variable("B")), (("A", ("1", None)), ("B", (None, "1"))),
          {"engine": {"env": [{"value": "1"}]}}),
    Field("engine.env[].value", variable("A"), ((ABSENT, ""), ("2", "2")), {"engine": {"env": [{"name": "A"}]}}),
    Field("engine.env[].value", variable("A"), ((ABSENT, ""), ("2", "2")),
          vllm(engine={"type": "vllm", "env": [{"name": "A"}]})),
    Field("engine.port", both(engine("ports.0.containerPort"), variable("DEEPSEEK_PORT")),
          ((8000, (8000, "8000")), (9000, (9000, "9000")))),
    Field("engine.healthPath", both(*(engine(f"{p}Probe.httpGet.path") for p in ("startup", "readiness", "liveness"))),
          (("/health", ("/health",) * 3), ("/up", ("/up",) * 3)), IMAGE),
    Field("engine.maxConcurrency", variable("DEEPSEEK_MAX_CONCURRENCY"), ((4, "4"), (7, "7"))),
    Field("engine.queueLimit", variable("DEEPSEEK_QUEUE_LIMIT"), ((64, "64"), (0, "0"))),
    Field("engine.startTimeoutSeconds", engine("startupProbe.failureThreshold"), ((1800, 360), (60, 12))),
    Field("engine.options.maxSequences", flag("--max-num-seqs"), ((ABSENT, None), (64, "64")), vllm()),
    Field("engine.options.maxSequences", flag("--max-running-requests"), ((ABSENT, None), (64, "64")), sglang()),
    Field("engine.options.maxBatchedTokens", flag("--max-num-batched-tokens"), ((ABSENT, None), (4096, "4096")), vllm()),
    Field("engine.options.maxBatchedTokens", flag("--chunked-prefill-size"), ((ABSENT, None), (4096, "4096")), sglang()),
    Field("engine.options.memoryShare", plan("refused"), ((ABSENT, "DoesNotFit"), ("0.98", None)), TIGHT),
    Field("engine.options.chunkedPrefill", last_flag,
          ((True, "--enable-chunked-prefill"), (False, "--no-enable-chunked-prefill")), vllm()),
    Field("engine.options.chunkedPrefill", flag("--chunked-prefill-size"), ((True, None), (False, "-1")), sglang()),
    Field("engine.options.prefixCaching", last_flag,
          ((True, "--enable-prefix-caching"), (False, "--no-enable-prefix-caching")), vllm()),
    Field("engine.options.speculativeTokens", flag("--speculative-config"),
          ((ABSENT, None), (2, '{"method": "mtp", "num_speculative_tokens": 2}')), vllm("deepseek-r1")),
    Field("engine.options.speculativeTokens", flag("--speculative-num-draft-tokens"),
          ((ABSENT, None), (2, "3")), sglang("deepseek-r1")),
    Field("engine.options.toolParser", flag("--tool-call-parser"),
          ((ABSENT, None), ("auto", "deepseek_v3"), ("mine", "mine")), vllm("deepseek-r1")),
    Field("engine.options.toolParser", flag("--tool-call-parser"),
          ((ABSENT, None), ("auto", "deepseekv3"), ("mine", "mine")), sglang("deepseek-r1")),
    Field("engine.options.reasoningParser", flag("--reasoning-parser"),
          ((ABSENT, "deepseek_r1"), ("mine", "mine")), vllm("deepseek-r1")),
    Field("engine.options.cpuOffloadGiB", flag("--cpu-offload-gb"), ((ABSENT, None), (4, "4")), vllm()),
    Field("engine.options.cpuOffloadGiB", plan("refused"), ((ABSENT, "DoesNotFit"), (4, None)), TIGHT),
    Field("engine.options.memoryShare", flag("--gpu-memory-utilization"), ((ABSENT, None), ("0.8", "0.8")), vllm()),
    Field("engine.options.memoryShare", flag("--mem-fraction-static"), ((ABSENT, None), ("0.8", "0.8")), sglang()),
    Field("engine.apiKey.name", secret_of("DEEPSEEK_API_KEY"), (("a", ("a", "key")), ("b", ("b", "key"))), API_KEY),
    Field("engine.apiKey.key", secret_of("DEEPSEEK_API_KEY"), (("key", ("a", "key")), ("b", ("a", "b"))), API_KEY),
    Field("engine.watchdog.stallSeconds", both(flag("--stall-seconds"), engine("livenessProbe.failureThreshold")),
          ((ABSENT, ("300", 24)), (60, ("60", 8)), (900, ("900", 64))), {"engine": {"watchdog": {}}}),
    Field("engine.watchdog.stallSeconds", both(flag("--stall-seconds"), engine("livenessProbe.failureThreshold")),
          ((60, ("60", 12)), (900, ("900", 96))), vllm()),
    Field("engine.startTimeoutSeconds", engine("startupProbe.failureThreshold"), ((7200, 720), (9000, 900)), vllm()),
    Field("engine.maxModelLength", flag("--max-model-len"), ((ABSENT, None), (32768, "32768")), vllm()),
    Field("engine.maxModelLength", flag("--context-length"), ((ABSENT, None), (32768, "32768")), sglang()),
    Field("engine.maxModelLength", plan("refused"), ((ABSENT, "DoesNotFit"), (8192, None)), TIGHT),
    Field("engine.kvCacheDtype", flag("--kv-cache-dtype"), ((ABSENT, None), ("fp8", "fp8")), vllm()),
    Field("engine.kvCacheDtype", flag("--kv-cache-dtype"), ((ABSENT, None), ("fp8", "fp8_e4m3")), sglang()),
    Field("engine.kvCacheDtype", plan("refused"), ((ABSENT, "DoesNotFit"), ("fp8", None)), TIGHT),
    Field("engine.resources.cpu", both(engine("resources.requests.cpu"), variable("DEEPSEEK_CPUS")),
          ((ABSENT, (None, None)), ("2500m", ("2500m", "2")))),
    Field("engine.resources.cpuLimit", engine("resources.limits.cpu"), ((ABSENT, None), (4, "4"))),
    Field("engine.resources.cpuLimit", engine("resources.limits.cpu"), ((ABSENT, None), ("4", "4")), vllm()),
    Field("engine.env[].secret.name", secret_of("A"), (("hub", ("hub", "token")), ("b", ("b", "token"))), SECRET),
    Field("engine.env[].secret.key", secret_of("A"), (("token", ("hub", "token")), ("b", ("hub", "b"))), SECRET),
    Field("engine.env[].secret.key", secret_of("A"), (("token", ("hub", "token")), ("b", ("hub", "b"))),
          vllm(engine={"type": "vllm", **SECRET["engine"]})),
    Field("pod.labels", lambda spec: ServingLife(a_claim("team.a"), **spec).template()["metadata"]["labels"].get("team"),
          ((ABSENT, None), ({"team": "a"}, "a"))),
    Field("pod.annotations", lambda spec: ServingLife(a_claim("team.a"), **spec).template()["metadata"].get("annotations"),
          ((ABSENT, None), ({"contact": "a"}, {"contact": "a"}))),
    Field("pod.imagePullSecrets[]", pod("imagePullSecrets"), ((ABSENT, None), (["a", "b"], [{"name": "a"}, {"name": "b"}]))),
    Field("engine.resources.cpu", engine("resources.requests.cpu"), ((ABSENT, None), ("2", "2")), vllm()),
    Field("engine.resources.memory", both(engine("resources.requests.memory"), engine("resources.limits.memory")),
          ((ABSENT, (None, None)), ("2Gi", ("2Gi", "2Gi")))),
    Field("engine.resources.memory", engine("resources.limits.memory"), ((ABSENT, None), ("2Gi", "2Gi")), vllm()),
    Field("engine.resources.sharedMemory", pod("volumes.1.emptyDir.sizeLimit"), ((ABSENT, "1Gi"), ("8Gi", "8Gi"))),
    Field("engine.resources.sharedMemory", pod("volumes.1.emptyDir.sizeLimit"),
          (("2Gi", "2Gi"), ("8Gi", "8Gi")), vllm()),
    Field("accelerator.profile", engine("resources.limits"),
          (("nvidia-h200-141", {"nvidia.com/gpu": "2"}), ("amd-mi300x-192", {"amd.com/gpu": "2"})), vllm()),
    Field("accelerator.profile", plan("refused"),
          (("nvidia-h200-141", None), ("nvidia-h200", "UnknownProfile")), vllm()),
    Field("accelerator.resource", engine("resources.limits"),
          (("nvidia.com/gpu", {"nvidia.com/gpu": "1"}), ("amd.com/gpu", {"amd.com/gpu": "1"}))),
    Field("accelerator.perNode", engine("resources.limits"),
          ((ABSENT, {"nvidia.com/gpu": "1"}), (4, {"nvidia.com/gpu": "4"})), GPUS),
    Field("accelerator.perNode", both(engine("resources.limits"), flag("--tensor-parallel-size")),
          ((ABSENT, ({"nvidia.com/gpu": "2"}, "2")), (8, ({"nvidia.com/gpu": "8"}, "8"))), vllm()),
    Field("nodes.count", plan("nodes"), ((ABSENT, 1), (2, 2)), vllm("deepseek-r1")),
    Field("parallelism.tensor", flag("--tensor-parallel-size"), ((ABSENT, "2"), (4, "4")), vllm()),
    Field("parallelism.tensor", flag("--tp-size"), ((ABSENT, "2"), (4, "4")), sglang()),
    Field("parallelism.pipeline", flag("--pipeline-parallel-size"), ((ABSENT, None), (2, "2")), vllm()),
    Field("parallelism.pipeline", flag("--pp-size"), ((ABSENT, None), (2, "2")), sglang()),
    Field("parallelism.data", flag("--data-parallel-size"), ((ABSENT, None), (4, "4")), vllm("deepseek-r1")),
    Field("parallelism.data", flag("--attn-dp-size"), ((ABSENT, None), (4, "4")), sglang("deepseek-r1")),
    Field("replicas", runs, ((ABSENT, (1, 1)), (3, (3, 3)), (0, (0, 0)))),
    Field("autoscaling.minReplicas", both(autoscaler("minReplicas"), runs),
          ((1, (1, (3, 3))), (5, (5, (5, 5)))), SCALED),
    Field("autoscaling.maxReplicas", both(autoscaler("maxReplicas"), runs),
          ((8, (8, (3, 3))), (2, (2, (2, 2)))), SCALED),
    Field("autoscaling.wake.idleSeconds", phase_after_two_minutes_without_requests,
          ((ABSENT, "Idle"), (60, "Asleep")), SLEEPS),
    Field("autoscaling.wake.holdSeconds", gate_waits, ((ABSENT, "255s"), (600, "615s")), SLEEPS),
    Field("autoscaling.signals[].type", asked_of_prometheus(),
          (("InFlight", ["InFlight"]), ("TokensPerSecond", ["TokensPerSecond"])), SCALED),
    Field("autoscaling.signals[].quantile", asked_of_prometheus("TimeToFirstToken"),
          ((ABSENT, of_first_token("0.99")), ("0.5", of_first_token("0.5"))), BY_TIME),
    Field("autoscaling.signals[].query", asked_of_prometheus("PromQL"),
          (("vector(1)", "vector(1)"), ('sum(a{b="$serving"})', 'sum(a{b="chat"})')), BY_QUERY),
    Field("autoscaling.signals[].target", replicas_for_12_in_flight, ((4, 3), (12, 1)), SCALED),
    Field("autoscaling.backend", scalers, ((ABSENT, ["HorizontalPodAutoscaler"]), ("KEDA", ["ScaledObject"])), SCALED),
    Field("autoscaling.schedules[].name", scheduled("schedules"), (("day", ["day"]), ("night", ["night"])), NEW_YEAR),
    Field("autoscaling.schedules[].days[]", scheduled("floor"), ((ABSENT, 5), (["Fri"], 1)), NEW_YEAR),
    Field("autoscaling.schedules[].from", scheduled("floor"), (("00:00", 5), ("00:01", 1)), NEW_YEAR),
    Field("autoscaling.schedules[].to", scheduled("nextChange"),
          (("12:00", "2026-01-01T12:00:00Z"), ("13:00", "2026-01-01T13:00:00Z")), NEW_YEAR),
    Field("autoscaling.schedules[].zone", scheduled("floor"), (("UTC", 5), ("America/New_York", 1)), NEW_YEAR),
    Field("autoscaling.schedules[].minReplicas", both(autoscaler("minReplicas"), runs),
          ((4, (4, (4, 4))), (6, (6, (6, 6)))), NEW_YEAR),
    Field("autoscaling.schedules[].maxReplicas", both(autoscaler("maxReplicas"), scheduled("ceiling")),
          ((ABSENT, (8, 8)), (5, (5, 5)), (20, (20, 20))), NEW_YEAR),
    Field("autoscaling.scaleDownStabilizationSeconds", falls_after_a_minute, ((ABSENT, 3), (60, 1)), SCALED),
    Field("autoscaling.scaleDownStabilizationSeconds", autoscaler("behavior.scaleDown.stabilizationWindowSeconds"),
          ((ABSENT, 300), (60, 60)), SCALED),
    Field("rollout.strategy", new_version_without_room,
          (("RollingUpdate", ("WaitingForCapacity", False)), ("Recreate", ("Available", True)))),
    Field("rollout.canary.steps[].weight", replicas_tried, ((25, 1), (50, 2)), TRIED),
    Field("rollout.canary.steps[].replicas", replicas_tried, ((2, 2), (3, 3)), TRIED),
    Field("rollout.canary.steps[].bakeSeconds", phase_of_a_run, ((60, "Completed"), (600, "Baking")), TRIED),
    Field("rollout.canary.steps[].pause", phase_of_a_run, ((ABSENT, "Completed"), (True, "Paused")), BAKED),
    Field("rollout.canary.match.percent", replicas_tried, ((20, 1), (50, 2)), A_B),
    Field("rollout.canary.match.header.name", asked_by_header("name"), (("x-a", ["x-a"]), ("x-b", ["x-b"])), BY_HEADER),
    Field("rollout.canary.match.header.value", asked_by_header("value"), (("1", ["1"]), ("2", ["2"])), BY_HEADER),
    Field("rollout.canary.onInconclusive", phase_without_room, (("Hold", "Held"), ("Rollback", "RolledBack")), STALLED),
    Field("rollout.canary.stallSeconds", phase_without_room, ((60, "Held"), (600, "Preparing")), TRIED),
    Field(f"{ANALYSIS}.intervalSeconds", verdict_after_a_minute, ((60, "Fail"), (600, "")), judged_by(BAD)),
    Field(f"{ANALYSIS}.windowSeconds", asks("[60s]"), ((ABSENT, False), (60, True)), judged_by(BAD)),
    Field(f"{ANALYSIS}.failureLimit", phase_after_a_failure, ((1, "RolledBack"), (2, "Baking")), judged_by(BAD)),
    Field(f"{ANALYSIS}.minimumSamples", verdict_after_a_minute, ((500, "Fail"), (501, "Inconclusive")), judged_by(BAD)),
    Field(f"{ANALYSIS}.metrics[].type", asks("histogram_quantile"), (("ErrorRate", False), ("Latency", True)), judged_by(BAD)),
    Field(f"{ANALYSIS}.metrics[].quantile", asks("(0.5,"), ((ABSENT, False), ("0.5", True)), judged_by(SLOW)),
    Field(f"{ANALYSIS}.metrics[].maxIncreasePercent", verdict_after_a_minute, ((10, "Fail"), (30, "Pass")), judged_by(SLOW)),
    Field(f"{ANALYSIS}.metrics[].max", verdict_after_a_minute, (("0.01", "Fail"), ("0.06", "Pass")), judged_by(BAD)),
    Field(f"{ANALYSIS}.metrics[].min", verdict_after_a_minute, (("0.01", "Pass"), ("0.06", "Fail")), judged_by(OWN)),
    Field(f"{ANALYSIS}.metrics[].min", verdict_of_a_mark, (("0.9", "Pass"), ("0.91", "Fail")), judged_by(EXAM)),
    Field(f"{ANALYSIS}.metrics[].maxDrop", verdict_of_a_mark, (("0.2", "Pass"), ("0.05", "Fail")), judged_by(DROP)),
    Field(f"{ANALYSIS}.metrics[].data", examiner("DEEPSEEK_EXAM_DATA"),
          (("builtin://uppercase", ["builtin://uppercase"]), ("pvc://models/a/b.jsonl", ["/data/a/b.jsonl"])), judged_by(EXAM)),
    Field(f"{ANALYSIS}.metrics[].samples", examiner("DEEPSEEK_EXAM_SAMPLES"), ((ABSENT, ["200"]), (50, ["50"])), judged_by(EXAM)),
    Field(f"{ANALYSIS}.metrics[].query", asks("found"), (("lost", False), ("found", True)), judged_by(OWN)),
    Field(f"{ANALYSIS}.metrics[].name", name_of_a_metric, (("A", "A"), ("B", "B")), judged_by(OWN)),
    Field("rollout.keepRevisions", revisions_kept, ((ABSENT, 5), (3, 3), (10, 7))),
    Field("gateway.parentRef.name", route("parentRefs.0.name"), (("public", "public"), ("b", "b")), ROUTED),
    Field("gateway.parentRef.namespace", route("parentRefs.0.namespace"), ((ABSENT, NAMESPACE), ("infra", "infra")), ROUTED),
    Field("gateway.parentRef.sectionName", route("parentRefs.0.sectionName"), ((ABSENT, None), ("https", "https")), ROUTED),
    Field("gateway.hostnames[]", route("hostnames"),
          ((ABSENT, None), (["a.example.com", "*.b.example.com"], ["a.example.com", "*.b.example.com"])), ROUTED),
    Field("gateway.models[]", both(variable("DEEPSEEK_SERVED_MODEL_NAME"), variable("DEEPSEEK_MODEL_ALIASES")),
          ((ABSENT, ("chat", None)), (["a", "b"], ("a", "b chat"))), {**FOLDER, **ROUTED}),
    Field("gateway.models[]", flags("--served-model-name"),
          (([], ["deepseek-r1-distill-llama-70b"]), (["a", "b"], ["a", "b", "deepseek-r1-distill-llama-70b"])),
          {**vllm(), **ROUTED}),
    Field("gateway.timeouts.requestSeconds", route("rules.0.timeouts.request"), ((ABSENT, "3600s"), (60, "60s")), ROUTED),
    Field("gateway.timeouts.streamIdleSeconds", policy("timeout.http.streamIdleTimeout"),
          ((ABSENT, "300s"), (60, "60s")), ROUTED),
    Field("gateway.retries", policy("retry.numRetries"), ((ABSENT, 2), (5, 5), (0, None)), ROUTED),
    Field("gateway.limits.maxBodySize", policy("requestBuffer.limit"), ((ABSENT, "32Mi"), ("512Ki", "512Ki")), ROUTED),
    Field("gateway.limits.requestsPerMinute", policy("rateLimit.local.rules.1.limit.requests"),
          ((ABSENT, None), (600, 600)), ROUTED),
    Field("gateway.limits.tokensPerMinute", policy("rateLimit.global.rules.0.limit.requests"),
          ((ABSENT, None), (90000, 90000)), KEYED),
    Field("gateway.limits.concurrency", policy("circuitBreaker.maxParallelRequests"), ((ABSENT, 65536), (8, 8)), ROUTED),
    Field("gateway.auth.apiKeys", asked_in, ((ABSENT, "jwt"), (True, "any")), TOKENS),
    Field("gateway.auth.jwt.issuer", token("issuer"), (("a", "a"), ("b", "b")), TOKENS),
    Field("gateway.auth.jwt.audiences[]", token("audiences"), ((["a"], ["a"]), (["a", "b"], ["a", "b"])), TOKENS),
    Field("gateway.auth.jwt.jwks.uri", token("remoteJWKS.uri"),
          (("https://a.example.com", "https://a.example.com"), ("https://b.example.com", "https://b.example.com")), FETCHED),
    Field("gateway.auth.jwt.jwks.backendName", token("remoteJWKS.backendRefs.0.name"),
          ((ABSENT, None), ("a", "a"), ("b", "b")), FETCHED),
    Field("gateway.auth.jwt.jwks.configMapName", token("localJWKS.valueRef.name"), (("a", "a"), ("b", "b")), TOKENS),
    Field("gateway.grpc.hostnames[]", called_under,
          ((ABSENT, ["a.example.com"]), (["b.example.com"], ["b.example.com"])), CALLED),
    Field("gateway.cache.image", cache("containers.0.image"), (("nginx:1", "nginx:1"), ("nginx:2", "nginx:2")), CACHED),
    Field("gateway.cache.ttlSeconds", kept_for, ((ABSENT, 3600), (60, 60)), CACHED),
    Field("gateway.cache.maxSize", cache("volumes.1.emptyDir.sizeLimit"), ((ABSENT, "320Mi"), ("1Gi", "1088Mi")), CACHED),
    Field("pod.nodeSelector", pod("nodeSelector"), ((ABSENT, None), ({"zone": "a"}, {"zone": "a"}))),
    Field("pod.nodeSelector", pod("nodeSelector.zone"), ((ABSENT, None), ({"zone": "a"}, "a")), vllm()),
    Field("pod.tolerations[].key", pod("tolerations.0.key"), (("gpu", "gpu"), ("npu", "npu")), TOLERATION),
    Field("pod.tolerations[].key", pod("tolerations.0.key"), (("gpu", "gpu"), ("npu", "npu")), vllm(**TOLERATION)),
    Field("pod.tolerations[].operator", pod("tolerations"),
          (("Equal", [{"key": "a", "operator": "Equal"}]), ("Exists", [{"key": "a", "operator": "Exists"}])),
          {"pod": {"tolerations": [{"key": "a"}]}}),
    Field("pod.tolerations[].value", pod("tolerations.0.value"), (("a", "a"), ("b", "b")), TOLERATION),
    Field("pod.tolerations[].effect", pod("tolerations.0.effect"),
          ((ABSENT, None), ("NoExecute", "NoExecute")), TOLERATION),
    Field("pod.priorityClassName", pod("priorityClassName"), ((ABSENT, None), ("high", "high"))),
    Field("pod.terminationGracePeriodSeconds", both(GRACE, variable("DEEPSEEK_DRAIN_SECONDS")),
          ((ABSENT, (60, "50")), (600, (600, "590")))),
    Field("pod.terminationGracePeriodSeconds", both(GRACE, flag("--shutdown-timeout")),
          ((ABSENT, (60, "25")), (600, (600, "565"))), vllm()),
    Field("pod.runAsUser", pod("securityContext.runAsUser"), ((ABSENT, 1000), (7, 7))),
    Field("pod.fsGroup", pod("securityContext.fsGroup"), ((ABSENT, 1000), (7, 7))),
    Field("suspend", suspended, ((ABSENT, (3, 1)), (True, (0, 0))), SCALED),
)  # fmt: skip


def written(row: Field, value: object) -> Spec:
    """The row's spec with that value."""
    return row.base if value is ABSENT else with_leaf(row.base, row.path, value)


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.path)
def test_every_value_of_a_field_shows(row: Field) -> None:
    expected = [outcome for _, outcome in row.values]
    assert [row.shows(written(row, value)) for value, _ in row.values] == expected
    assert len({repr(outcome) for outcome in expected}) == len(expected) > 1


def test_no_field_of_the_schema_is_without_a_row() -> None:
    assert {f"spec.{row.path}" for row in FIELDS} == schema_leaves("deepseekservings", "spec")
