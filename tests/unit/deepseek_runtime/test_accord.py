"""The launchers of a gang agree to start again, or none does: over real connections of this machine."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from deepseek_runtime.contract import Contract, read_contract
from deepseek_runtime.launcher import accord
from deepseek_runtime.launcher.accord import Accord, Alone, Crash, First, Member, Unheard, accord_of
from tests.support.ports import free_port

NODES = 3
CRASH = "rank 1 died of SIGSEGV"


def contract(node: int, port: int, **told: str) -> Contract:
    """What node `node` of a gang is told."""
    return read_contract(
        {
            "DEEPSEEK_TRAINING_NAME": "t",
            "DEEPSEEK_TRAINING_NAMESPACE": "team",
            "DEEPSEEK_TRAINING_UID": "uid",
            "DEEPSEEK_ATTEMPT": "1",
            "DEEPSEEK_JOB_UID": "job",
            "DEEPSEEK_POD_UID": f"pod-{node}",
            "DEEPSEEK_CHECKPOINT_ROOT": "/nowhere",
            "DEEPSEEK_CHECKPOINT_EVERY_STEPS": "1",
            "DEEPSEEK_NODES": str(NODES),
            "DEEPSEEK_NODE_RANK": str(node),
            "DEEPSEEK_MAX_IN_PLACE_RESTARTS": "3",
            "DEEPSEEK_LAUNCHER_PORT": str(port),
            **told,
        }
    )


OF_A_PEER = [
    "rank 0 exited with code 1: RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer",
    "rank 0 exited with code 1: RuntimeError: [/pytorch/third… typically caused by a remote worker crashing. Check the logs",
    "rank 0 exited with code 1: RuntimeError: [pair.cc:491] Read error [127.0.0.1]:4321: Connection reset by peer",
    "rank 0 exited with code 1: DistBackendError: NCCL error: remote process exited or there was a network error",
    "rank 0 exited with code 1: DistNetworkError: Failed to recv, got 0 bytes. Connection was likely closed.",
    "rank 0 exited with code 1: BrokenPipeError: [Errno 32] Broken pipe",
]
"""What processes of torch 2.13 say whose peer has gone, as launchers clip it."""


class Gang:
    """Three launchers; each settles in a thread of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.first = First(contract(0, self.port))
        self.members = [Member(contract(node, self.port)) for node in range(1, NODES)]
        self.threads = ThreadPoolExecutor(NODES)
        eventually(lambda: len(self.first._members) == NODES - 1)

    @property
    def all(self) -> list[Accord]:
        return [self.first, *self.members]

    def settles(
        self, node: int, code: int | None = None, refusal: str | None = None, stops: Callable[[], bool] = lambda: False
    ) -> "Future[str | None]":
        crash = None if code is None else Crash(node, code, f"{CRASH} in node {node}")
        return self.threads.submit(self.all[node].settle, crash, lambda: refusal, stops)

    def close(self) -> None:
        for one in self.all:
            one.close()
        self.threads.shutdown()


def eventually(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def gang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gang]:
    monkeypatch.setattr(accord, "COLLECT_S", 0.05)
    monkeypatch.setattr(accord, "CONNECT_EVERY_S", 0.01)
    made = Gang()
    yield made
    made.close()


def causes(*settled: "Future[str | None]") -> list[str | None]:
    return [one.result(30) for one in settled]


def test_one_crashes_and_all_start_again_for_its_cause_round_after_round(gang: Gang) -> None:
    for victim in (2, 0, 1):
        settled = [gang.settles(victim, 139)]
        for node in (one for one in range(NODES) if one != victim):
            # Node 0 hears of it first, and the others of its decision.
            eventually(partial(_is_recalled, gang.all[node]))
            settled.append(gang.settles(node))
        told = causes(*settled)
        assert told == [f"{CRASH} in node {victim}"] * NODES
        assert [one.recall() for one in gang.all] == [None] * NODES


def _is_recalled(one: Accord) -> bool:
    return one.recall() is not None


def test_nobody_starts_before_the_last_one_is_ready(gang: Gang) -> None:
    crashed, first = gang.settles(1, 137), gang.settles(0)
    eventually(lambda: gang.members[1].recall() is not None)
    assert not crashed.done()
    assert not first.done()
    assert causes(gang.settles(2), crashed, first) == [f"{CRASH} in node 1"] * NODES


@pytest.mark.parametrize(("codes", "victim"), [((1, 137, 1), 1), ((134, 1, 139), 2), ((1, 1, 135), 2)])
def test_of_crashes_of_one_moment_the_cause_is_the_one_that_no_peers_end_leads_to(
    gang: Gang, codes: tuple[int, ...], victim: int
) -> None:
    members = [gang.settles(node, codes[node]) for node in (1, 2)]
    eventually(lambda: len(gang.first._crashes) == 2)
    assert set(causes(gang.settles(0, codes[0]), *members)) == {f"{CRASH} in node {victim}"}


