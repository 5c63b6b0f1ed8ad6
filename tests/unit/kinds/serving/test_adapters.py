"""Adapters beside a model: resolved and pinned one by one, part of the revision, refused beside another base."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import POD
from deepseek_operator.core.web_access import NOWHERE
from deepseek_operator.kinds.serving.failing import in_users_words
from deepseek_operator.kinds.serving.model import Unresolved, resolve
from deepseek_operator.kinds.serving.revision import revision_name
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE, TRAINING_UID, a_claim, a_serving, a_training, an_adapter_training, seen_of

LEGAL: dict[str, Any] = {"name": "legal", "fromTraining": {"name": "legal"}}
CODE: dict[str, Any] = {"name": "code", "source": {"uri": "pvc://models/adapters/code"}, "rank": 32}
EXPORT = {"fromTraining": {"name": "tune"}}


def base_export(step: int) -> dict[str, Any]:
    """What the training of an adapter recorded of the export that it was trained beside."""
    path = f"{TRAINING_UID}/exports/{step}"
    return {"trainingUID": TRAINING_UID, "claimName": "models", "subPath": path, "step": step}


def resolved(*adapters: dict[str, Any], references: Any = (), **spec: Any) -> Any:
    return resolve(seen_of(a_serving(adapters=list(adapters), **spec), references=[a_claim(), *references]), NOWHERE)


def environment(life: ServingLife) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in life.template()["spec"]["containers"][0]["env"]}


def test_each_adapter_is_found_where_it_lies() -> None:
    found = resolved(LEGAL, CODE, references=[an_adapter_training(rank=4)])
    assert [(a.name, a.sub_path, a.rank, a.step, a.base) for a in found.adapters] == [
        ("code", "adapters/code", 32, None, None),
        ("legal", "33333333/exports/50", 4, 50, "pvc://models/v2"),
    ]


@pytest.mark.parametrize(
    ("training", "reason", "final"),
    [
        (None, "WaitingForTraining", False),
        (an_adapter_training(result=None), "WaitingForExport", False),
        (an_adapter_training(result="Failed", exports=[]), "TrainingFailed", True),
        (an_adapter_training("legal") | {"spec": {"method": {"type": "Full"}}}, "NotExported", True),
        (an_adapter_training("legal") | {"spec": {"method": {"type": "LoRA"}}}, "NotExported", True),
    ],
)
def test_an_adapter_that_is_not_there_yet_is_waited_for_and_one_that_never_comes_is_told(
    training: Any, reason: str, final: bool
) -> None:
    found = resolved(CODE, LEGAL, references=[training] if training else [])
    assert isinstance(found, Unresolved)
    assert (found.reason.name, found.final) == (reason, final)


def test_what_exports_no_adapter_is_told_what_to_write() -> None:
    merged = an_adapter_training("legal") | {"spec": {"method": {"type": "LoRA"}}}
    assert (
        "exports the whole model (method.lora.export Merged): serve it as model.fromTraining"
        in resolved(LEGAL, references=[merged]).message
    )
    full = an_adapter_training("legal") | {"spec": {}}
    assert (
        "training legal trains the whole model (method.type Full): serve it"
        in resolved(LEGAL, references=[full]).message
    )


PROMPT: dict[str, Any] = {"spec": {"model": {"source": {"uri": "pvc://models/v2"}}, "method": {"type": "PTuning"}}}


@pytest.mark.parametrize("engine", ["builtin", "custom"])
def test_virtual_tokens_are_served_by_who_can(engine: str) -> None:
    own = {"type": engine, **({"image": "e:1"} if engine == "custom" else {})}
    found = resolved(LEGAL, engine=own, references=[an_adapter_training() | PROMPT])
    assert [(adapter.kind, adapter.rank) for adapter in found.adapters] == [("Prompt", 0)]


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_virtual_tokens_are_refused_by_who_cannot_with_who_can(engine: str) -> None:
    found = resolved(LEGAL, engine={"type": engine}, references=[an_adapter_training() | PROMPT])
    assert (found.reason.name, found.final) == ("Unsupported", True)
    assert "write engine.type builtin or custom, or train with method LoRA" in found.message


EXPERTS: dict[str, Any] = {
    "spec": {
        "model": {"source": {"uri": "pvc://models/v2"}},
        "method": {"type": "LoRA", "lora": {"export": "Adapter", "targets": ["Attention", "experts.down_proj"]}},
    }
}


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_an_adapter_of_experts_is_refused_by_who_would_answer_without_it(engine: str) -> None:
    training = an_adapter_training() | EXPERTS
    found = resolved(LEGAL, engine={"type": engine}, references=[training])
    assert (found.reason.name, found.final) == ("Unsupported", True)
    assert "stands beside fused experts" in found.message
    assert "write engine.type builtin or custom, or train with method.lora.export Merged" in found.message
    assert [adapter.kind for adapter in resolved(LEGAL, references=[training]).adapters] == ["Experts"]


LATENT_BASE = {"name": "deepseek-v2-lite", "source": {"uri": "pvc://models/v2"}}


def of_latents(targets: list[str] | None, model: dict[str, Any]) -> dict[str, Any]:
    lora = {"export": "Adapter", **({"targets": targets} if targets else {})}
    return an_adapter_training() | {"spec": {"model": model, "method": {"type": "LoRA", "lora": lora}}}


@pytest.mark.parametrize("targets", [None, ["Attention"], ["Linear"], ["kv_b_proj"], ["q_proj", "self_attn.kv_b_proj"]])
@pytest.mark.parametrize("told_by", ["training", "serving"])
def test_an_adapter_of_what_is_folded_away_is_refused_by_who_would_answer_without_it(
    targets: list[str] | None, told_by: str
) -> None:
    plain = {"source": LATENT_BASE["source"]}
    training = of_latents(targets, LATENT_BASE if told_by == "training" else plain)
    model = {"model": LATENT_BASE} if told_by == "serving" else {}
    found = resolved(LEGAL, engine={"type": "vllm"}, references=[training], **model)
    assert (found.reason.name, found.final) == ("Unsupported", True)
    assert "stands beside kv_b_proj of multi-head latent attention, which vLLM does not serve" in found.message
    assert "train with method.lora.export Merged, or with targets q_a_proj, q_b_proj" in found.message
    for engine in ("builtin", "sglang"):
        others = resolved(LEGAL, engine={"type": engine}, references=[training], **model).adapters
        assert [adapter.kind for adapter in others] == ["Latent"]


@pytest.mark.parametrize(
    ("targets", "name"),
    [(["q_proj", "o_proj"], "deepseek-v2-lite"), (None, "deepseek-r1-distill-llama-8b"), (None, "qwen-of-my-own")],
)
def test_an_adapter_of_what_every_engine_computes_is_served_by_all(targets: list[str] | None, name: str) -> None:
    training = of_latents(targets, {**LATENT_BASE, "name": name})
    found = resolved(LEGAL, engine={"type": "vllm"}, references=[training])
    assert [adapter.kind for adapter in found.adapters] == ["LoRA"]


def test_virtual_tokens_are_no_model() -> None:
    found = resolved(model={"fromTraining": {"name": "legal"}}, references=[an_adapter_training() | PROMPT])
    assert "exports its adapter alone (method.type PTuning), which is no model" in found.message


def test_an_adapter_of_another_export_is_refused_before_any_pod() -> None:
    trainings = [a_training(exports=[100, 200], result="Complete", bestCheckpoint={"step": 200})]
    other = resolved(LEGAL, model=EXPORT, references=[*trainings, an_adapter_training(base=base_export(100))])
    assert isinstance(other, Unresolved)
    assert (other.reason.name, other.final) == ("BaseMismatch", True)
    assert other.message == (
        f"adapter legal was trained beside pvc://models/{TRAINING_UID}/exports/100, and"
        f" pvc://models/{TRAINING_UID}/exports/200 is served"
    )
    right = resolved(LEGAL, model=EXPORT, references=[*trainings, an_adapter_training(base=base_export(200))])
    assert isinstance(right, ResolvedModel)


def test_a_folder_that_may_be_a_copy_is_left_to_the_pod() -> None:
    model = {"source": {"uri": "pvc://models/copied"}}
    assert isinstance(
        resolved(LEGAL, model=model, references=[an_adapter_training(base=base_export(1))]), ResolvedModel
    )
    assert isinstance(resolved(LEGAL, model=model, references=[an_adapter_training()]), ResolvedModel)


@pytest.mark.parametrize("model", [{}, {"name": "legal"}])
def test_an_adapter_called_as_the_model_is_refused(model: dict[str, Any]) -> None:
    adapter = {**CODE, "name": model.get("name", "chat")}
    found = resolved(adapter, model={"source": {"uri": "pvc://models/v2"}, **model})
    assert isinstance(found, Unresolved)
    assert "as the model is: write model.name, or another name of the adapter" in found.message


def test_another_adapter_does_not_unpin_the_model_nor_the_first() -> None:
    training = a_training(exports=[100], result="Complete")
    life = ServingLife(training, an_adapter_training(base=base_export(100)), model=EXPORT, adapters=[LEGAL])
    life.train(exports=[100, 200], result="Complete")
    life.train("legal", exports=[50, 60], result="Complete", uid="33333333")
    life.edit(adapters=[LEGAL, CODE])
    assert life.status.resolved is not None
    assert life.status.resolved.step == 100
    assert [(a.name, a.step) for a in life.status.resolved.adapters or ()] == [("code", None), ("legal", 50)]
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live.update(status={}))
    life.operator.settle()
    assert [(a.name, a.step) for a in life.status.resolved.adapters or ()] == [("code", None), ("legal", 50)]


def name_of(*adapters: dict[str, Any]) -> str:
    owner = DeepSeekServing.model_validate(a_serving(adapters=list(adapters)))
    found = resolved(*adapters)
    assert isinstance(found, ResolvedModel)
    return revision_name(owner, found)


def test_adapters_are_part_of_the_revision_in_no_order() -> None:
    other = {**CODE, "name": "other"}
    names = [name_of(), name_of(CODE), name_of(CODE, other), name_of({**CODE, "rank": 8}), name_of(other)]
    names.append(name_of({**CODE, "source": {"uri": "pvc://models/b"}}))
    assert len(set(names)) == len(names)
    assert name_of(CODE, other) == name_of(other, CODE)


def test_each_claim_is_mounted_once_and_each_folder_at_its_place() -> None:
    far = {"name": "far", "source": {"uri": "pvc://team/far"}}
    life = ServingLife(a_claim("team"), adapters=[CODE, far])
    pod = life.template()["spec"]
    volumes = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
    }
    assert volumes == {"model": "models", "adapters-0": "team"}
    mounts = [(m["name"], m["mountPath"], m.get("subPath")) for m in pod["containers"][0]["volumeMounts"]][:3]
    assert mounts == [
        ("model", "/model", "v2"),
        ("model", "/adapters/0", "adapters/code"),
        ("adapters-0", "/adapters/1", "far"),
    ]
    assert json.loads(environment(life)["DEEPSEEK_ADAPTERS"]) == [
        {"name": "code", "path": "/adapters/0"},
        {"name": "far", "path": "/adapters/1"},
    ]


VLLM: dict[str, Any] = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/v2"}},
    "engine": {"type": "vllm"},
    "accelerator": {"profile": "nvidia-h200-141"},
}


@pytest.mark.parametrize(("engine", "unread"), [("vllm", ["kv_b_proj"]), ("sglang", [])])
def test_an_engine_that_compares_shapes_alone_starts_behind_a_look_at_the_weights(
    engine: str, unread: list[str]
) -> None:
    life = ServingLife(**{**VLLM, "engine": {"type": engine}}, adapters=[CODE])
    pod = life.template()["spec"]
    [check] = pod["initContainers"]
    assert (check["name"], check["command"][2:]) == ("check-adapters", ["deepseek_runtime.engine.check", *unread])
    assert {one["name"]: one["value"] for one in check["env"]} == {
        "DEEPSEEK_MODEL_PATH": "/model",
        "DEEPSEEK_ADAPTERS": '[{"name": "code", "path": "/adapters/0"}]',
    }
    assert check["volumeMounts"] == [
        one for one in pod["containers"][0]["volumeMounts"] if one["name"] not in ("shared-memory", "engine-files")
    ]


def test_what_the_look_found_is_told_in_the_users_words() -> None:
    life = ServingLife(**VLLM, adapters=[CODE])
    life.world.run_deployment_controller()
    said = "adapter code in /adapters/0 was trained beside other weights than those in /model"
    ended = {"exitCode": 64, "message": json.dumps({"formatVersion": 1, "message": said})}
    status = {"name": "check-adapters", "restartCount": 3, "state": {"waiting": {}}, "lastState": {"terminated": ended}}
    [pod] = life.pods()
    stuck = {"phase": "Pending", "initContainerStatuses": [status], "conditions": [], "containerStatuses": []}
    life.cluster.edit(POD, NAMESPACE, pod["metadata"]["name"], lambda live: live.update(status=stuck))
    life.operator.settle()
    assert life.reason("Reconciling") == "InitContainerFailed"
    told = find(life.status.conditions, "Reconciling")
    assert told is not None
    assert "adapter code in pvc://models/adapters/code was trained beside other weights" in told.message


def test_nothing_is_looked_at_where_the_base_is_known_or_the_engine_looks_itself() -> None:
    known = ServingLife(an_adapter_training(), **VLLM, adapters=[LEGAL])
    assert "initContainers" not in known.template()["spec"]
    other = ServingLife(an_adapter_training(base="pvc://models/elsewhere"), **VLLM, adapters=[LEGAL])
    assert "initContainers" in other.template()["spec"]
    assert "initContainers" not in ServingLife(**VLLM).template()["spec"]
    assert "initContainers" not in ServingLife(adapters=[CODE]).template()["spec"]


def test_a_model_that_is_an_adapter_is_told_with_what_to_write() -> None:
    asked = {"fromTraining": {"name": "legal"}}
    told = resolved(model=asked, references=[an_adapter_training()]).message
    assert "under adapters, beside model.source: {uri: pvc://models/v2};" in told
    told = resolved(model=asked, references=[an_adapter_training(base=base_export(100))]).message
    assert 'under adapters, beside model.fromTraining: {name: tune, checkpoint: "100"};' in told


def test_a_claim_of_an_adapter_is_waited_for_by_name() -> None:
    life = ServingLife(adapters=[{"name": "far", "source": {"uri": "pvc://team/far"}}])
    assert life.reason("Reconciling") == "WaitingForClaim"
    life.put(a_claim("team"))
    life.operator.settle()
    assert life.reason("Reconciling") == "Loading"


def test_the_engine_s_words_name_the_folder_that_the_user_knows() -> None:
    found = resolved(CODE)
    said = "adapter code in /adapters/0 was trained beside other weights than those in /model; see /adapters/1"
    assert in_users_words(said, found) == (
        "adapter code in pvc://models/adapters/code was trained beside other weights than those in pvc://models/v2;"
        " see /adapters/1"
    )


@pytest.mark.parametrize("engine", ["custom"])
def test_an_engine_of_the_users_own_is_told_of_them_by_the_contract(engine: str) -> None:
    life = ServingLife(engine={"type": engine, "image": "e:1"}, adapters=[CODE])
    assert "DEEPSEEK_ADAPTERS" in environment(life)


@pytest.mark.parametrize("adapter", [{"name": "a b"}, {"name": ""}, {**CODE, "rank": 513}, {**CODE, "rank": 0}])
def test_an_adapter_that_is_none_is_no_part_of_a_spec(adapter: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DeepSeekServing.model_validate(a_serving(adapters=[adapter]))
