"""A bench against replicas whose time is a known function of what is in flight, so that there is one right answer.

Course, loads and verdicts are tried in virtual time, in which nothing is late; what is sent and read over a real connection
has limits far apart, since a busy machine is.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from math import inf, log
from typing import Any

import pytest

from deepseek_runtime.bencher import __main__ as bencher
from deepseek_runtime.bencher import asking, load, others
from deepseek_runtime.bencher.__main__ import Disturbed, bench
from deepseek_runtime.bencher.asking import Failed
from deepseek_runtime.bencher.course import searched
from deepseek_runtime.bencher.load import Ask, Load, run
from deepseek_runtime.bencher.others import in_flight
from deepseek_runtime.bencher.settings import read_settings
from deepseek_runtime.bencher.verdict import (
    Answer,
    Measure,
    Objective,
    Verdict,
    allowed,
    needed,
    quantile_of,
    verdict,
)
from deepseek_runtime.contract import Invalid
from tests.support.sham_replica import ShamReplica
from tests.support.virtual_time import elapsed_s, in_virtual_time

P99 = Objective(Measure.FIRST_TOKEN, 0.5, 0.99)
P90 = Objective(Measure.FIRST_TOKEN, 0.5, 0.9)


class Engine:
    """Answers in virtual time: the first token after `first_s` of what is in flight, and ten more in ten times `gap_s`."""

    def __init__(
        self, first_s: Callable[[int], float], gap_s: float = 0.01, fails: Callable[[int], bool] = lambda n: False
    ) -> None:
        self.first_s, self.gap_s, self.fails = first_s, gap_s, fails
        self.in_flight = self.most = self.asked = 0

    async def ask(self) -> Answer:
        self.in_flight, self.asked = self.in_flight + 1, self.asked + 1
        self.most = max(self.most, self.in_flight)
        try:
            if self.fails(self.in_flight):
                raise Failed("HTTP 429: full")
            first = self.first_s(self.in_flight)
            await asyncio.sleep(first + 10 * self.gap_s)
            return Answer(first, (self.gap_s,) * 10, first + 10 * self.gap_s, 7, 11)
        finally:
            self.in_flight -= 1


def lived(story: Callable[[], Coroutine[None, None, Any]]) -> Any:
    """What a coroutine returns in virtual time."""
    told: list[Any] = []

    async def main() -> None:
        told.append(await story())

    in_virtual_time(main)()
    return told[0]


async def silent(load: Mapping[str, object]) -> None:
    """Nothing is done behind a load."""


def found(ask: Ask, *objectives: Objective, most: int = 256, load_s: float = 3600) -> dict[str, Any]:
    return dict(lived(lambda: searched(ask, objectives, most, load_s, silent)))


def loaded(ask: Ask, streams: int, *objectives: Objective, most_s: float = 3600) -> Load:
    result = lived(lambda: run(ask, streams, objectives, most_s))
    assert isinstance(result, Load)
    return result


@pytest.mark.parametrize(("each_ms", "right"), [(20, 25), (500, 1), (300, 1), (100, 5)])
def test_a_time_that_grows_with_what_is_in_flight_gives_the_right_concurrency(each_ms: int, right: int) -> None:
    engine = Engine(lambda streams: streams * each_ms / 1000)
    told = found(engine.ask, P99)
    assert right - told["streams"] < max(1, right // 20), told
    assert told["streams"] <= right < told["brokenAt"]
    assert engine.most <= 2 * right
    assert told["why"] == ""


def test_slots_that_are_full_are_the_answer() -> None:
    engine = Engine(lambda streams: 0.1 if streams <= 12 else 0.9)
    told = found(engine.ask, P99)
    assert (told["streams"], told["brokenAt"]) == (12, 13)
    assert told["held"]["requests"] == needed(0.99) == 368


def test_a_replica_that_is_too_slow_for_one_has_no_concurrency() -> None:
    told = found(Engine(lambda streams: 0.6).ask, P99)
    assert (told["streams"], told["held"], told["brokenAt"]) == (0, None, 1)


def test_never_more_are_sent_than_may_be() -> None:
    engine = Engine(lambda streams: 0.1)
    told = found(engine.ask, P99, most=48)
    assert (told["streams"], told["brokenAt"], engine.most) == (48, None, 48)
    assert told["why"] == "more than 48 at a time were not tried"


@pytest.mark.parametrize("seed", range(2))
def test_random_times_give_the_concurrency_of_their_true_quantile_as_nearly_as_samples_can(seed: int) -> None:
    """Exponential times of mean 4 ms for each stream have their P90 at 4 ms * ln 10 * streams: 54 streams hold 500 ms."""
    source = random.Random(seed)
    told = found(Engine(lambda streams: source.expovariate(1) * streams * 0.004).ask, P90)
    right = 0.5 / (0.004 * log(10))
    assert 0.6 * right < told["streams"] < 1.5 * right, (told["streams"], right)


def test_requests_that_are_refused_count_as_late() -> None:
    engine = Engine(lambda streams: 0.1, fails=lambda streams: streams > 6)
    assert found(engine.ask, P99)["streams"] == 6


def test_a_broken_load_is_ended_as_soon_as_nothing_can_save_it() -> None:
    engine = Engine(lambda streams: 0.6)
    load = loaded(engine.ask, 4, P99)
    assert load.verdict is Verdict.BROKEN
    assert len(load.answers) == allowed(0.99, 368) + 1 == 4
    assert engine.in_flight == 0


def test_the_first_request_of_each_stream_is_not_counted() -> None:
    cold = [True] * 8

    async def ask() -> Answer:
        first = 5.0 if cold and cold.pop() else 0.1
        await asyncio.sleep(first)
        return Answer(first, (), first, 7, 10)

    load = loaded(ask, 8, P99)
    assert (load.verdict, len(load.answers)) == (Verdict.HELD, 368)
    assert {one.first_s for one in load.answers} == {0.1}
    assert load.tokens_per_second == pytest.approx(8 * 10 / 0.1, rel=0.03)
    assert load.requests_per_second == pytest.approx(8 / 0.1, rel=0.03)


def test_streams_that_outnumber_the_samples_have_two_requests_each() -> None:
    load = loaded(Engine(lambda streams: 0.1).ask, 500, P99)
    assert len(load.answers) == 1000


def test_too_few_in_the_time_is_said_and_ends_the_search() -> None:
    told = found(Engine(lambda streams: 0.4).ask, P99, load_s=60)
    assert told["streams"] == 0
    assert told["why"].startswith("with 1 at a time 118 of 368 requests were over in 60 s: too few to say")


def test_a_server_that_refuses_is_not_asked_a_thousand_times_a_second() -> None:
    engine = Engine(lambda streams: 0.1, fails=lambda streams: True)

    async def story() -> float:
        await run(engine.ask, 1, (Objective(Measure.FIRST_TOKEN, 0.5, 0.99),), 3600)
        return elapsed_s()

    assert lived(story) >= 1.5
    assert engine.asked <= 5


def test_gaps_are_held_to_their_own_limit() -> None:
    between = Objective(Measure.BETWEEN_TOKENS, 0.05, 0.99)
    assert loaded(Engine(lambda n: 0.1, gap_s=0.04).ask, 2, between).verdict is Verdict.HELD
    assert loaded(Engine(lambda n: 0.1, gap_s=0.06).ask, 2, between).verdict is Verdict.BROKEN
    # Answers that never come have no gaps to be late.
    assert loaded(Engine(lambda n: 0.1, fails=lambda n: True).ask, 2, between).verdict is Verdict.BROKEN
    assert loaded(Engine(lambda n: 0.6, gap_s=0.01).ask, 2, P99, between).verdict is Verdict.BROKEN


def answers(*first_s: float) -> list[Answer]:
    return [Answer(one, (), one) for one in first_s]


def test_as_many_may_be_late_as_the_quantile_says() -> None:
    limit = Objective(Measure.FIRST_TOKEN, 1.0, 0.9)
    assert verdict(answers(*[0.5] * 90, *[2.0] * 10), 0, [limit], 100) is Verdict.HELD
    assert verdict(answers(*[0.5] * 89, *[2.0] * 11), 0, [limit], 100) is Verdict.BROKEN
    assert verdict(answers(*[0.5] * 90, *[2.0] * 9), 1, [limit], 100) is Verdict.HELD
    assert verdict(answers(*[0.5] * 99), 0, [limit], 100) is Verdict.UNDECIDED


@pytest.mark.parametrize(("quantile", "least"), [(0.5, 100), (0.9, 100), (0.95, 100), (0.99, 368), (0.999, 3688)])
def test_a_quantile_has_as_many_samples_as_its_interval_needs(quantile: float, least: int) -> None:
    assert needed(quantile) == least
    told = quantile_of(answers(*map(float, range(least))), 0, Measure.FIRST_TOKEN, quantile)
    assert told is not None
    assert told.bounds is not None
    assert told.bounds[0] <= told.value <= told.bounds[1] < inf
    if least > 100:
        fewer = quantile_of(answers(*map(float, range(least - 1))), 0, Measure.FIRST_TOKEN, quantile)
        assert fewer is not None
        assert fewer.bounds is not None
        assert fewer.bounds[1] == inf


def test_the_interval_covers_the_true_quantile_as_often_as_it_says() -> None:
    source, hits = random.Random(7), 0
    for _ in range(400):
        told = quantile_of(answers(*(source.random() for _ in range(72))), 0, Measure.FIRST_TOKEN, 0.95)
        assert told is not None
        assert told.bounds is not None
        hits += told.bounds[0] <= 0.95 <= told.bounds[1]
    assert hits >= 0.94 * 400


def test_failures_are_slower_than_all() -> None:
    told = quantile_of(answers(0.1, 0.2), 2, Measure.FIRST_TOKEN, 0.75)
    assert told is not None
    assert told.value == inf


EXPOSITION = """\
# HELP vllm:num_requests_running those
vllm:num_requests_running{model_name="a"} 3.0
vllm:num_requests_running{model_name="b"} 1.0
vllm:num_requests_waiting{model_name="a"} 2
vllm:num_requests_running_total 99
plain 5
broken
"""


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["vllm:num_requests_running", "vllm:num_requests_waiting"], 6.0),
        (['vllm:num_requests_running{model_name="a"}'], 3.0),
        (["plain"], 5.0),
        (["broken"], None),
        (["nothing"], None),
        ([], None),
    ],
)
def test_what_is_in_flight_is_read_off_the_metrics(names: list[str], counted: float | None) -> None:
    assert in_flight(EXPOSITION, names) == counted


ENVIRONMENT = {"DEEPSEEK_BENCH_URL": "http://10.0.0.7:8000", "DEEPSEEK_BENCH_OBJECTIVES": '{"TimeToFirstToken": 500}'}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("URL", "chat:8000", "write a replica's address"),
        ("OBJECTIVES", "{}", "write milliseconds for at least one of"),
        ("OBJECTIVES", "[1]", "write milliseconds for at least one of"),
        ("OBJECTIVES", '{"TTFT": 1}', "names 'TTFT'; write TimeToFirstToken, InterToken, EndToEnd"),
        ("OBJECTIVES", '{"EndToEnd": 0}', "write milliseconds above 0"),
        ("OBJECTIVES", '{"EndToEnd": true}', "write milliseconds above 0"),
        ("OBJECTIVES", "{", "no JSON"),
        ("QUANTILE", "99", "write 0.5 to 0.999"),
        ("QUANTILE", "nan", "write 0.5 to 0.999"),
        ("MOST_STREAMS", "0", "at least 1"),
        ("ANSWER_TOKENS", "-1", "at least 1"),
        ("IN_FLIGHT", "{}", "no list of names"),
    ],
)
def test_what_is_told_wrongly_is_refused_with_what_to_write(name: str, value: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_settings({**ENVIRONMENT, f"DEEPSEEK_BENCH_{name}": value})


def test_what_is_not_told_is_usual() -> None:
    told = read_settings(ENVIRONMENT)
    assert (told.objectives, told.most_streams, told.load_s) == ((Objective(Measure.FIRST_TOKEN, 0.5, 0.99),), 256, 600)


NAMES = json.dumps(["vllm:num_requests_running", "vllm:num_requests_waiting"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "LOOKS", 1)
    monkeypatch.setattr(others, "GONE_LOOKS", 0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """As few requests as can be counted: not how many there are is tried here."""
    monkeypatch.setattr(load, "needed", lambda quantile: 12)
    monkeypatch.setattr(load, "PAUSE_S", 0)


async def over_http(replica: ShamReplica, **variables: str) -> dict[str, Any]:
    told = {"QUANTILE": "0.99", "IN_FLIGHT": NAMES, "PROMPT_WORDS": "5", "ANSWER_TOKENS": "4", **variables}
    async with replica.running() as url:
        environment = {
            **ENVIRONMENT,
            "DEEPSEEK_BENCH_URL": url,
            "DEEPSEEK_BENCH_OBJECTIVES": '{"TimeToFirstToken": 1000}',
        }
        return await bench(read_settings({**environment, **{f"DEEPSEEK_BENCH_{k}": v for k, v in told.items()}}))


@pytest.mark.usefixtures("few")
async def test_slots_are_found_over_a_real_connection(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers take nothing, or 30 s, which patience cuts short: few machines are as slow as the limit of one second."""
    monkeypatch.setattr(asking, "PATIENCE", 1)
    replica = ShamReplica(first_s=lambda streams: 0.1 if streams <= 3 else 30.0)
    told = await over_http(replica)
    assert (told["model"], told["streams"], told["brokenAt"]) == ("sham", 3, 4)
    assert told["held"]["promptTokens"] == 7
    loads = [json.loads(line)["load"]["streams"] for line in capsys.readouterr().out.splitlines()]
    assert loads == [1, 2, 4, 3]
    prompts = [one["prompt"] for one in replica.asked]
    assert len(set(prompts)) == len(prompts)
    assert {one["model"] for one in replica.asked} == {"sham"}
    assert all(one["ignore_eos"] and one["stream_options"] == {"include_usage": True} for one in replica.asked)


