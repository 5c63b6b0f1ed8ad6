"""The oracle over watches of a route and of pods finds what must not be, and nothing else."""

from typing import Any

from tests.support.parts_seen import Event, breaches, in_order


def pod(at: int, revision: str, *, ready: bool = True, ends: bool = False, type_: str = "MODIFIED") -> Event:
    """A pod of that revision, called like it."""
    metadata = {"uid": revision, "resourceVersion": str(at), "labels": {"deepseek-operator.io/revision": revision}}
    status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ends else {}
    return {"type": type_, "object": {"kind": "Pod", "metadata": {**metadata, **ending}, "status": status}}


def route(at: int, seen: int, **parts: int) -> Event:
    """A route whose generation is `at`, seen by its controller as of generation `seen`."""
    backends = [{"name": f"chat-{name}", "weight": part} for name, part in parts.items()]
    told: dict[str, Any] = {"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": seen}]}
    live = {"kind": "HTTPRoute", "metadata": {"resourceVersion": str(at), "generation": at}}
    spec = {"rules": [{"backendRefs": backends}]}
    return {"type": "MODIFIED", "object": {**live, "spec": spec, "status": {"parents": [told]}}}


BEGUN = [pod(1, "old"), route(2, 2, old=1)]
SWAPPED = [pod(3, "new"), route(4, 2, old=1, new=1), route(5, 5, old=1, new=1)]


def test_a_part_for_what_serves_and_an_end_without_one_are_well() -> None:
    assert list(breaches([*BEGUN, *SWAPPED, route(6, 6, old=0, new=1), pod(7, "old", ends=True)])) == []


def test_the_first_rollout_gives_a_part_to_what_does_not_serve_yet() -> None:
    assert list(breaches([route(1, 1, old=1), pod(2, "old", ready=False), pod(3, "old")])) == []


def test_a_part_before_a_replica_serves_is_found() -> None:
    (found,) = breaches([*BEGUN, pod(3, "new", ready=False), route(4, 4, old=1, new=1)])
    assert "revision new was given a part" in found


def test_an_end_with_a_part_is_found() -> None:
    (found,) = breaches([*BEGUN, *SWAPPED, pod(6, "old", ends=True)])
    assert "the last replica of old was told to end" in found


def test_an_end_before_the_controller_has_seen_that_there_is_no_part_is_found() -> None:
    (found,) = breaches([*BEGUN, *SWAPPED, route(6, 5, old=0, new=1), pod(7, "old", ends=True)])
    assert "the last replica of old was told to end" in found


def test_two_watches_are_put_in_the_order_of_the_server() -> None:
    events = in_order([pod(10, "new"), pod(2, "old")], [route(9, 9, old=1), {"type": "BOOKMARK", "object": {}}])
    assert [event["object"]["metadata"]["resourceVersion"] for event in events] == ["2", "9", "10"]
