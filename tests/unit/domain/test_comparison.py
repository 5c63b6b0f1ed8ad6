"""How sure a counted share is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.domain.policy.comparison import interval


@pytest.mark.parametrize(
    ("share", "count", "ends"),
    [
        # Newcombe 1998 (Statistics in Medicine 17, 857), table I, score method without continuity correction.
        (81 / 263, 263, (0.2553, 0.3662)),
        (15 / 148, 148, (0.0624, 0.1605)),
        (0 / 20, 20, (0.0000, 0.1611)),
        (1 / 29, 29, (0.0061, 0.1718)),
        (1.0, 20, (0.8389, 1.0)),
    ],
)
def test_it_is_wilsons(share: float, count: int, ends: tuple[float, float]) -> None:
    assert interval(share, count) == pytest.approx(ends, abs=1e-4)


def test_what_never_and_what_always_happened_ends_there_without_a_rounding() -> None:
    """114 requests without an error were told to have 3.47e-18 of them at least."""
    found = [(interval(0.0, count), interval(1.0, count)) for count in range(1, 2000)]
    assert {(never[0], always[1]) for never, always in found if never and always} == {(0, 1)}


@given(st.floats(0, 1), st.integers(1, 10**9))
def test_the_share_is_within_and_both_ends_can_be(share: float, count: int) -> None:
    found = interval(share, count)
    assert found is not None
    assert 0 <= found[0] <= share + 1e-12
    assert share - 1e-12 <= found[1] <= 1


@pytest.mark.parametrize(("share", "count"), [(0.5, 0), (0.5, -1), (1.5, 10), (float("nan"), 10)])
def test_of_nothing_counted_nothing_is_sure(share: float, count: int) -> None:
    assert interval(share, count) is None
