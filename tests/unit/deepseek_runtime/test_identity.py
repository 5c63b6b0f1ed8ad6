"""The data and the number of steps are the same on every rank and in every attempt, or the training says why not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer.identity import Identity, Mark, check_ranks, decode, encode, kept_to

A, B = Mark("/data/a.jsonl", "a" * 64, 1000), Mark("/data/b.jsonl", "b" * 64, 20)
HERE = Identity("tokens", 3, 32, epochs=2, max_steps=63, marks=(A, B))
OLD = Identity("tokens", 3, 32)
"""As checkpoints of earlier versions record it."""


def test_what_a_checkpoint_records_is_read_back() -> None:
    for identity in (HERE, OLD, replace(HERE, epochs=None, marks=())):
        assert decode(encode(identity)) == identity
    assert decode(b'{"fingerprint": "tokens", "seed": 3, "globalBatchSize": 32}') == OLD


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'{"seed": 3}', b"\xff", b'{"fingerprint": 1}'])
def test_what_another_program_wrote_says_nothing(content: bytes) -> None:
    assert decode(content) is None


def test_damaged_marks_count_as_none() -> None:
    said = json.loads(encode(HERE))
    damaged: tuple[Any, ...] = ([{"name": "a"}], {}, "x", [[]], [1])
    for marks in damaged:
        found = decode(json.dumps({**said, "datasets": marks}).encode())
        assert found is not None
        assert found.marks is None


CHANGED: dict[str, tuple[Mark, ...]] = {
    "shorter": (replace(A, sha256="c" * 64, examples=3), B),
    "longer": (replace(A, sha256="c" * 64, examples=5000), B),
    "as long": (replace(A, sha256="c" * 64), B),
    "held-out data": (A, replace(B, sha256="c" * 64)),
    "two files exchanged": (replace(A, sha256=B.sha256), replace(B, sha256=A.sha256)),
    "one dataset less": (A,),
}


@pytest.mark.parametrize("marks", CHANGED.values(), ids=CHANGED)
def test_data_that_changed_under_a_training_ends_it_with_what_to_do(marks: Sequence[Mark]) -> None:
    with pytest.raises(Invalid, match=r"is not what steps 1 to 40 were trained on: .*resume.from"):
        kept_to(replace(HERE, marks=tuple(marks)), HERE, 40)


def test_message_names_the_dataset_and_both_counts() -> None:
    with pytest.raises(Invalid, match=r"^dataset /data/a.jsonl is not .* held 1,000 examples .*, now 3 examples"):
        kept_to(replace(HERE, marks=CHANGED["shorter"]), HERE, 40)


def test_file_that_was_only_moved_is_the_same_data() -> None:
    moved = replace(HERE, marks=(replace(A, name="/elsewhere/a.jsonl"), B))
    assert kept_to(moved, HERE, 40).max_steps == 63


def test_planned_steps_stay_when_another_number_would_follow_from_the_same_data() -> None:
    """A newer tokenizer may make longer prompts, of which more are left out."""
    fewer = replace(HERE, fingerprint="others", max_steps=30, marks=(replace(A, examples=460), B))
    assert kept_to(fewer, HERE, 40).max_steps == 63


def test_steps_and_epochs_that_a_person_writes_are_taken() -> None:
    assert kept_to(replace(HERE, epochs=None, max_steps=200), HERE, 40).max_steps == 200
    assert kept_to(replace(HERE, epochs=4, max_steps=126), HERE, 40).max_steps == 126


def test_earlier_checkpoints_are_gone_on_from_but_never_to_fewer_steps_than_are_done() -> None:
    assert kept_to(HERE, OLD, 40) == HERE
    assert kept_to(HERE, None, 40) == HERE
    assert kept_to(HERE, OLD, 63) == HERE, "the same tokens: it was about to be exported"
    with pytest.raises(Invalid, match="has changed since step 40: with what it is now, 2 steps would be all"):
        kept_to(replace(HERE, fingerprint="others", max_steps=2), OLD, 40)


def test_only_the_same_tokens_in_the_same_order_go_on_exactly() -> None:
    assert HERE.continues(OLD)
    for other in (replace(OLD, fingerprint="x"), replace(OLD, seed=4), replace(OLD, global_batch_size=64), None):
        assert not HERE.continues(other)


def test_ranks_that_read_the_same_agree() -> None:
    check_ranks([HERE, HERE, replace(HERE)])


@pytest.mark.parametrize("marks", CHANGED.values(), ids=CHANGED)
def test_rank_that_reads_other_data_is_named(marks: Sequence[Mark]) -> None:
    with pytest.raises(Invalid, match=r"for rank 1 and .* for rank 0; let all pods read the same files"):
        check_ranks([HERE, replace(HERE, marks=tuple(marks)), HERE])


def test_rank_that_makes_other_tokens_of_the_same_data_is_named() -> None:
    with pytest.raises(Invalid, match="rank 2 makes other tokens of the same data"):
        check_ranks([HERE, HERE, replace(HERE, fingerprint="others")])
