"""The buckets in virtual time: how many acts per second, and whose turn it is."""

import asyncio
from itertools import groupby

from deepseek_operator.controller.bucket import Buckets, FairBucket
from tests.support.virtual_time import elapsed_s, in_virtual_time

RATE_PER_S, BURST = 10.0, 5


async def _takes(bucket: FairBucket, asked: dict[str, int]) -> list[tuple[str, float]]:
    """Whose turn it was, and when, of groups that ask for so many tokens at once, in that order."""
    turns: list[tuple[str, float]] = []

    async def take(group: str) -> None:
        await bucket.take(group)
        turns.append((group, round(elapsed_s(), 3)))

    async with asyncio.TaskGroup() as tasks:
        for group, count in asked.items():
            for _ in range(count):
                tasks.create_task(take(group))
    return turns


@in_virtual_time
async def test_a_group_that_asks_for_many_delays_another_by_one() -> None:
    turns = await _takes(FairBucket(RATE_PER_S, BURST), {"storm": 100, "quiet": 2, "still": 1})
    assert [at for group, at in turns if group == "quiet"] == [0.2, 0.5]
    assert [at for group, at in turns if group == "still"] == [0.3]


@in_virtual_time
async def test_several_storms_do_not_add_up_to_more_than_a_turn_of_each() -> None:
    turns = await _takes(FairBucket(RATE_PER_S, BURST), {"one": 50, "two": 50, "three": 50, "quiet": 1})
    before = [group for group, _ in turns[: turns.index(next(turn for turn in turns if turn[0] == "quiet"))]]
    assert len(before) == BURST + 3


@in_virtual_time
async def test_a_group_that_is_alone_has_all_of_the_rate() -> None:
    turns = await _takes(FairBucket(RATE_PER_S, BURST), {"alone": BURST + 20})
    assert [len(list(same)) for _, same in groupby(turns)] == [BURST, *[1] * 20]
    assert turns[-1][1] == 2.0


@in_virtual_time
async def test_who_gives_up_waiting_costs_nobody_a_token() -> None:
    bucket = FairBucket(RATE_PER_S, BURST)
    await _takes(bucket, {"before": BURST})
    waiting = [asyncio.create_task(bucket.take("gone")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    assert await _takes(bucket, {"after": 1}) == [("after", 0.1)]


@in_virtual_time
async def test_each_key_has_a_bucket_and_only_those_of_a_storm_are_held() -> None:
    buckets: Buckets[str] = Buckets(RATE_PER_S, BURST)
    for _ in range(BURST):
        buckets.reserve("storm", elapsed_s())
    assert (round(buckets.wait_s("storm", elapsed_s()), 3), buckets.wait_s("quiet", elapsed_s())) == (0.1, 0.0)
    await asyncio.sleep(1)
    buckets.reserve("other", elapsed_s())
    assert len(buckets) == 1
