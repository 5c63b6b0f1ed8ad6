"""Which checkpoint an attempt goes on from."""

from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.resume import candidates, choose, whole_ancestry
from deepseek_runtime.contract import Ancestor
from tests.support.manifests import checkpoint

ONE, TWO, THREE = (Ancestor(n, f"job-{n}", name) for n, name in ((1, "a"), (2, "b"), (3, "c")))


def origin(attempt: int, incarnation: str, resumed: Position | None) -> tuple[str, Origin]:
    return incarnation, Origin(attempt, f"job-{attempt}", incarnation, resumed)


def names(found: list[Manifest]) -> list[tuple[str, int]]:
    return [(manifest.incarnation, manifest.step) for manifest in found]


def test_newest_healthy_checkpoint_comes_first() -> None:
    held = {"a": [checkpoint("a", 10), checkpoint("a", 20), checkpoint("a", 30, healthy=False)]}
    assert names(candidates([ONE], dict([origin(1, "a", None)]), held)) == [("a", 20), ("a", 10)]


def test_unrecorded_incarnation_is_never_trusted() -> None:
    held = {"stranger": [checkpoint("stranger", 90)], "a": [checkpoint("a", 10)]}
    assert names(candidates([ONE], {}, held)) == [("a", 10)]
    assert candidates([], {}, held) == []


def test_zombies_later_checkpoints_are_ignored() -> None:
    origins = dict([origin(1, "a", None), origin(2, "b", Position("a", 10))])
    held = {"a": [checkpoint("a", 10), checkpoint("a", 20), checkpoint("a", 30)], "b": []}
    assert names(candidates([ONE, TWO], origins, held)) == [("a", 10)]


def test_attempt_that_took_no_step_binds_nobody() -> None:
    origins = dict([origin(1, "a", None)])
    assert names(candidates([ONE, TWO], origins, {"a": [checkpoint("a", 20)]})) == [("a", 20)]


def test_ancestor_that_its_successor_passed_over_counts_nothing() -> None:
    """Attempt 3 resumed from attempt 1 because attempt 2 had nothing then; what 2 wrote later is a zombie's."""
    origins = dict([origin(1, "a", None), origin(2, "b", Position("a", 10)), origin(3, "c", Position("a", 10))])
    held = {"a": [checkpoint("a", 10)], "b": [checkpoint("b", 7), checkpoint("b", 40)], "c": []}
    assert names(candidates([ONE, TWO, THREE], origins, held)) == [("a", 10)]


def test_chain_goes_on_through_several_attempts() -> None:
    origins = dict([origin(1, "a", None), origin(2, "b", Position("a", 10)), origin(3, "c", Position("b", 20))])
    held = {
        "a": [checkpoint("a", 10), checkpoint("a", 15)],
        "b": [checkpoint("b", 20), checkpoint("b", 30)],
        "c": [checkpoint("c", 25)],
    }
    assert names(candidates([ONE, TWO, THREE], origins, held)) == [("c", 25), ("b", 20), ("a", 10)]


def test_attempt_that_began_at_zero_forgets_what_was_before() -> None:
    origins = dict([origin(1, "a", None), origin(2, "b", None)])
    held = {"a": [checkpoint("a", 90)], "b": [checkpoint("b", 10)]}
    assert names(candidates([ONE, TWO], origins, held)) == [("b", 10)]


def test_unseen_incarnation_is_found_by_attempt_and_job() -> None:
    unseen = Ancestor(1, "job-1", None)
    held = {"a": [checkpoint("a", 10)], "z": [checkpoint("z", 90, attempt=7)]}
    assert names(candidates([unseen], {}, held)) == [("a", 10)]


def test_other_trainings_lineage_follows_its_own_origins() -> None:
    origins = dict([origin(1, "a", None), origin(2, "b", Position("a", 10))])
    held = {"a": [checkpoint("a", 10), checkpoint("a", 50)], "b": [checkpoint("b", 20, attempt=2)]}
    found = candidates(whole_ancestry(origins, held), origins, held)
    assert names(found) == [("b", 20), ("a", 10)]


def test_resume_from_takes_latest_best_or_a_step() -> None:
    found = [checkpoint("a", 30, accuracy=0.1), checkpoint("a", 20, accuracy=0.8), checkpoint("a", 10, accuracy=0.3)]
    assert names(choose(found, "Latest", None))[0] == ("a", 30)
    assert names(choose(found, "Best", None)) == [("a", 20)]
    assert names(choose(found, "10", None)) == [("a", 10)]
    assert choose(found, "11", None) == []
