"""Which names another serving has already, and what becomes of them when it goes: whoever was first keeps them."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.api.base import ObjectMeta
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.reconcile import Settled
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CONFIG_MAP
from deepseek_operator.kinds.serving.taken import taken
from tests.support.gateways import GATE, PUBLIC
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE, a_serving

KEYS: dict[str, Any] = {**PUBLIC, "auth": {"apiKeys": True}}
NAMES = ("a", "b", "c")


def serving(name: str, day: int, models: list[str], told: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    found = a_serving(name, gateway={**KEYS, "models": models}, **spec)
    found["metadata"]["creationTimestamp"] = f"2026-01-{day:02}T00:00:00Z"
    return {**found, **({"status": {"gateway": {"models": told}}} if told is not None else {})}


def own(day: int, name: str = "chat") -> ObjectMeta:
    created = datetime(2026, 1, day, tzinfo=UTC)
    return ObjectMeta(name=name, namespace=NAMESPACE, uid="u", creation_timestamp=created)


@pytest.mark.parametrize(
    ("day", "had", "told", "is_taken"),
    [
        (2, [], None, True),  # the other is older
        (4, [], None, True),
        (1, [], None, False),
        (1, [], ["a"], True),  # younger, and first
        (4, ["a"], None, False),  # the same of this one
        (4, ["a"], ["a"], True),  # both have it: the older keeps it
        (1, ["a"], ["a"], False),
    ],
)
def test_whoever_was_first_keeps_a_name(day: int, had: list[str], told: list[str] | None, is_taken: bool) -> None:
    other = serving("other", 2, ["a"], told)
    name = "young" if day == 2 else "chat"
    assert taken(own(day, name), ["a", "b"], had, [other]) == ({"a": "other"} if is_taken else {})


def test_a_name_is_a_serving_s_by_model_name_and_by_adapters_as_well() -> None:
    model, adapter = (
        {"source": {"uri": "pvc://models/v2"}, "name": "a"},
        {"source": {"uri": "pvc://models/x"}, "name": "b"},
    )
    others = [
        serving("one", 1, [], model=model),
        serving("two", 1, ["x"], adapters=[adapter]),
        serving("c", 1, []),
    ]
    assert taken(own(9), NAMES, [], others) == {"a": "one", "b": "two", "c": "c"}


@pytest.mark.parametrize(
    "change",
    [
        lambda other: other["spec"].pop("gateway"),
        lambda other: other["spec"]["gateway"].pop("auth"),
        lambda other: other["metadata"].update(deletionTimestamp="2026-01-03T00:00:00Z"),
    ],
)
def test_whoever_is_judged_by_nobody_or_goes_has_no_name(change: Any) -> None:
    other = serving("other", 1, ["a"], ["a"])
    change(other)
    assert taken(own(9), ["a"], [], [other]) == {}


@given(
    servings=st.lists(
        st.tuples(
            st.integers(1, 3), st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)) | st.none()
        ),
        min_size=2,
        max_size=4,
    )
)
def test_whatever_everybody_has_and_wants_each_name_is_one_serving_s(servings: list[Any]) -> None:
    made = [
        serving(f"s{number}", day, sorted(wants), sorted(has) if has is not None else None)
        for number, (day, wants, has) in enumerate(servings)
    ]
    for name in NAMES:
        keeping = []
        for number, (day, wants, has) in enumerate(servings):
            if name in wants | (has or set()):
                others = [one for one in made if one is not made[number]]
                lost = taken(own(day, f"s{number}"), wants | (has or set()), has or (), others)
                keeping += [number] if name not in lost else []
        asked = any(name in wants | (has or set()) for _, wants, has in servings)
        assert len(keeping) == asked, (name, keeping)


# --- two lives in one cluster --------------------------------------------------------------------------------------


def together(*models: str, **spec: Any) -> ServingLife:
    """`chat`, and then `other`, which wants these names."""
    life = ServingLife(configuration=Configuration(gate=GATE), gateway={**KEYS, "models": ["a", "b"]}, **spec)
    life.run()
    life.put(a_serving("other", gateway={**KEYS, "models": list(models)}))
    life.operator.settle()
    return life


def names(life: ServingLife, service: str = SERVICE) -> set[str]:
    return set(json.loads(life.stored(CONFIG_MAP, service)["data"]["models.json"])["models"])


def models_ready(life: ServingLife, name: str = "chat") -> tuple[str, str, str]:
    found = find(ServingStatus.model_validate(life.stored(SERVING, name)["status"]).conditions, "ModelsReady")
    assert found is not None
    return found.status, found.reason, found.message


def test_who_comes_later_does_not_get_a_name_and_is_told_whose_it_is() -> None:
    life = together("b", "c")
    life.run()
    assert (names(life), names(life, "other-serve")) == ({"a", "b"}, {"c"})
    status, reason, message = models_ready(life, "other")
    assert (status, reason) == ("False", "ModelTaken")
    assert message.startswith("b is serving chat's. Write other names as gateway.models")
    assert models_ready(life) == ("True", "ModelsKnown", "clients ask for a, b")
    assert life.status.gateway is not None
    assert life.status.gateway.models == ["a", "b"]
    told = find(ServingStatus.model_validate(life.stored(SERVING, "other")["status"]).conditions, "Ready")
    assert told is not None
    assert told.status == "True", "it serves, and inside the cluster by all of its names"


def test_an_older_serving_takes_no_name_away_that_a_younger_one_had_first() -> None:
    life = together("c")
    life.run()
    life.edit(gateway={**KEYS, "models": ["a", "b", "c"]})
    life.run()
    assert (names(life), names(life, "other-serve")) == ({"a", "b"}, {"c"})
    assert models_ready(life)[1] == "ModelTaken"
    assert models_ready(life, "other")[1] == "ModelsKnown"


def test_a_name_that_is_let_go_is_the_other_s_half_a_minute_later() -> None:
    life = together("b", "c")
    life.run()
    outcome = life.operator.reconcile(Key(SERVING, NAMESPACE, "other"))
    assert outcome == Settled(30.0)
    life.edit(gateway={**KEYS, "models": ["a"]})
    life.run()
    life.operator.settle()
    assert (names(life), names(life, "other-serve")) == ({"a"}, {"b", "c"})
    assert models_ready(life, "other")[0] == "True"


def test_a_serving_whose_status_is_wiped_keeps_its_names_by_what_the_gate_is_told() -> None:
    life = together("c")
    life.run()
    life.edit(gateway={**KEYS, "models": ["a", "c"]})
    life.cluster.edit(SERVING, NAMESPACE, "other", lambda live: live.pop("status"))
    life.operator.pipe.flush()
    life.operator.reconcile(Key(SERVING, NAMESPACE, "other"))
    assert names(life, "other-serve") == {"c"}


def test_servings_that_are_judged_by_nobody_share_whatever_names_they_like() -> None:
    life = ServingLife(configuration=Configuration(gate=GATE), gateway={**PUBLIC, "models": ["a"]})
    life.put(a_serving("other", gateway={**PUBLIC, "models": ["a"]}))
    life.run()
    for name in ("chat", "other"):
        status = ServingStatus.model_validate(life.stored(SERVING, name)["status"])
        assert find(status.conditions, "ModelsReady") is None
