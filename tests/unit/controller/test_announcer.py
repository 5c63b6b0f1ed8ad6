"""Events in virtual time: a namespace's storm is bounded, its last words arrive, and no other namespace notices."""

import asyncio
import itertools
from collections import Counter

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.announcer import COMBINED, EVENT_BURST, EVENTS_PER_S, MOST_HELD, Announcer
from deepseek_operator.controller.fence import NotLeading
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import Manifest, Resource
from tests.support.virtual_time import elapsed_s, in_virtual_time


class Told:
    """What was published: when, of which object, which reason and note."""

    def __init__(self) -> None:
        self.all: list[tuple[float, str, str, str]] = []
        self.error: Exception | None = None
        self.announcer = Announcer(self.publish)

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        meta = regarding["metadata"]
        self.all.append((round(elapsed_s(), 3), f"{meta['namespace']}/{meta['name']}", event.reason, event.note))

    async def storm(self, objects: int, reasons: tuple[str, ...], rounds: int, namespace: str = "storm") -> None:
        for turn, number, reason in itertools.product(range(rounds), range(objects), reasons):
            await self.say(f"{namespace}/t{number}", reason, f"turn {turn}")

    async def say(self, name: str, reason: str, note: str) -> None:
        namespace, _, short = name.partition("/")
        metadata = {"namespace": namespace, "name": short, "uid": name, "resourceVersion": "1", "labels": {"a": "b"}}
        await self.announcer.publish(TRAINING, {"metadata": metadata}, Event("Normal", reason, "Act", note))


REASONS = ("Starting", "BackingOff", "ImagePullFailed")


@in_virtual_time
async def test_a_storm_is_bounded_no_pass_waits_for_it_and_the_last_of_each_reason_arrives() -> None:
    told = Told()
    await told.storm(objects=30, reasons=REASONS, rounds=50)
    assert (elapsed_s(), len(told.all)) == (0, EVENT_BURST)
    await asyncio.sleep(600)
    assert len(told.all) == EVENT_BURST + 30 * len(REASONS)
    per_second = Counter(int(at) for at, *_ in told.all[EVENT_BURST:])
    assert max(per_second.values()) <= EVENTS_PER_S
    last = {(name, reason): note for _, name, reason, note in told.all}
    assert set(last.values()) == {f"{COMBINED}turn 49"}
    assert len(last) == 30 * len(REASONS)


@in_virtual_time
async def test_another_namespace_is_told_at_once_meanwhile_and_the_storms_own_others_after_one_of_each() -> None:
    told = Told()
    await told.storm(objects=1, reasons=("Flapping",), rounds=1000)
    await told.say("quiet/t", "Starting", "now")
    assert told.all[-1][:2] == (0.0, "quiet/t")
    await told.say("storm/other", "Starting", "now")
    await told.storm(objects=1, reasons=("Flapping",), rounds=1000)
    await asyncio.sleep(10)
    assert [name for _, name, *_ in told.all[EVENT_BURST + 1 :]] == ["storm/t0", "storm/other"]


@in_virtual_time
async def test_objects_that_come_and_go_fill_no_memory_and_the_last_of_each_reason_still_arrives() -> None:
    told = Told()
    await told.say("storm/first", "Complete", "done")
    await told.storm(objects=EVENT_BURST, reasons=("Starting",), rounds=1)
    await told.say("storm/first", "CheckpointsRetained", "kept")
    await told.storm(objects=MOST_HELD * 3, reasons=("Ended",), rounds=1)
    await asyncio.sleep(3600)
    assert len(told.all) <= EVENT_BURST + MOST_HELD
    assert {reason for _, _, reason, _ in told.all} == {"Complete", "Starting", "CheckpointsRetained", "Ended"}
    assert told.all[-1][1] == f"storm/t{MOST_HELD * 3 - 1}"


@in_virtual_time
async def test_an_event_that_fails_is_lost_alone_and_a_lost_lease_ends_the_telling() -> None:
    told = Told()
    await told.storm(objects=EVENT_BURST + 2, reasons=("Starting",), rounds=1)
    told.error = RuntimeError("no answer")
    await asyncio.sleep(0.15)
    told.error = None
    await asyncio.sleep(1)
    assert len(told.all) == EVENT_BURST + 1
    await told.storm(objects=EVENT_BURST + 2, reasons=("Starting",), rounds=1)
    told.error = NotLeading("lost")
    await asyncio.sleep(60)
    told.error = None
    await asyncio.sleep(60)
    assert not [name for at, name, *_ in told.all if at > 2]
    assert len(asyncio.all_tasks()) == 1


@in_virtual_time
async def test_the_end_does_not_wait_for_what_is_held() -> None:
    told = Told()
    await told.storm(objects=EVENT_BURST * 2, reasons=("Starting",), rounds=1)
    await told.announcer.close()
    assert (elapsed_s(), len(asyncio.all_tasks())) == (0, 1)
