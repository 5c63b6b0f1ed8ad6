"""Answers for an analysis: no pass waits for a slow store, nothing is asked twice, and nobody who asks nothing costs."""

import asyncio
from datetime import datetime, timedelta

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.readings import MOST, MOST_OF_NAMESPACE, PATIENCE_S, Readings
from deepseek_operator.core.seen import Answer, Question, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from tests.support.virtual_time import LoopClock, elapsed_s, in_virtual_time

KEY = Key(SERVING, "team", "chat")


class Store:
    """Answers each query with the number of the question after `takes_s`; `raises` in its place."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.raises: Exception | None = None
        self.asked: list[str] = []
        self.active = self.most_active = 0

    async def read_all(self, query: str, at: datetime) -> Answer:
        self.asked.append(query)
        number = float(len(self.asked))
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.active -= 1
        if self.raises is not None:
            raise self.raises
        return Reading((number,), at)


class Stage:
    def __init__(self, takes_s: float = 0.0) -> None:
        self.store, self.clock, self.woken = Store(takes_s), LoopClock(), list[Key]()
        self.readings = Readings(self.store, self.clock, self.woken.append)

    async def values(self, *queries: str, since: datetime, key: Key = KEY) -> dict[str, object]:
        told = await self.readings.answers(key, [Question(query, since) for query in queries])
        return {query: told[query].values[0] if isinstance(told[query], Reading) else told[query] for query in told}  # type: ignore[union-attr]


@in_virtual_time
async def test_an_answer_that_comes_at_once_is_used_at_once_and_stands_until_a_later_one_is_wanted() -> None:
    stage = Stage()
    began = stage.clock.now()
    assert await stage.values("a", "b", since=began) == {"a": 1.0, "b": 2.0}
    await asyncio.sleep(30)
    assert await stage.values("a", "b", since=began) == {"a": 1.0, "b": 2.0}
    assert await stage.values("a", "b", since=stage.clock.now()) == {"a": 3.0, "b": 4.0}
    assert stage.woken == []


@in_virtual_time
async def test_a_pass_goes_on_without_a_slow_answer_and_is_woken_once_by_the_last() -> None:
    stage = Stage(takes_s=2.0)
    began = stage.clock.now()
    assert await stage.values("a", "b", "c", since=began) == {}
    assert elapsed_s() == PATIENCE_S
    assert await stage.values("a", "b", "c", since=began) == {}
    assert len(stage.store.asked) == MOST_OF_NAMESPACE, "what is under way is not asked again"
    await asyncio.sleep(5)
    assert stage.woken == [KEY]
    assert await stage.values("a", "b", "c", since=began) == {"a": 1.0, "b": 2.0, "c": 3.0}


@in_virtual_time
async def test_a_reading_bears_the_time_of_its_question() -> None:
    stage = Stage(takes_s=2.0)
    began = stage.clock.now()
    await stage.values("a", since=began)
    await asyncio.sleep(2)
    told = (await stage.readings.answers(KEY, [Question("a", began)]))["a"]
    assert isinstance(told, Reading)
    assert told.at == began


@in_virtual_time
async def test_an_old_answer_is_none_while_the_new_one_is_on_its_way() -> None:
    stage = Stage()
    await stage.values("a", since=stage.clock.now())
    await asyncio.sleep(60)
    stage.store.takes_s = 2.0
    assert await stage.values("a", since=stage.clock.now() - timedelta(seconds=1)) == {}


@in_virtual_time
async def test_whatever_the_store_raises_is_an_answer() -> None:
    stage = Stage()
    stage.store.raises = RecursionError("deep")
    assert await stage.values("a", since=stage.clock.now()) == {"a": Unavailable("RecursionError: deep")}


@in_virtual_time
async def test_a_crowd_in_one_namespace_takes_no_turn_from_another() -> None:
    stage = Stage(takes_s=2.0)
    now = stage.clock.now()
    crowd = [Key(SERVING, "crowd", str(number)) for number in range(50)]
    await asyncio.gather(*(stage.values(f"{key.name}", since=now, key=key) for key in crowd))
    assert stage.store.most_active == MOST_OF_NAMESPACE
    await stage.values("alone", since=now)
    assert "alone" in stage.store.asked
    for number in range(5):
        await stage.values("x", "y", "z", since=now, key=Key(SERVING, f"team-{number}", "chat"))
    assert stage.store.most_active == MOST
    await stage.readings.close()


@in_virtual_time
async def test_nothing_is_kept_of_who_asks_nothing_and_nobody_is_woken_for_it() -> None:
    stage = Stage(takes_s=2.0)
    began = stage.clock.now()
    await stage.values("a", since=began)
    assert await stage.values(since=began) == {}
    await asyncio.sleep(5)
    assert stage.woken == []
    assert stage.readings.count == 0
    assert await stage.values("a", since=began) == {}, "and it is asked anew"


@in_virtual_time
async def test_closing_ends_what_is_under_way() -> None:
    stage = Stage(takes_s=1000.0)
    await stage.values("a", since=stage.clock.now())
    await stage.readings.close()
    assert stage.store.active == 0