@pytest.mark.parametrize("told", OF_A_PEER)
@pytest.mark.parametrize("code", [1, 134], ids=["an error", "an abort"])
def test_one_whose_connection_broke_is_not_the_cause_although_it_is_heard_first(
    gang: Gang, told: str, code: int
) -> None:
    """An abort may follow from a peer's end, as the one of NCCL's watchdog does, and may lead to it."""
    first = gang.threads.submit(gang.members[0].settle, Crash(1, 1, told), lambda: None, lambda: False)
    eventually(lambda: len(gang.first._crashes) == 1)
    second = gang.settles(2, code)
    eventually(lambda: len(gang.first._crashes) == 2)
    assert set(causes(gang.settles(0), first, second)) == {f"{CRASH} in node 2"}


@pytest.mark.parametrize("code", [64, 73, 75, 76])
@pytest.mark.parametrize("node", [0, 1])
def test_an_end_with_a_meaning_of_its_own_is_the_end(gang: Gang, code: int, node: int) -> None:
    ended = gang.settles(node, code)
    if node:
        eventually(lambda: bool(gang.first._crashes))
    others = [gang.settles(other, 1) for other in range(NODES) if other != node]
    assert causes(ended, *others) == [None] * NODES


def test_what_node_0_refuses_no_node_does(gang: Gang) -> None:
    settled = [gang.settles(2, 1), gang.settles(1, 1), gang.settles(0, 137, refusal="no step was made")]
    assert causes(*settled) == [None] * NODES


def test_a_pod_that_goes_or_stops_is_not_waited_for(gang: Gang) -> None:
    gang.members[0].stop()
    eventually(lambda: gang.first._is_broken)
    assert causes(gang.settles(0, 137), gang.settles(2, 1)) == [None, None]


def test_a_pod_that_is_asked_to_stop_waits_for_nobody(gang: Gang) -> None:
    assert gang.settles(1, 137, stops=lambda: True).result(30) is None
    assert gang.settles(0, 137, stops=lambda: True).result(30) is None


def test_one_that_is_too_late_ends_it_for_all(gang: Gang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accord, "READY_S", 0.2)
    assert causes(gang.settles(0, 137), gang.settles(2, 1)) == [None, None]


STRANGE = [
    b'{"key": "another", "node": 1}\n',
    b'{"key": "job", "node": 7}\n',
    b'{"key": "job", "node": 0}\n',
    b"GET / HTTP/1.1\r\n\r\n",
    b"x" * 20_000 + b"\n",
    b"[" * 5_000 + b"\n",
    b"\xff\xfe\n",
]


@pytest.mark.parametrize("said", STRANGE)
def test_a_stranger_is_sent_away_and_changes_nothing(gang: Gang, said: bytes) -> None:
    with socket.create_connection(("127.0.0.1", gang.port), 30) as stranger:
        stranger.sendall(said + b'{"crash": 0, "code": 139, "message": "x"}\n')
        with suppress(ConnectionError):  # closed with bytes unread it is reset: closed all the same
            assert stranger.recv(1) == b""
    assert gang.first.recall() is None
    assert len(gang.first._members) == NODES - 1
    assert not gang.first._is_broken


def test_a_message_of_another_round_or_form_is_passed_over(gang: Gang) -> None:
    strange: tuple[object, ...] = (
        {"crash": 5, "code": 1, "message": "x"},
        {"ready": 9},
        {"crash": 0, "code": "1"},
        [],
        "x",
        1,
    )
    for said in strange:
        gang.first._hear(1, json.loads(json.dumps(said)))
    assert gang.first.recall() is None


def test_a_gang_of_one_asks_nobody_and_one_that_may_not_hears_nobody() -> None:
    alone = accord_of(contract(0, free_port(), DEEPSEEK_NODES="1"))
    assert isinstance(alone, Alone)
    assert alone.settle(Crash(0, 137, CRASH), lambda: None, lambda: False) == CRASH
    assert alone.settle(Crash(0, 64, CRASH), lambda: None, lambda: False) is None
    assert alone.settle(Crash(0, 137, CRASH), lambda: "enough", lambda: False) is None
    assert isinstance(accord_of(contract(0, free_port(), DEEPSEEK_MAX_IN_PLACE_RESTARTS="0")), Unheard)


def test_a_port_that_is_taken_stops_no_training(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("", 0)) as taken:
        assert isinstance(accord_of(contract(0, taken.getsockname()[1])), Unheard)
    assert "no restarts in place: port" in capsys.readouterr().err
