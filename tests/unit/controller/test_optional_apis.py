"""An API that a cluster may have or not, as a kind that owns an object of it sees it: missing, there, gone again."""

import asyncio
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.reconcile import Settled
from deepseek_operator.core.names import owner_labels
from deepseek_operator.core.resources import Ref
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.ports.cluster import ClusterError, Forbidden, NotServed
from tests.support.posters import BOARD, CONFIG_MAP, NO_BOARDS, POSTER, WITH_POSTERS, Poster, PosterKind, a_poster
from tests.support.shell import Operator
from tests.support.world import StoppedClock

NS = "team"
KEY = Key(POSTER, NS, "p")
FORBIDDEN = 'boards.boards.example.com is forbidden: User "x" cannot list resource "boards"'


class Stage:
    """Attributes: asked: every request for a Board; refuses: what it is answered with, None: as the store has it."""

    def __init__(self) -> None:
        clock = StoppedClock()
        self.cluster = MemoryCluster(clock, WITH_POSTERS)
        self.operator = Operator(PosterKind(), self.cluster, clock)
        self.asked: list[str] = []
        self.refuses: ClusterError | None = None
        self.cluster.refuse = self._refusal

    def _refusal(self, verb: str, namespace: str, ref: Ref) -> ClusterError | None:
        if ref.resource != BOARD:
            return None
        self.asked.append(verb)
        return self.refuses

    def missing(self, why: str | None) -> bool:
        return self.operator.mirror.missing(BOARD, None, why)

    def ready(self, name: str = "p") -> tuple[str, str, str]:
        stored = self.cluster.read(POSTER, NS, name)
        assert stored is not None
        condition: dict[str, Any] = stored["status"]["conditions"][0]
        return condition["status"], condition["reason"], condition.get("message", "")

    def made(self) -> list[str]:
        return [f"{write.verb} {write.ref}" for write in self.cluster.writes if write.verb != "status"]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("why", [NO_BOARDS, FORBIDDEN])
def test_nothing_is_asked_of_what_is_missing_and_the_condition_says_why_and_what_to_do(stage: Stage, why: str) -> None:
    stage.missing(why)
    for number in range(20):
        stage.cluster.put(a_poster(f"p{number}"))
    stage.operator.settle()
    assert [stage.ready(f"p{number}") for number in range(20)] == [("False", "WaitingForAPI", why)] * 20
    assert stage.made() == [f"apply ConfigMap/p{number}-poster" for number in sorted(range(20), key=str)]
    assert stage.asked == []
    assert stage.operator.reconcile(Key(POSTER, NS, "p0")) == Settled(60.0)


def test_what_appears_is_made_and_what_vanishes_is_told_and_made_again(stage: Stage) -> None:
    stage.missing(NO_BOARDS)
    stage.cluster.put(a_poster())
    for _ in range(3):
        stage.operator.settle()
        assert stage.ready() == ("False", "WaitingForAPI", NO_BOARDS)
        assert stage.missing(None)
        stage.operator.settle()
        assert stage.ready() == ("True", "Shown", "")
        assert stage.cluster.read(BOARD, NS, "p-poster") is not None
        stage.cluster.drop(BOARD, NS, "p-poster")
        assert stage.missing(NO_BOARDS)
    assert stage.made() == ["apply ConfigMap/p-poster", *["apply Board/p-poster"] * 3]


def test_who_does_without_it_is_not_concerned(stage: Stage) -> None:
    stage.missing(NO_BOARDS)
    stage.refuses = NotServed(NO_BOARDS)
    stage.cluster.put(a_poster(board=False))
    stage.operator.settle()
    assert stage.ready() == ("True", "Shown", "")
    view = asyncio.run(stage.operator.look.live(KEY))
    assert view is not None
    assert set(view.seen.children) == {Ref(CONFIG_MAP, "p-poster")}
    assert view.seen.unserved == {BOARD: NO_BOARDS}
    assert stage.asked == []


@pytest.mark.parametrize("live", [False, True], ids=["mirror", "live"])
def test_objects_that_live_where_a_right_is_lacking_are_in_no_look(stage: Stage, live: bool) -> None:
    stage.cluster.put(a_poster())
    stage.operator.settle()
    stage.missing(FORBIDDEN)
    board = stage.cluster.read(BOARD, NS, "p-poster")
    assert board is not None
    stage.operator.mirror.observe(BOARD, board)  # As the answer of a write does that was on its way.
    stage.asked.clear()
    view = asyncio.run((stage.operator.look.live if live else stage.operator.look.from_mirror)(KEY))
    assert view is not None
    assert set(view.seen.children) == {Ref(CONFIG_MAP, "p-poster")}
    assert view.seen.occupied == {}
    assert stage.asked == []


