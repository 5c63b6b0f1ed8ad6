"""An entry counts as a whole or not at all, and no fault of one repeats what stands in it."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_gate.keys import Key, digest_of, key_of
from deepseek_gate.knowledge import Knowledge, known
from deepseek_gate.models import Model
from tests.support.gate import KEY, config_map, entry, models_map

SECRET = "sk-ds-pasted-by-mistake"
WRONG = {
    "no JSON": SECRET,
    "a list": f'["{SECRET}"]',
    "no digest": json.dumps({"servings": ["chat"]}),
    "a plain key": json.dumps({"sha256": SECRET, "servings": ["chat"]}),
    "a digest in capitals": json.dumps({"sha256": digest_of(KEY).upper(), "servings": ["chat"]}),
    "a digest with a line end": json.dumps({"sha256": digest_of(KEY) + "\n", "servings": ["chat"]}),
    "no servings": json.dumps({"sha256": digest_of(KEY)}),
    "a serving that is a text": entry(KEY) and json.dumps({"sha256": digest_of(KEY), "servings": "chat"}),
    "an empty list": entry(KEY),
    "a mistyped field": entry(KEY, "chat", expire="2020-01-01T00:00:00Z"),
    "an expiry without a zone": entry(KEY, "chat", expires="2020-01-01T00:00:00"),
    "an expiry that is a number": entry(KEY, "chat", expires=0),
    "an expiry that is no moment": entry(KEY, "chat", expires="tomorrow"),
    "a class with a line end": entry(KEY, "chat", limits="gold\r\nx-deepseek-client: root"),
    "a revision of any serving": entry(KEY, "*", revision="chat-1"),
    "a revision of two servings": entry(KEY, "chat", "r1", revision="chat-1"),
}


def test_an_entry_is_read_with_all_its_fields() -> None:
    text = entry(KEY, "chat", expires="2027-02-24T00:00:00Z", revision="chat-1", limits="gold")
    key = Key("alice", frozenset({"chat"}), datetime(2027, 2, 24, tzinfo=UTC), "chat-1", "gold")
    assert key_of("alice", text) == (digest_of(KEY), key)


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_wrong_entry_counts_for_nothing_and_is_told_without_its_text(text: str) -> None:
    found = known([config_map("keys", {"alice": text, "bob": entry("sk-ds-bob", "chat")})])
    assert set(found.keys) == {digest_of("sk-ds-bob")}
    assert len(found.faults) == 1
    assert found.faults[0].startswith("ConfigMap team/deepseek-keys: the entry alice has") or "is no" in found.faults[0]
    assert SECRET not in found.faults[0]
    assert digest_of(KEY) not in found.faults[0]


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_whatever_stands_in_an_entry_only_that_entry_is_lost(text: str) -> None:
    found = known([config_map("keys", {"alice": text, "bob": entry("sk-ds-bob", "chat")})])
    assert digest_of("sk-ds-bob") in found.keys


def test_a_key_that_stands_twice_counts_for_nothing() -> None:
    maps = [
        config_map("keys", {"alice": entry(KEY, "chat")}, name="a"),
        config_map("keys", {"again": entry(KEY, "*"), "bob": entry("sk-ds-bob", "chat")}, name="b"),
        config_map("keys", {"thrice": entry(KEY, "*")}, name="c"),
    ]
    assert set(known(maps).keys) == {digest_of("sk-ds-bob")}


def test_of_two_servings_with_one_name_the_older_keeps_it() -> None:
    young = models_map({"models": {"chat": {"serving": "young"}, "more": {"serving": "young"}}}, name="a")
    young["metadata"]["creationTimestamp"] = "2026-02-02T00:00:00Z"
    old = models_map({"models": {"chat": {"serving": "old", "revisions": {"old-1": {}}, "newer": True}}}, name="b")
    assert known([young, old]).models == {"chat": Model("old", frozenset({"old-1"})), "more": Model("young")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"models": []}',
        '{"models": {"a": {}}}',
        '{"models": {"a": 1}}',
        '{"models": {"a": {"serving": "a", "only": ""}}}',
        '{"models": {"a": {"serving": "a", "only": 1}}}',
    ],
)
def test_models_that_cannot_be_read_are_left_out_and_told(text: str) -> None:
    found = known([config_map("models", {"models.json": text}, name="a"), models_map(name="b")])
    assert found.models["chat"].serving == "chat"
    assert len(found.faults) == 1


def test_config_maps_without_a_role_say_nothing() -> None:
    assert known([config_map("other", {"alice": entry(KEY, "*")})]) == Knowledge()
