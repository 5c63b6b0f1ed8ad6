"""Which batches a training leaves out is one function of what its checkpoints record, and nothing foreign is believed."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.trainer.course import MOST_SKIPS, Course, Skip, decode


def batches(*skips: Skip, steps: int = 12) -> list[int]:
    return [Course(skips).batch_of(step) for step in range(1, steps + 1)]


def test_course_without_decisions_is_the_order_and_leaves_no_file() -> None:
    assert batches(steps=5) == [1, 2, 3, 4, 5]
    assert Course().encode() is None
    assert (decode(None), Course().told()) == (Course(), {})


@pytest.mark.parametrize(
    ("count", "left"),
    [(1, [7]), (2, [6, 7]), (3, [5, 6, 7]), (5, [5, 6, 7, 8, 9])],
    ids=["the diverged one", "and the one before", "back to the checkpoint", "and then those behind"],
)
def test_skip_holds_the_diverged_step_and_nothing_that_stays_learnt(count: int, left: list[int]) -> None:
    skip = Skip.before(7, 4, count)
    assert sorted(set(range(1, 13)) - set(batches(skip))) == left


@st.composite
def decisions(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Steps that diverge, the checkpoints before them and how many batches to leave out, as one training may meet them."""
    found, saved = [], 0
    for _ in range(draw(st.integers(0, 5))):
        saved += draw(st.integers(0, 4))
        found.append((saved + draw(st.integers(1, 6)), saved, draw(st.integers(1, 8))))
    return found


@given(decisions())
def test_skips_are_those_of_a_list_from_which_batches_are_taken_out(met: Sequence[tuple[int, int, int]]) -> None:
    """Written down plainly: what is left of the order, from which each rollback takes its batches."""
    left, course = list(range(1, 201)), Course()
    for step, to, count in met:
        skip = Skip.before(step, to, count)
        diverged = left[step - 1]
        del left[skip.first - 1 : skip.first - 1 + count]
        assert diverged not in left
        course = Course((*course.skips, skip))
    assert [course.batch_of(step) for step in range(1, 101)] == left[:100]
    assert decode(course.encode()) == course


def test_course_tells_of_the_last_rollback() -> None:
    course = Course((Skip(4, 2, 4, 1), Skip(9, 8, 9, 3)))
    assert course.told() == {"rollbacks": {"count": 2, "step": 9, "to": 8, "skipped": 3}}


ONE = {"step": 4, "to": 2, "first": 4, "count": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'{"skips": 1}',
        json.dumps({"skips": [None]}).encode(),
        json.dumps({"skips": [{**ONE, "count": -1}]}).encode(),
        json.dumps({"skips": [{**ONE, "count": True}]}).encode(),
        json.dumps({"skips": [{**ONE, "count": 1.5}]}).encode(),
        json.dumps({"skips": [{**ONE, "count": "1"}]}).encode(),
        json.dumps({"skips": [{**ONE, "count": 1 << 60}]}).encode(),
        json.dumps({"skips": [{**ONE, "more": 1}]}).encode(),
        json.dumps({"skips": [{"step": 4}]}).encode(),
        json.dumps({"skips": [ONE] * (MOST_SKIPS + 1)}).encode(),
    ],
    ids=range(15),
)
def test_what_this_trainer_never_writes_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(content)