@pytest.mark.usefixtures("few")
async def test_a_server_that_does_not_know_our_word_is_asked_without_it() -> None:
    replica = ShamReplica(takes_ignore_eos=False)
    assert (await over_http(replica, MOST_STREAMS="2"))["streams"] == 2
    assert ["ignore_eos" in one for one in replica.asked[:3]] == [True, False, False]


@pytest.mark.usefixtures("few")
async def test_a_key_goes_with_each_request() -> None:
    replica = ShamReplica()
    await over_http(replica, MOST_STREAMS="1", KEY="secret")
    assert replica.keys == {"Bearer secret"}


@pytest.mark.usefixtures("few")
async def test_a_replica_that_others_ask_is_left_alone() -> None:
    replica = ShamReplica(others=2)
    with pytest.raises(Disturbed, match="others ask this replica, 2 at a time"):
        await over_http(replica)
    assert replica.asked == []
    assert (await over_http(replica, MOST_STREAMS="2", AMONG_OTHERS="true"))["streams"] == 2


@pytest.mark.usefixtures("few")
async def test_others_who_come_meanwhile_end_it() -> None:
    replica = ShamReplica()

    def first(streams: int) -> float:
        replica.others = 1
        return 0.02

    replica.first_s = first
    with pytest.raises(Disturbed, match="since the bench began"):
        await over_http(replica)
    assert replica.most == 1


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("status", [401, 404, 500, 503])
async def test_a_replica_that_does_not_answer_ends_it_with_its_words(status: int) -> None:
    with pytest.raises(Failed, match=f"HTTP {status}: .*full"):
        await over_http(ShamReplica(refuse=lambda streams: status))


async def test_an_answer_that_breaks_off_is_none() -> None:
    with pytest.raises(Failed, match="the answer was cut off"):
        await over_http(ShamReplica(breaks_off=True))


def test_it_says_in_its_log_and_by_its_status_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result: dict[str, object] = {"streams": 24, "quantile": 0.99, "objectives": {}, "held": None}

    async def told(settings: object) -> dict[str, object]:
        return result

    def ended(answer: Callable[[object], Awaitable[dict[str, object]]]) -> int:
        monkeypatch.setattr(bencher, "bench", answer)
        return bencher.main()

    async def refused(settings: object) -> dict[str, object]:
        raise Failed("HTTP 503: loading")

    monkeypatch.setenv("DEEPSEEK_TERMINATION_LOG", "/dev/null")
    assert bencher.main() == 64
    assert "DEEPSEEK_BENCH_URL" in capsys.readouterr().err
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert ended(told) == 0
    assert json.loads(capsys.readouterr().out) == {"result": result}
    assert ended(refused) == 1
    assert capsys.readouterr().err == "bencher: HTTP 503: loading\n"
