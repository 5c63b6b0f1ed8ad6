"""Servings that nobody asks have no replica, by the word of a real Prometheus, and whoever asks is answered all the same.

Requests wait in a real Envoy for the gate's answer. `lonely` is woken by one client, `crowd` by many at once. GATEWAY_WAITING
says how many (200 where it is not set).
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import aiohttp
import pytest

from tests.gateway.changes import Changes
from tests.gateway.fleet import LOOK_S, Fleet
from tests.gateway.keyring import bearer, gate, new_key
from tests.gateway.load import ask, completion
from tests.gateway.servings import LIMIT_S, PARENT, condition, events
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(600)

WAITING = int(os.environ.get("GATEWAY_WAITING", "200"))
IDLE_S, HOLD_S = 30, 150
SLEEPS_WITHIN_S = 150.0
"""Readings every 15 s, of 30 s each, 10 s until the gates keep requests for certain, and a busy machine."""
BEYOND_THE_START_S = 2.0
"""What waking may take besides the replica's own start: gate, operator, Envoy."""
KEY = new_key()
SLEEPY = {
    "minReplicas": 0, "maxReplicas": 2, "signals": [{"type": "InFlight", "target": 1000}],
    "scaleDownStabilizationSeconds": 0, "wake": {"idleSeconds": IDLE_S, "holdSeconds": HOLD_S},
}  # fmt: skip


class Sleeper(Fleet):
    """A serving that may sleep, asked with a key."""

    @property
    def sleep(self) -> str:
        """Where it stands between the last replica and none."""
        return str((self.status().get("sleep") or {}).get("phase", ""))

    def falls(self, *phases: str) -> str:
        """Waits until it stands at one of them."""

        def look() -> str:
            return self.sleep if self.sleep in phases else ""

        return str(until(f"{self.name} is {phases}", look, timeout_s=SLEEPS_WITHIN_S, every_s=LOOK_S))

    def asked(self, address: str) -> float:
        """Seconds until one request was answered with 200."""
        began = time.monotonic()
        answer = ask(address, self.host, "/v1/completions", completion(model=self.name), bearer(KEY))
        assert answer.status == 200, answer
        return time.monotonic() - began

    def pods(self) -> list[str]:
        found = self.kubectl.list("pods", f"deepseek-operator.io/serving={self.name}")
        return sorted(one["metadata"]["uid"] for one in found)


def start_s(pods: Changes) -> float:
    """Seconds from a pod's being made until it was ready, the first one that was."""
    made: dict[str, float] = {}
    for event, at_s in zip(pods.events, pods.at_s, strict=False):
        pod = event["object"]
        began = made.setdefault(pod["metadata"]["uid"], at_s)
        conditions = pod.get("status", {}).get("conditions", ())
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return at_s - began
    raise AssertionError("no pod became ready")


@pytest.fixture(scope="module")
def sleepers(engines: Kubectl, gateways: Kubectl, say: Callable[[str], None]) -> Iterator[tuple[Sleeper, Sleeper]]:
    """Both, asleep."""
    both = tuple(
        Sleeper(engines, name, fixed={
            "autoscaling": SLEEPY, "gateway": {"parentRef": PARENT, "hostnames": [f"{name}.example.com"], "auth": {"apiKeys": True}},
        }) for name in ("lonely", "crowd")
    )  # fmt: skip
    with gate(gateways, engines, alice=KEY):
        for one in both:
            one.apply(1)
        for one in both:
            one.is_("Available")
            until("it is behind the gateway", partial(_is_behind, engines, one.name), timeout_s=LIMIT_S)
        say("both are awake")
        began = time.monotonic()
        for one in both:
            one.falls("Asleep")
        say(f"both are asleep, {time.monotonic() - began:.0f} s later")
        yield both[0], both[1]
        for one in both:
            engines.run("delete", "deepseekserving", one.name)


def _is_behind(kubectl: Kubectl, name: str) -> bool:
    return all(condition(kubectl, name, type_)[0] == "True" for type_ in ("RouteReady", "PolicyReady"))


@pytest.fixture(scope="module")
def address(engines: Kubectl) -> str:
    return gateway_bed.address(engines)


WOKEN_S: list[float] = []
"""What each waking took beyond the start of the replica."""


def test_whoever_looks_at_one_that_sleeps_sees_that_all_is_well(sleepers: tuple[Sleeper, Sleeper]) -> None:
    for one in sleepers:
        kubectl = one.kubectl
        assert condition(kubectl, one.name, "Ready") == ("True", "Asleep")
        assert one.status()["phase"] == "Asleep"
        until("its pods are gone", lambda one=one: one.pods() == [], timeout_s=60)  # type: ignore[misc]
        assert kubectl.list("horizontalpodautoscaler", f"deepseek-operator.io/serving={one.name}") == []
        assert "Asleep" in events(kubectl, one.name)
        row = kubectl.run("get", "deepseekserving", one.name, "--no-headers")
        assert "Asleep" in row
        assert "0/0" in row
        print(row + kubectl.run("describe", "deepseekserving", one.name))