GOING = "create not allowed while custom resource definition is terminating"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [(NotServed(NO_BOARDS), "WaitingForAPI"), (Forbidden(GOING), "Forbidden")],
    ids=["gone", "going"],
)
def test_a_write_that_comes_too_late_is_told_once_and_never_as_a_fault_of_the_spec(
    stage: Stage, refusal: ClusterError, reason: str
) -> None:
    stage.cluster.put(a_poster())
    stage.operator.pipe.flush()
    stage.cluster.refuse = lambda verb, namespace, ref: refusal if (verb, ref.resource) == ("apply", BOARD) else None
    assert stage.operator.reconcile(KEY) == Settled(60.0)
    stored = stage.cluster.read(POSTER, NS, "p")
    assert stored is not None
    assert stage.ready() == ("False", reason, str(refusal))
    assert [c["status"] for c in stored["status"]["conditions"] if c["type"] == "Stalled"] == ["False"]
    assert stage.operator.mirror.turned_away(BOARD, "elsewhere") == set()
    assert stage.operator.mirror.turned_away(BOARD, NS) == {KEY}
    assert stage.operator.mirror.turned_away(BOARD, None) == set()
    stage.cluster.refuse = lambda verb, namespace, ref: None
    assert stage.operator.reconcile(KEY) == Settled()
    stage.operator.settle()
    assert stage.ready() == ("True", "Shown", "")


def test_nobody_asks_for_one_that_lost_its_labels_while_it_can_not_be_had(stage: Stage) -> None:
    stage.cluster.put(a_poster())
    stage.operator.settle()
    stage.cluster.edit(BOARD, NS, "p-poster", lambda live: live["metadata"].pop("labels"))
    stage.operator.pipe.flush()
    stage.missing(FORBIDDEN)
    stage.asked.clear()
    assert asyncio.run(stage.operator.look.from_mirror(KEY)) is not None
    assert stage.asked == []


class Reader(PosterKind):
    """Looks at a Board that somebody else made."""

    def needs(self, seen: Seen[Poster]) -> Needs:
        return Needs(references=(Ref(BOARD, "another"),))


@pytest.mark.parametrize("live", [False, True], ids=["mirror", "live"])
def test_nor_does_who_only_reads_one(stage: Stage, live: bool) -> None:
    operator = Operator(Reader(), stage.cluster, StoppedClock())
    stage.cluster.put({**BOARD_HEAD, "metadata": {"name": "another", "namespace": NS}})
    stage.cluster.put(a_poster(board=False))
    operator.pipe.flush()
    for why, names in ((FORBIDDEN, set()), (None, {"another"} if live else set())):
        operator.mirror.missing(BOARD, None, why)
        stage.asked.clear()
        view = asyncio.run((operator.look.live if live else operator.look.from_mirror)(KEY))
        assert view is not None
        assert {ref.name for ref in view.seen.references} == names
        assert why is None or stage.asked == []


def test_what_lost_its_labels_while_it_could_not_be_had_is_found_when_it_can(stage: Stage) -> None:
    stage.cluster.put(a_poster())
    stage.operator.settle()
    stage.cluster.edit(BOARD, NS, "p-poster", lambda live: live["metadata"].pop("labels"))
    stage.operator.restart()
    poster = stage.cluster.read(POSTER, NS, "p")
    assert poster is not None
    stage.operator.mirror.observe(POSTER, poster)
    for why, seen in ((FORBIDDEN, False), (None, True)):
        stage.missing(why)
        view = asyncio.run(stage.operator.look.from_mirror(KEY))
        assert view is not None
        assert (Ref(BOARD, "p-poster") in view.seen.children) == seen


def board(namespace: str) -> dict[str, Any]:
    metadata = {"name": "p-poster", "namespace": namespace, "uid": f"b-{namespace}", "resourceVersion": "9"}
    return {**BOARD_HEAD, "metadata": {**metadata, "labels": owner_labels(POSTER, "p", f"p-{namespace}")}}


BOARD_HEAD = {"apiVersion": BOARD.api_version, "kind": BOARD.kind}


def test_it_is_dropped_where_it_is_missing_and_nowhere_else_and_nobody_asks_for_what_was_dropped() -> None:
    mirror = Mirror()
    for namespace in ("a", "b"):
        metadata = {"name": "p", "namespace": namespace, "uid": f"p-{namespace}", "resourceVersion": "1"}
        mirror.observe(POSTER, {**a_poster(), "metadata": metadata})
        mirror.observe(BOARD, board(namespace))
    assert mirror.missing(BOARD, "a", FORBIDDEN)
    assert not mirror.missing(BOARD, "a", FORBIDDEN)
    assert mirror.missing(BOARD, "a", NO_BOARDS)
    assert (mirror.unserved("a"), mirror.unserved("b")) == ({BOARD: NO_BOARDS}, {})
    assert (mirror.get(BOARD, "a", "p-poster"), mirror.left("p-a")) == (None, {})
    assert mirror.get(BOARD, "b", "p-poster") is not None
    assert mirror.lacks(BOARD)
    assert mirror.missing(BOARD, "a", None)
    assert not mirror.missing(BOARD, "a", None)
    assert not mirror.lacks(BOARD)
    mirror.observe(BOARD, board("a"))
    assert mirror.get(BOARD, "a", "p-poster") is not None


def test_its_rights_and_users_come_from_the_list_of_kinds() -> None:
    assert WITH_POSTERS.rights()["boards.example.com", "boards"] == {
        "create", "delete", "get", "list", "patch", "watch"
    }  # fmt: skip
    assert WITH_POSTERS.users(BOARD) == {POSTER}
