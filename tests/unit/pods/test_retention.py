"""Retention lets nothing go that a resume may need."""

from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.retention import prunable
from tests.unit.pods.manifests import checkpoint


def names(manifests: list[Manifest]) -> list[tuple[str, int]]:
    return [(manifest.incarnation, manifest.step) for manifest in manifests]


def test_newest_and_best_stay() -> None:
    own = [checkpoint("a", step, accuracy=accuracy) for step, accuracy in ((1, 0.1), (2, 0.9), (3, 0.3), (4, 0.4))]
    assert names(prunable(own, [], [], keep_last=1, keep_best=1)) == [("a", 1), ("a", 3)]


def test_unhealthy_checkpoints_push_out_no_healthy_one() -> None:
    own = [checkpoint("a", 1), *(checkpoint("a", step, healthy=False, loss=None) for step in (2, 3, 4))]
    assert names(prunable(own, [], [], keep_last=1, keep_best=0)) == [("a", 2), ("a", 3)]


def test_ancestor_stays_until_this_attempt_has_enough_of_its_own() -> None:
    lineage = [checkpoint("a", 10), checkpoint("a", 20)]
    leftovers = [checkpoint("a", 30)]
    one = [checkpoint("b", 25)]
    assert prunable(one, lineage, leftovers, keep_last=2, keep_best=0) == []
    two = [*one, checkpoint("b", 30)]
    assert names(prunable(two, lineage, leftovers, keep_last=2, keep_best=0)) == [("a", 10), ("a", 20), ("a", 30)]


def test_own_unhealthy_checkpoints_do_not_free_an_ancestor() -> None:
    own = [checkpoint("b", step, healthy=False) for step in (30, 40)]
    assert names(prunable(own, [checkpoint("a", 20)], [], keep_last=1, keep_best=0)) == [("b", 30)]


def test_best_of_an_ancestor_outlives_it() -> None:
    lineage = [checkpoint("a", 10, accuracy=0.9), checkpoint("a", 20, accuracy=0.5)]
    own = [checkpoint("b", 30, accuracy=0.6)]
    assert names(prunable(own, lineage, [], keep_last=1, keep_best=1)) == [("a", 20)]


def test_zombies_later_step_never_counts_as_the_newest() -> None:
    own = [checkpoint("b", 25)]
    doomed = prunable(own, [checkpoint("a", 20)], [checkpoint("a", 90)], keep_last=1, keep_best=0)
    assert names(doomed) == [("a", 20), ("a", 90)]


checkpoints = st.lists(
    st.tuples(st.integers(1, 30), st.booleans(), st.one_of(st.none(), st.floats(0, 1))),
    unique_by=lambda entry: entry[0],
    max_size=12,
)


@given(checkpoints, checkpoints, st.integers(1, 4), st.integers(0, 2))
def test_whatever_happens_the_newest_healthy_ones_stay(
    own: list[tuple[int, bool, float | None]],
    ancestors: list[tuple[int, bool, float | None]],
    keep_last: int,
    keep_best: int,
) -> None:
    mine = [checkpoint("b", step + 30, healthy=healthy, accuracy=value) for step, healthy, value in own]
    lineage = [checkpoint("a", step, accuracy=value) for step, _, value in ancestors]
    doomed = prunable(mine, lineage, [], keep_last=keep_last, keep_best=keep_best)
    healthy = sorted((m for m in [*mine, *lineage] if m.healthy), key=lambda m: -m.step)
    assert not {m.position for m in healthy[:keep_last]} & {m.position for m in doomed}
    if sum(m.healthy for m in mine) < keep_last:
        assert all(m.incarnation == "b" for m in doomed)