def test_the_first_request_wakes_it_and_none_ends_it_while_it_runs(
    sleepers: tuple[Sleeper, Sleeper], address: str, say: Callable[[str], None]
) -> None:
    """The request is a stream that lasts for more than twice `idleSeconds`."""
    one, _ = sleepers
    pieces = (2 * IDLE_S + 30) // 2
    with Changes(one.kubectl, "pods", one.name) as pods:
        first_s, whole = asyncio.run(_streamed(address, one, pieces))
    WOKEN_S.append(first_s - PIECE_S - start_s(pods))
    say(f"its first word came after {first_s:.1f} s, {WOKEN_S[-1]:.1f} s more than start and word; {whole}")
    assert whole == "data: [DONE]"
    assert {event["type"] for event in pods.events} <= {"ADDED", "MODIFIED"}
    assert len({event["object"]["metadata"]["uid"] for event in pods.events}) == 1
    assert not [event for event in pods.events if event["object"]["metadata"].get("deletionTimestamp")]
    told = events(one.kubectl, one.name)
    assert "Waking" in told
    say(f"told: {told['Waking']}")


PIECE_S = 2.0
"""Until the engine says the first word of a stream, and between two."""


async def _streamed(address: str, one: Sleeper, pieces: int) -> tuple[float, str]:
    """Seconds until the first word of a stream, and its last; in between it never stands nearer to sleep than Idle, where it may
    for as long as Prometheus has not seen that the stream began."""
    headers = {"Host": one.host, "Content-Type": "application/json", **bearer(KEY)}
    body = completion(model=one.name, stream=True, pieces=pieces)
    began, first_s, last, stands = time.monotonic(), 0.0, "", set()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HOLD_S + 2 * PIECE_S * pieces)) as session,
        session.post(f"http://{address}/v1/completions", data=body, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        async for line in response.content:
            first_s = first_s or time.monotonic() - began
            last = line.decode().strip() or last
            stands.add(await asyncio.to_thread(lambda: one.sleep))
    assert stands <= {"Waking", "Awake", "Idle", ""}, stands
    return first_s, last


def test_many_that_wait_at_once_are_all_answered(
    sleepers: tuple[Sleeper, Sleeper], address: str, say: Callable[[str], None]
) -> None:
    _, one = sleepers
    assert one.sleep == "Asleep", "nobody has asked it, whatever became of the other one"
    with Changes(one.kubectl, "pods", one.name) as pods:
        statuses, first_s, last_s = asyncio.run(_crowded(address, one))
    WOKEN_S.append(first_s - start_s(pods))
    woken = events(one.kubectl, one.name)["Waking"]
    say(f"{dict(statuses)}, the first after {first_s:.1f} s, the last after {last_s:.1f} s; told: {woken}")
    assert statuses == {200: WAITING}
    until("it is awake", lambda: one.sleep == "Awake", timeout_s=LIMIT_S, every_s=LOOK_S)
    one.asked(address)


async def _crowded(address: str, one: Sleeper) -> tuple[Counter[int], float, float]:
    """Statuses of as many requests at once, and seconds until the first answer and the last."""
    headers = {"Host": one.host, "Content-Type": "application/json", **bearer(KEY)}
    began, ended = time.monotonic(), []

    async def client(session: aiohttp.ClientSession) -> int:
        async with session.post(
            f"http://{address}/v1/completions", data=completion(model=one.name), headers=headers
        ) as response:
            await response.read()
        ended.append(time.monotonic() - began)
        return response.status

    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=HOLD_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        statuses = Counter(await asyncio.gather(*(client(session) for _ in range(WAITING))))
    return statuses, min(ended), max(ended)


def test_waking_takes_no_longer_than_the_start_and_two_seconds() -> None:
    """The best of both: this machine may be busy, and a replica's start on it takes as long as it takes."""
    assert min(WOKEN_S) <= BEYOND_THE_START_S, WOKEN_S


def test_whoever_asks_as_it_falls_asleep_is_answered_by_the_replica_that_still_runs(
    sleepers: tuple[Sleeper, Sleeper], address: str, say: Callable[[str], None]
) -> None:
    _, one = sleepers
    before = one.pods()
    phase = one.falls("Closing", "Closed")
    took_s = one.asked(address)
    say(f"asked while {phase}, answered after {took_s:.1f} s")
    assert one.pods() == before
    until("it is awake", lambda: one.sleep in ("Awake", "Idle"), timeout_s=30)
