"""By which names a serving and its revisions are asked for, and that a serving without aliases is the one that it was."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.kinds.serving.called import client_names, engine_names, recorded_names, with_adapters
from deepseek_operator.kinds.serving.revision import revision_name, user_input
from tests.support.gateways import PUBLIC
from tests.support.servings import a_serving

MODEL = ResolvedModel(claim_name="models", sub_path="v2", reference="", told="")


def serving(models: list[str] | None = None, **spec: Any) -> DeepSeekServing:
    spec = spec | ({"gateway": {**PUBLIC, "models": models}} if models is not None else {})
    return DeepSeekServing.model_validate(a_serving("chat", **spec))


@pytest.mark.parametrize(
    ("models", "spec", "clients", "engine"),
    [
        (None, {}, ("chat",), ("chat",)),
        ([], {}, ("chat",), ("chat",)),
        (["chat"], {}, ("chat",), ("chat",)),
        (["b", "a"], {}, ("b", "a"), ("b", "a", "chat")),
        (["b", "chat"], {}, ("b", "chat"), ("b", "chat")),
        (["b"], {"model": {"source": {"uri": "pvc://models/v2"}, "name": "r1"}}, ("b",), ("b", "r1")),
        (
            ["b"],
            {"adapters": [{"name": "legal", "source": {"uri": "pvc://models/legal"}}]},
            ("b", "legal"),
            ("b", "chat"),
        ),
    ],
)
def test_clients_ask_by_what_is_written_and_the_engine_knows_its_own_name_too(
    models: list[str] | None, spec: dict[str, Any], clients: tuple[str, ...], engine: tuple[str, ...]
) -> None:
    owner = serving(models, **spec)
    assert client_names(owner) == clients
    assert engine_names(owner) == engine


LEGAL = {"adapters": [{"name": "legal", "source": {"uri": "pvc://models/legal"}}]}


@pytest.mark.parametrize("models", [None, ["b", "a"]])
@pytest.mark.parametrize("entry", offered(), ids=lambda entry: entry.type)
def test_an_adapter_is_asked_for_as_its_engine_knows_it(entry: EngineEntry, models: list[str] | None) -> None:
    """SGLang answers `legal` with the model itself."""
    command = {"command": ["serve"], "image": "a:1"} if entry.start is Start.WRITTEN else {}
    owner = serving(models, engine={"type": entry.type, **command}, **LEGAL)
    own = models or ["chat"]
    beside = [f"{name}:legal" for name in own] if entry.type == "sglang" else ["legal"]
    assert client_names(owner) == (*own, *beside)


@pytest.mark.parametrize("engine", [None, 7, [], "none", {"x": 1}])
def test_an_engine_that_nobody_knows_is_taken_for_the_usual_one(engine: object) -> None:
    assert with_adapters(("chat",), ("legal",), engine) == ("chat", "legal")


def test_a_revision_without_aliases_has_the_name_that_it_had() -> None:
    plain = revision_name(serving(), MODEL)
    assert "models" not in user_input(serving(), MODEL)
    assert {revision_name(serving(names), MODEL) for names in ([], ["chat"])} == {plain}


def test_another_alias_and_another_first_one_are_another_revision() -> None:
    written: list[list[str] | None] = [None, ["a"], ["chat", "a"], ["a", "chat"], ["a", "b"]]
    assert len({revision_name(serving(names), MODEL) for names in written}) == len(written)


@pytest.mark.parametrize("models", [None, ["chat"], ["a", "b"]])
@pytest.mark.parametrize("name", [None, "r1"])
@pytest.mark.parametrize("adapters", [[], ["legal", "code"]])
@pytest.mark.parametrize("engine", ["builtin", "vllm", "sglang"])
def test_a_revision_is_asked_for_by_what_it_was_made_from_whatever_the_spec_says_now(
    models: list[str] | None, name: str | None, adapters: list[str], engine: str
) -> None:
    beside = [{"name": one, "source": {"uri": f"pvc://models/{one}"}} for one in adapters]
    model = {"source": {"uri": "pvc://models/v2"}, **({"name": name} if name else {})}
    owner = serving(models, model=model, adapters=beside, engine={"type": engine})
    resolved = [{"name": one, "claimName": "models", "subPath": one, "reference": "", "rank": 16} for one in adapters]
    mounted = ResolvedModel.model_validate({**MODEL.to_wire(), "adapters": resolved or None})
    record = {"input": user_input(owner, mounted)}
    assert recorded_names(serving(["later"]), record) == client_names(owner)


@pytest.mark.parametrize(
    "record",
    [{}, {"restored": True}, {"input": None}, {"input": "x"}],
)
def test_what_is_not_recorded_is_as_the_spec_says(record: dict[str, Any]) -> None:
    assert recorded_names(serving(["a"]), record) == ("a",)


@pytest.mark.parametrize(
    "garbage", [{"models": "x"}, {"models": [1]}, {"model": "x"}, {"adapters": ["x", {}, {"name": 1}]}]
)
def test_a_record_that_somebody_has_spoilt_stops_nothing(garbage: dict[str, Any]) -> None:
    assert recorded_names(serving(["a"]), {"input": garbage}) == ("chat",)
