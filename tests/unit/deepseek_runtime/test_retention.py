"""Retention lets nothing go that a resume may need."""

from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.retention import most_held, prunable
from tests.support.manifests import checkpoint


def names(manifests: list[Manifest]) -> list[tuple[str, int]]:
    return [(manifest.incarnation, manifest.step) for manifest in manifests]


def test_newest_and_best_stay() -> None:
    own = [checkpoint("a", step, accuracy=accuracy) for step, accuracy in ((1, 0.1), (2, 0.9), (3, 0.3), (4, 0.4))]
    assert names(prunable(own, [], [], keep_last=1, keep_best=1, by=None)) == [("a", 1), ("a", 3)]


def test_unhealthy_checkpoints_push_out_no_healthy_one() -> None:
    own = [checkpoint("a", 1), *(checkpoint("a", step, healthy=False, loss=None) for step in (2, 3, 4))]
    assert names(prunable(own, [], [], keep_last=1, keep_best=0, by=None)) == [("a", 2), ("a", 3), ("a", 4)]
    # With room to spare the newest stay for whoever looks for the cause.
    assert names(prunable(own, [], [], keep_last=2, keep_best=1, by=None)) == [("a", 2)]


def test_lineage_and_own_count_together() -> None:
    """Seven attempts that saved once each: what the seventh resumed from is the newest of its ancestors'."""
    lineage = [checkpoint(name, step, attempt=step) for step, name in enumerate("abcdef", start=1)]
    own = [checkpoint("g", 7, attempt=7)]
    assert names(prunable([], lineage, [], keep_last=2, keep_best=0, by=None)) == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
        ("d", 4),
    ]
    assert names(prunable(own, lineage[4:], [], keep_last=2, keep_best=0, by=None)) == [("e", 5)]


def test_own_unhealthy_checkpoints_do_not_free_an_ancestor() -> None:
    own = [checkpoint("b", step, healthy=False, attempt=2) for step in (30, 40)]
    assert names(prunable(own, [checkpoint("a", 20)], [], keep_last=1, keep_best=0, by=None)) == [("b", 30), ("b", 40)]


def test_best_of_an_ancestor_outlives_it() -> None:
    lineage = [checkpoint("a", 10, accuracy=0.9), checkpoint("a", 20, accuracy=0.5)]
    own = [checkpoint("b", 30, accuracy=0.6)]
    assert names(prunable(own, lineage, [], keep_last=1, keep_best=1, by=None)) == [("a", 20)]


def test_zombies_later_step_never_counts_as_the_newest() -> None:
    own = [checkpoint("b", 25)]
    doomed = prunable(own, [checkpoint("a", 20)], [checkpoint("a", 90)], keep_last=1, keep_best=0, by=None)
    assert names(doomed) == [("a", 20), ("a", 90)]


def test_measured_again_after_a_resume_the_own_one_is_the_newer_of_a_step() -> None:
    lineage, own = [checkpoint("a", 20)], [checkpoint("b", 20, attempt=2, eval_loss=1.0)]
    assert names(prunable(own, lineage, [], keep_last=1, keep_best=1, by=None)) == [("a", 20)]


checkpoints = st.lists(
    st.tuples(st.integers(1, 30), st.booleans(), st.one_of(st.none(), st.floats(0, 1))),
    unique_by=lambda entry: entry[0],
    max_size=12,
)


@given(checkpoints, checkpoints, checkpoints, st.integers(1, 4), st.integers(0, 2))
def test_whatever_happens_the_newest_healthy_ones_stay_and_no_more_than_there_is_room_for(
    own: list[tuple[int, bool, float | None]],
    ancestors: list[tuple[int, bool, float | None]],
    zombies: list[tuple[int, bool, float | None]],
    keep_last: int,
    keep_best: int,
) -> None:
    mine = [checkpoint("b", step + 30, healthy=healthy, accuracy=value, attempt=2) for step, healthy, value in own]
    lineage = [checkpoint("a", step, accuracy=value) for step, _, value in ancestors]
    leftovers = [checkpoint("a", step + 60, healthy=healthy, accuracy=value) for step, healthy, value in zombies]
    doomed = prunable(mine, lineage, leftovers, keep_last=keep_last, keep_best=keep_best, by=None)
    gone = {m.position for m in doomed}
    healthy = sorted((m for m in [*mine, *lineage] if m.healthy), key=lambda m: -m.step)
    assert not {m.position for m in healthy[:keep_last]} & gone
    assert len(mine) + len(lineage) + len(leftovers) - len(gone) <= most_held(keep_last, keep_best) - 1
    if lineage and sum(m.healthy for m in mine) < keep_last:
        assert max(lineage, key=lambda m: m.step).position not in gone, "what it resumed from"
