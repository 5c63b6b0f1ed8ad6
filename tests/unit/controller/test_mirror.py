"""The mirror's three rules, against every order in which events may come."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.entries import Location
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Audit, Mirror
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import AUTOSCALER, CLAIM, DEPLOYMENT, JOB, POD, SERVICE, Ref, Resource
from deepseek_operator.ports.cluster import Listing
from tests.support.search import examples

NS = "team"
OWNER = Key(TRAINING, NS, "t")


def made(
    resource: Resource, name: str, uid: str, version: int, owner: str | None = None, namespace: str = NS
) -> dict[str, Any]:
    labels = {MANAGED_BY: MANAGER, OWNER_UID: owner} if owner else {}
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def test_a_lower_version_never_replaces_a_higher_one() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "j", "u", 10))
    assert mirror.observe(JOB, made(JOB, "j", "u", 9)) == frozenset()
    assert mirror.get(JOB, NS, "j") == made(JOB, "j", "u", 10)


@pytest.mark.parametrize("odd", [2**70, "half a \ud800 character"], ids=["large", "half"])
def test_what_json_can_not_say_shortly_is_kept_too(odd: object) -> None:
    mirror = Mirror()
    mirror.observe(JOB, {**made(JOB, "j", "u", 1), "spec": {"odd": odd}})
    found = mirror.get(JOB, NS, "j")
    assert found is not None
    assert found["spec"] == {"odd": odd}


def test_what_a_reader_does_to_an_object_is_not_in_the_mirror() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "j", "u", 1))
    found = mirror.get(JOB, NS, "j")
    assert found is not None
    found["metadata"]["name"] = "other"
    assert mirror.get(JOB, NS, "j") == made(JOB, "j", "u", 1)


def a_scaler(name: str, uid: str, version: int, target: Resource, of: str) -> dict[str, Any]:
    reference = {"apiVersion": target.api_version, "kind": target.kind, "name": of}
    return {**made(AUTOSCALER, name, uid, version), "spec": {"scaleTargetRef": reference}}


def test_what_scales_an_owner_or_its_child_wakes_it_however_it_is_labelled() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "t", 1))
    mirror.observe(DEPLOYMENT, made(DEPLOYMENT, "d", "d", 2, owner="t"))
    assert mirror.observe(AUTOSCALER, a_scaler("a", "a", 3, TRAINING, "t")) == {OWNER}
    assert mirror.observe(AUTOSCALER, a_scaler("b", "b", 4, DEPLOYMENT, "d")) == {OWNER}
    assert mirror.observe(AUTOSCALER, a_scaler("c", "c", 5, DEPLOYMENT, "x")) == frozenset()
    assert mirror.observe(AUTOSCALER, a_scaler("a", "a", 6, TRAINING, "x")) == {OWNER}, "it turns to somebody else"
    assert mirror.forget(AUTOSCALER, a_scaler("b", "b", 7, DEPLOYMENT, "d")) == {OWNER}


def test_scalers_are_found_by_what_they_scale_now() -> None:
    mirror = Mirror()

    def seen(resource: Resource, name: str) -> list[str]:
        return [entry.location.name for entry in mirror.scalers.of(resource, NS, name)]

    mirror.observe(AUTOSCALER, a_scaler("b", "b", 1, TRAINING, "t"))
    mirror.observe(AUTOSCALER, a_scaler("a", "a", 2, TRAINING, "t"))
    assert seen(TRAINING, "t") == ["a", "b"]
    assert seen(DEPLOYMENT, "t") == []
    mirror.observe(AUTOSCALER, a_scaler("a", "a", 3, DEPLOYMENT, "d"))
    assert (seen(TRAINING, "t"), seen(DEPLOYMENT, "d")) == (["b"], ["a"])
    mirror.forget(AUTOSCALER, a_scaler("b", "b", 4, TRAINING, "t"))
    assert seen(TRAINING, "t") == []
    mirror.observe(AUTOSCALER, {**made(AUTOSCALER, "odd", "odd", 5), "spec": {"scaleTargetRef": {"kind": 7}}})


def test_neighbours_are_the_others_of_the_kind_and_the_namespace_as_they_are_now() -> None:
    mirror = Mirror()
    for name, uid, namespace in (("b", "b", NS), ("a", "a", NS), ("t", "t", NS), ("a", "far", "far")):
        mirror.observe(TRAINING, made(TRAINING, name, uid, 1, namespace=namespace))
    mirror.observe(CLAIM, made(CLAIM, "c", "c", 1))

    def seen(key: Key = OWNER) -> list[str]:
        return [str(one["metadata"]["uid"]) for one in mirror.neighbours.of(key)]

    assert seen() == ["a", "b"]
    assert seen(Key(TRAINING, "far", "a")) == []
    mirror.observe(TRAINING, made(TRAINING, "a", "anew", 2))
    assert seen() == ["anew", "b"]
    mirror.forget(TRAINING, made(TRAINING, "b", "b", 3))
    assert seen() == ["anew"]


def test_what_a_namespace_names_is_told_unless_an_object_is_not_all_there() -> None:
    mirror = Mirror()
    for name, namespace in (("a", NS), ("b", "far")):
        one = made(TRAINING, name, name, 1, namespace=namespace)
        mirror.observe(TRAINING, {**one, "spec": {"source": f"pvc://models/sources/hf/{name}"}})
    mirror.observe(POD, {**made(POD, "p", "p", 1), "spec": {"subPath": "sources/s3/c/1"}})
    told = mirror.mentions(NS)
    assert told is not None
    assert told.on("models") == ("hf/a", "s3/c/1")
    mirror.observe(POD, {**made(POD, "p", "p", 2), "spec": {"subPath": "x" * 600_000}})
    assert mirror.mentions(NS) is None
    assert mirror.mentions("far") is not None


def test_whoever_asks_of_one_resource_walks_over_no_other() -> None:
    class Walked(dict[str, Any]):
        def values(self) -> Any:
            raise AssertionError("all objects are walked over")

        items = __iter__ = values

    mirror = Mirror()
    mirror._by_uid = Walked()
    mirror.observe(TRAINING, made(TRAINING, "t", "t", 1))
    for number in range(3):
        mirror.observe(JOB, made(JOB, f"j{number}", f"j{number}", 1))
    assert mirror.sizes() == {TRAINING: 1, JOB: 3}
    assert [key.name for key, _, _ in mirror.versions(JOB)] == ["j0", "j1", "j2"]
    assert mirror.owners() == (OWNER,)
    assert mirror.relisted(JOB, None, 1, {"j0"}) == frozenset()
    assert mirror.audit(JOB, Listing("1", [])) == Audit()
    assert mirror.sizes() == {TRAINING: 1}


def test_versions_are_compared_as_numbers() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "j", "u", 9))
    mirror.observe(JOB, made(JOB, "j", "u", 10))
    assert mirror.get(JOB, NS, "j") == made(JOB, "j", "u", 10)


def test_a_tombstone_beats_every_older_event() -> None:
    mirror = Mirror()
    mirror.forget(JOB, made(JOB, "j", "u", 10))
    mirror.observe(JOB, made(JOB, "j", "u", 9))
    assert mirror.get(JOB, NS, "j") is None


def test_a_late_tombstone_spares_the_successor_of_the_same_name() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "j", "old", 5))
    mirror.observe(JOB, made(JOB, "j", "new", 9))
    mirror.forget(JOB, made(JOB, "j", "old", 8))
    assert mirror.get(JOB, NS, "j") == made(JOB, "j", "new", 9)


def test_an_object_whose_label_came_back_is_known_again() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "j", "u", 5))
    mirror.forget(JOB, made(JOB, "j", "u", 8))
    mirror.observe(JOB, made(JOB, "j", "u", 9))
    assert mirror.get(JOB, NS, "j") is not None


def test_a_child_wakes_its_owner_when_it_comes_changes_loses_its_label_and_goes() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "owner", 1))
    assert mirror.observe(JOB, made(JOB, "j", "u", 2, "owner")) == {OWNER}
    assert mirror.observe(JOB, made(JOB, "j", "u", 3, "owner")) == {OWNER}
    assert mirror.observe(JOB, made(JOB, "j", "u", 4)) == {OWNER}
    assert mirror.children(NS, "owner") == {}
    mirror.observe(JOB, made(JOB, "j", "u", 5, "owner"))
    assert mirror.forget(JOB, made(JOB, "j", "u", 6)) == {OWNER}


def test_a_child_in_another_namespace_belongs_to_nobody() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "owner", 1))
    assert mirror.observe(JOB, made(JOB, "j", "u", 2, "owner", namespace="other")) == frozenset()
    assert mirror.children(NS, "owner") == {}


def test_what_the_mirror_learned_from_a_write_does_not_wake_again() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "owner", 1))
    mirror.observe(JOB, made(JOB, "j", "u", 2, "owner"))
    assert mirror.observe(JOB, made(JOB, "j", "u", 2, "owner")) == frozenset()


def test_an_audit_removes_a_ghost_but_not_what_is_newer_than_the_list() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "owner", 1))
    mirror.observe(JOB, made(JOB, "ghost", "g", 4, "owner"))
    mirror.observe(JOB, made(JOB, "young", "y", 8, "owner"))
    assert mirror.audit(JOB, Listing("7", [])) == Audit(frozenset({OWNER}), ())
    assert list(mirror.children(NS, "owner")) == [Ref(JOB, "young")]
    mirror.observe(JOB, made(JOB, "ghost", "g", 6, "owner"))
    assert mirror.get(JOB, NS, "ghost") is None


def test_an_audit_names_what_the_watch_lost() -> None:
    mirror = Mirror()
    mirror.observe(JOB, made(JOB, "known", "k", 3))
    mirror.observe(JOB, made(JOB, "old", "o", 3))
    mirror.forget(JOB, made(JOB, "gone", "x", 6))
    items = [made(JOB, n, u, v) for n, u, v in [("known", "k", 3), ("old", "o", 5), ("gone", "x", 4), ("new", "n", 4)]]
    assert mirror.audit(JOB, Listing("7", items)).missed == (Location(JOB, NS, "old"), Location(JOB, NS, "new"))


def test_an_audit_of_one_resource_leaves_the_others_alone() -> None:
    mirror = Mirror()
    mirror.observe(SERVICE, made(SERVICE, "s", "u", 3))
    mirror.audit(JOB, Listing("9", []))
    assert mirror.get(SERVICE, NS, "s") is not None


def test_tombstones_do_not_pile_up() -> None:
    mirror = Mirror()
    for number in range(100):
        mirror.forget(JOB, made(JOB, f"j{number}", f"u{number}", number + 1))
    for version in ("200", "300", "400"):
        mirror.audit(JOB, Listing(version, []))
    assert mirror._tombstones == {}


def test_a_reference_wakes_who_wants_it_until_the_wish_changes() -> None:
    mirror = Mirror()
    mirror.observe(TRAINING, made(TRAINING, "t", "owner", 1))
    mirror.refer(OWNER, [Ref(CLAIM, "data")])
    assert mirror.observe(CLAIM, made(CLAIM, "data", "c", 2)) == {OWNER}
    assert mirror.observe(CLAIM, made(CLAIM, "data", "d", 3, namespace="other")) == frozenset()
    mirror.refer(OWNER, [])
    assert mirror.observe(CLAIM, made(CLAIM, "data", "c", 4)) == frozenset()
    assert not mirror._referrers
    assert not mirror._references


def histories() -> st.SearchStrategy[list[tuple[str, dict[str, Any]]]]:
    """The true history of one name: objects live, change, lose their label and are deleted, one after another."""

    @st.composite
    def build(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
        version, history = 0, []
        for life in range(draw(st.integers(1, 3))):
            for _ in range(draw(st.integers(1, 4))):
                version += draw(st.integers(1, 3))
                history.append(("observe", made(JOB, "j", f"u{life}", version, "owner")))
            version += 1
            history.append(("forget", made(JOB, "j", f"u{life}", version)))
        return history[: draw(st.integers(1, len(history)))]

    return build()


@settings(max_examples=examples(300), deadline=None)
@given(histories(), st.data())
def test_events_in_any_order_with_duplicates_end_at_the_newest_truth(
    history: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=5))))
    mirror = Mirror()
    for verb, manifest in shuffled:
        getattr(mirror, verb)(JOB, manifest)
    verb, newest = history[-1]
    assert mirror.get(JOB, NS, "j") == (newest if verb == "observe" else None)
    assert mirror.children(NS, "owner") == ({Ref(JOB, "j"): newest} if verb == "observe" else {})
    assert mirror.sizes() == ({JOB: 1} if verb == "observe" else {})
    uid, version = newest["metadata"]["uid"], int(newest["metadata"]["resourceVersion"])
    assert mirror.versions(JOB) == (((Key(JOB, NS, "j"), uid, version),) if verb == "observe" else ())


@settings(max_examples=examples(300), deadline=None)
@given(histories(), st.data())
def test_an_audit_repairs_whatever_events_were_lost(
    history: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    kept = [event for event in history if data.draw(st.booleans())]
    mirror = Mirror()
    for verb, manifest in kept:
        getattr(mirror, verb)(JOB, manifest)
    verb, newest = history[-1]
    truth = [newest] if verb == "observe" else []
    version = int(newest["metadata"]["resourceVersion"])
    found = mirror.audit(JOB, Listing(str(version), truth))
    for _ in found.missed:
        mirror.observe(JOB, newest)
    assert mirror.get(JOB, NS, "j") == (newest if truth else None)
