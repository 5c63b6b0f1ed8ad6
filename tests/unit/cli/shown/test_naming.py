"""Which object a name means, and what is said where it means none."""

import pytest

from deepseek_operator.cli.shown.naming import absent, only, wanted
from deepseek_operator.kinds.registry import KINDS

TRAINING, SERVING = KINDS


def found(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


@pytest.mark.parametrize("kind", ["training", "trainings", "dst", "DST", "DeepSeekTraining", "deepseektrainings"])
def test_a_kind_is_written_in_any_way_that_kubectl_takes(kind: str) -> None:
    wish = wanted(f"{kind}/x", KINDS)
    assert (wish.name, wish.entries) == ("x", (TRAINING,))


def test_without_a_kind_it_may_be_of_any() -> None:
    assert wanted("x", KINDS).entries == (TRAINING, SERVING)


def test_an_unknown_kind_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="no kind 'job' for this: write training/x or serving/x"):
        wanted("job/x", KINDS)


def test_two_kinds_of_one_name_are_told_apart_by_whoever_asks() -> None:
    wish = wanted("x", KINDS)
    assert only(wish, [(SERVING, found("x"))], "team") == (SERVING, found("x"))
    with pytest.raises(ValueError, match="2 objects in team are called x: write training/x or serving/x"):
        only(wish, [(TRAINING, found("x")), (SERVING, found("x"))], "team")


def test_near_names_are_offered_then_other_namespaces() -> None:
    wish = wanted("uper", KINDS)
    none = "there is no DeepSeekTraining or DeepSeekServing uper in team"
    assert absent(wish, "team", ["uppercase", "chat"], {}) == f"{none}: did you mean uppercase?"
    assert absent(wish, "team", ["chat"], {"other": ["uper"]}) == f"{none}: there is one in other, write -n other"
    assert absent(wish, "team", ["chat"], {"other": ["chat"]}) == none
