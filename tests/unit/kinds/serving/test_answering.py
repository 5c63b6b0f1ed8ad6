"""Who answers to which name: whatever revisions know, run and get, no request reaches one that does not know its name."""

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.kinds.serving.answering import Answering, answering

REVISIONS = ("old", "mid", "new")


def test_a_name_that_all_know_goes_by_the_weights() -> None:
    found = answering({"old": ["chat"], "new": ["chat"]}, ["old", "new"], {"old": 3, "new": 1})
    assert found == {"chat": Answering(("old", "new"))}


def test_a_name_that_one_knows_goes_to_that_one() -> None:
    found = answering({"old": ["chat", "gone"], "new": ["chat", "come"]}, ["old", "new"], {"old": 1, "new": 1})
    assert found["gone"] == Answering(("old",), only="old")
    assert found["come"] == Answering(("new",), only="new")


def test_a_name_that_nobody_who_serves_knows_is_awaited_while_others_serve() -> None:
    found = answering({"old": ["chat"], "new": ["chat", "come"]}, ["old"], {"old": 1})
    assert found == {"chat": Answering(("old",)), "come": Answering((), is_awaited=True)}


def test_a_first_revision_that_does_not_serve_yet_is_asked_as_ever() -> None:
    assert answering({"new": ["chat"]}, [], {"new": 1}) == {"chat": Answering(())}


def test_of_several_that_know_a_name_the_one_with_most_requests_answers_and_of_equals_the_newest() -> None:
    names = {"old": ["x"], "mid": ["x"], "new": ["y"]}
    assert answering(names, REVISIONS, {"old": 3, "mid": 1})["x"].only == "old"
    assert answering(names, REVISIONS, {"old": 1, "mid": 1})["x"].only == "mid"
    assert answering(names, REVISIONS, {"new": 1})["x"].only == "mid"


@given(
    names=st.dictionaries(st.sampled_from(REVISIONS), st.lists(st.sampled_from("abc"), unique=True), min_size=1),
    pins=st.lists(st.sampled_from(REVISIONS), unique=True),
    parts=st.dictionaries(st.sampled_from(REVISIONS), st.integers(1, 3)),
)
def test_no_request_reaches_a_revision_that_does_not_know_its_name(
    names: dict[str, list[str]], pins: list[str], parts: dict[str, int]
) -> None:
    pins, parts = [one for one in pins if one in names], {one: part for one, part in parts.items() if one in names}
    for name, who in answering(names, pins, parts).items():
        assert all(name in names[one] for one in who.pins)
        assert set(who.pins) <= set(pins)
        if who.is_awaited:
            assert not [one for one in pins if name in names[one]]
            continue
        reached = {who.only} if who.only is not None else set(names)
        assert all(name in names[str(one)] for one in reached)
        assert who.only is None or who.only in pins
