"""Pulls of progress: no pass waits for a slow pod, and a namespace of them takes no turn from another."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.pulls import MOST, MOST_OF_NAMESPACE, PATIENCE_S, Pulls
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Unavailable
from tests.support.virtual_time import LoopClock, elapsed_s, in_virtual_time

KEY = Key(TRAINING, "team", "t")


class Pods:
    """Pods that answer with the number of the question after `takes_s`; `raises` in its place."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.raises: Exception | None = None
        self.asked: list[str] = []
        self.active = self.most_active = 0

    async def pull(self, pod: Manifest) -> Mapping[str, object] | Unavailable:
        self.asked.append(pod["metadata"]["uid"])
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        await asyncio.sleep(self.takes_s)
        self.active -= 1
        if self.raises is not None:
            raise self.raises
        return {"step": len(self.asked)}


def pod(uid: str = "p") -> dict[str, Any]:
    return {"metadata": {"uid": uid}}


def pulls(pods: Pods, woken: list[Key]) -> Pulls:
    return Pulls(pods, LoopClock(), timedelta(seconds=15), woken.append)


@in_virtual_time
async def test_an_answer_that_comes_at_once_is_used_by_the_pass_that_asked() -> None:
    pods, woken = Pods(), list[Key]()
    asker = pulls(pods, woken)
    assert await asker.said(KEY, pod()) == {"step": 1}
    assert await asker.said(KEY, pod()) == {"step": 1}, "the last answer stands for an interval"
    await asyncio.sleep(15)
    assert await asker.said(KEY, pod()) == {"step": 2}
    assert await asker.said(KEY, pod("another")) == {"step": 3}
    assert woken == []


@in_virtual_time
async def test_a_pass_goes_on_without_a_slow_answer_and_is_woken_by_it() -> None:
    pods, woken = Pods(takes_s=2.0), list[Key]()
    asker = pulls(pods, woken)
    assert isinstance(await asker.said(KEY, pod()), Unavailable)
    assert elapsed_s() == PATIENCE_S
    await asyncio.sleep(2)
    assert woken == [KEY]
    assert await asker.said(KEY, pod()) == {"step": 1}
    await asyncio.sleep(15)
    before = elapsed_s()
    assert await asker.said(KEY, pod()) == {"step": 1}, "the last answer, while it is asked again"
    assert elapsed_s() == before, "a pod that was slow is not waited for at all"
    pods.takes_s = 0.0
    await asyncio.sleep(20)
    await asker.said(KEY, pod())
    await asyncio.sleep(0)
    await asyncio.sleep(15)
    assert await asker.said(KEY, pod()) == {"step": 4}, "it is quick again, and waited for"


@in_virtual_time
async def test_a_namespace_of_slow_pods_takes_no_turn_from_another() -> None:
    pods, woken = Pods(takes_s=2.0), list[Key]()
    asker = pulls(pods, woken)
    crowd = [Key(TRAINING, "crowd", str(number)) for number in range(400)]
    await asyncio.gather(*(asker.said(key, pod(key.name)) for key in crowd))
    assert elapsed_s() <= PATIENCE_S
    assert pods.most_active == MOST_OF_NAMESPACE
    await asker.said(KEY, pod("alone"))
    assert "alone" in pods.asked
    for number in range(20):
        spread = [Key(TRAINING, f"team-{number}", str(each)) for each in range(20)]
        await asyncio.gather(*(asker.said(key, pod(key.name)) for key in spread))
    assert pods.most_active <= MOST
    await asker.close()
    assert pods.asked.count("alone") == 1


@in_virtual_time
async def test_whatever_a_pull_raises_is_an_answer() -> None:
    pods, woken = Pods(), list[Key]()
    pods.raises = RecursionError("deep")
    asker = pulls(pods, woken)
    assert await asker.said(KEY, pod()) == Unavailable("RecursionError: deep")
    pods.raises = None
    await asyncio.sleep(15)
    assert await asker.said(KEY, pod()) == {"step": 2}
