"""What objects name below sources/, wherever it stands in them: too much in doubt, never too little."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.core.mentions import Mentions, mentioned
from tests.support.search import search

REVISION = "604d5664dddd88a0433dbae533b7fe9472482de0"
FOLDER = f"hf/deepseek-ai--DeepSeek-V2-Lite/{REVISION}"


def named(*values: object, claim: str = "models") -> tuple[str, ...]:
    return mentioned(json.dumps(value).encode() for value in values).on(claim)


@pytest.mark.parametrize(
    "value",
    [
        {"status": {"sources": [{"subPath": f"sources/{FOLDER}"}]}},
        {"volumeMounts": [{"name": "model", "subPath": f"sources/{FOLDER}"}]},
        {"source": {"uri": f"pvc://models/sources/{FOLDER}"}},
        {"source": {"uri": f"pvc://others/sources/{FOLDER}"}},
        {"command": ["serve", f"/claim/sources/{FOLDER}"]},
        {"annotation": json.dumps({"nested": f"sources/{FOLDER}"})},
    ],
)
def test_a_folder_is_named_wherever_it_stands(value: object) -> None:
    assert named(value) == (FOLDER,)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"pvc://models/sources/{FOLDER}/data/*.jsonl", (f"{FOLDER}/data/",)),
        ("pvc://models/sources/hf/datasets--*/data", ("hf/datasets--",)),
        ("pvc://models/sources/hf", ("hf",)),
        ("pvc://models/sources/*", ("",)),
        ("pvc://models/sources", ("",)),
        ("pvc://models/so?rces/hf", ("",)),
        ("pvc://models/*", ("",)),
        ("pvc://models", ("",)),
        ("pvc://other", ()),
        ("pvc://models/chat", ()),
        ("pvc://models/my-sources/hf/a", ()),
        ("pvc://models/chat/*", ()),
        ("hf://deepseek-ai/DeepSeek-V2-Lite@main", ()),
    ],
)
def test_what_a_path_may_lead_to_is_named(uri: str, expected: tuple[str, ...]) -> None:
    assert named({"source": {"uri": uri}}) == expected


def test_the_field_of_a_status_is_no_folder() -> None:
    assert named({"status": {"sources": [{"phase": "Running", "claimName": "models"}]}}) == ()


def test_of_two_the_wider_is_told() -> None:
    assert Mentions(frozenset({"hf/a", "hf/a/1", "hf/b"})).on("models") == ("hf/a", "hf/b")


STEP = st.text("abcz019_.-", min_size=1, max_size=12)
TEXT = st.text(max_size=8)


@given(st.lists(STEP, min_size=1, max_size=5), TEXT, st.lists(TEXT, max_size=4), st.booleans())
@search(100, 1)
def test_every_folder_that_stands_alone_in_a_text_is_kept(
    steps: list[str], key: str, others: list[str], is_uri: bool
) -> None:
    path = "/".join(("hf", *steps))
    found = named({key: [*others, {"x": f"pvc://models/sources/{path}" if is_uri else f"sources/{path}"}]})
    assert any(path.startswith(one) for one in found)
