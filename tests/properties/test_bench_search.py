"""The search of a bench: whatever the answer is, it is found, by few loads, and none is tried twice or above what may be."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_runtime.bencher.search import NEAR, held_at, next_streams
from tests.support.search import examples


def lived(answer: int, most: int) -> dict[int, bool]:
    """A search over a replica that holds up to `answer` streams."""
    tried: dict[int, bool] = {}
    while (streams := next_streams(tried, most)) is not None:
        assert streams not in tried
        assert 1 <= streams <= most
        tried[streams] = streams <= answer
    return tried


@given(st.integers(0, 5000), st.integers(1, 5000))
@settings(max_examples=examples(400), deadline=None, derandomize=True)
def test_the_answer_is_found_within_a_twentieth(answer: int, most: int) -> None:
    tried = lived(answer, most)
    found, true = held_at(tried), min(answer, most)
    assert found <= true
    assert true - found < max(1, true // NEAR), (found, true)


@given(st.integers(0, 5000), st.integers(1, 5000))
@settings(max_examples=examples(400), deadline=None, derandomize=True)
def test_twice_the_logarithm_of_loads_is_enough(answer: int, most: int) -> None:
    assert len(lived(answer, most)) <= 2 * min(answer, most).bit_length() + 2


@given(st.integers(1, 5000), st.integers(1, 5000))
@settings(max_examples=examples(400), deadline=None, derandomize=True)
def test_a_replica_is_never_loaded_with_more_than_twice_what_it_held(answer: int, most: int) -> None:
    assert max(lived(answer, most)) <= 2 * answer


@given(st.integers(1, 300), st.randoms(use_true_random=False))
@settings(max_examples=examples(400), deadline=None, derandomize=True)
def test_it_ends_whatever_is_answered(most: int, source: Random) -> None:
    tried: dict[int, bool] = {}
    while (streams := next_streams(tried, most)) is not None:
        assert streams not in tried
        tried[streams] = bool(source.getrandbits(1))
    broken = [streams for streams, held in tried.items() if not held]
    assert held_at(tried) < min(broken, default=most + 1)


def test_what_held_above_a_load_that_was_broken_counts_for_nothing() -> None:
    assert held_at({1: True, 2: True, 4: False, 8: True}) == 2
