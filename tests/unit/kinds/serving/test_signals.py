"""Queries and what their answers want."""

from math import nan
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import NoData, Sample, Signal, SignalWish, Unavailable
from deepseek_operator.domain.programs.engines.loads import (
    DEVICE_UTILIZATION,
    END_TO_END,
    IN_FLIGHT,
    INTER_TOKEN,
    KV_CACHE,
    LOADS,
    PROMQL,
    QUANTILES,
    REQUEST_RATE,
    TIME_TO_FIRST_TOKEN,
    TOKENS_PER_SECOND,
    Class,
)
from deepseek_operator.kinds.serving.signals import AGE, BEFORE, OLDEST_S, REPORTING, SAME, presumed, queries, wanted
from tests.support.moments import START
from tests.support.servings import a_serving

H200 = {"profile": "nvidia-h200-141"}
MAY = Configuration(queries_of=frozenset({"team"}))
WHICH = '{namespace="team",deepseek_serving="chat"}'
RUNNING, WAITING = f"vllm:num_requests_running{WHICH}", f"vllm:num_requests_waiting{WHICH}"
IDLE = f"sum(max_over_time({RUNNING}[120s])) == 0"


def scaled(*signals: dict[str, Any], ready: int = 2, running: int = 2, **spec: Any) -> DeepSeekServing:
    status = {"readyReplicas": ready, "runningReplicas": running}
    autoscaling = {"maxReplicas": 6, "signals": list(signals)}
    return DeepSeekServing.model_validate(a_serving(status=status, autoscaling=autoscaling, **spec))


def serving(ready: int = 2, running: int = 2) -> DeepSeekServing:
    return scaled({"type": IN_FLIGHT, "target": 4}, ready=ready, running=running)


def samples(in_flight: float, reporting: float) -> dict[str, Signal]:
    return told(reporting, **{IN_FLIGHT: in_flight})


def told(reporting: float = 2, **values: float) -> dict[str, Signal]:
    """What settled replicas report."""
    fleet = {REPORTING: reporting, SAME: reporting, BEFORE: reporting, AGE: 10.0}
    return {name: Sample(value, START) for name, value in {**fleet, **values}.items()}


def replicas(owner: DeepSeekServing, answers: dict[str, Signal], configuration: Configuration = MAY) -> int | None:
    return wanted(owner, configuration, answers).replicas


def test_the_query_sums_this_serving_alone_and_never_invents_a_zero() -> None:
    assert dict(queries(serving(), MAY)) == {
        REPORTING: f"count(count by (pod) ({RUNNING}))",
        AGE: f"time() - min(timestamp({RUNNING}))",
        IN_FLIGHT: f"sum({RUNNING}) + sum({WAITING})",
    }


EXPRESSIONS = {
    REQUEST_RATE: f'clamp_min((sum(increase(http_requests_total{{method="POST",{WHICH[1:]}[120s])) or ({IDLE})) + '
    f"sum(delta({RUNNING}[120s])) + sum(delta({WAITING}[120s])), 0) / 120",
    TOKENS_PER_SECOND: f"(sum(rate(vllm:generation_tokens_total{WHICH}[120s])) or ({IDLE}))",
    TIME_TO_FIRST_TOKEN: "1000 * histogram_quantile(0.99, sum by (le) "
    f"(rate(vllm:time_to_first_token_seconds_bucket{WHICH}[120s])))",
    INTER_TOKEN: "1000 * histogram_quantile(0.99, sum by (le) "
    f"(rate(vllm:inter_token_latency_seconds_bucket{WHICH}[120s])))",
    END_TO_END: "1000 * histogram_quantile(0.99, sum by (le) "
    f"(rate(vllm:e2e_request_latency_seconds_bucket{WHICH}[120s])))",
    KV_CACHE: f"100 * avg(avg_over_time(vllm:kv_cache_usage_perc{WHICH}[120s]))",
}


@pytest.mark.parametrize("load", EXPRESSIONS)
def test_each_signal_is_asked_for_by_the_engines_names(load: str) -> None:
    assert dict(queries(scaled({"type": load, "target": 4}), MAY))[load] == EXPRESSIONS[load]


def test_another_quantile_is_asked_for_where_one_is_written() -> None:
    owner = scaled({"type": TIME_TO_FIRST_TOKEN, "quantile": "0.5"})
    assert "histogram_quantile(0.5, " in dict(queries(owner, MAY))[TIME_TO_FIRST_TOKEN]


def test_an_engine_is_asked_by_its_own_names() -> None:
    owner = scaled(
        {"type": KV_CACHE}, {"type": TOKENS_PER_SECOND, "target": 4}, engine={"type": "sglang"}, accelerator=H200
    )
    asked = dict(queries(owner, MAY))
    assert f"sglang:token_usage{WHICH}" in asked[KV_CACHE]
    assert f"sglang:generation_tokens_total{WHICH}" in asked[TOKENS_PER_SECOND]
    assert f"sglang:num_running_reqs{WHICH}" in asked[REPORTING]


def test_who_stayed_is_asked_only_for_signals_that_wait_for_it() -> None:
    assert {SAME, BEFORE}.isdisjoint(dict(queries(serving(), MAY)))
    assert dict(queries(scaled({"type": KV_CACHE}), MAY)).keys() >= {SAME, BEFORE}


def test_a_query_of_the_users_knows_whose_it_is() -> None:
    own = {"type": PROMQL, "target": 4, "query": 'sum(depth{ns="$namespace",q="$serving"}[$window]) + $other'}
    assert dict(queries(scaled(own), MAY))[PROMQL] == 'sum(depth{ns="team",q="chat"}[120s]) + $other'


def test_a_serving_that_rests_asks_nothing() -> None:
    assert queries(scaled({"type": KV_CACHE}, suspend=True), MAY) == ()


OWN = {PROMQL: {"query": "vector(100)"}}


@pytest.mark.parametrize("answer", [NoData(), Unavailable("connection refused")], ids=["nothing", "nobody"])
@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("configuration", [MAY, Configuration()], ids=["may query", "may not"])
def test_what_is_presumed_of_a_new_serving_is_what_asking_would_tell(
    configuration: Configuration, load: str, answer: NoData | Unavailable
) -> None:
    signal = {"type": load, "target": 4, **OWN.get(load, {})}
    for accelerator in (H200, None):
        owner = scaled(signal, {"type": IN_FLIGHT, "target": 4}, ready=0, running=1, accelerator=accelerator)
        asked = wanted(owner, configuration, {name: answer for name, _ in queries(owner, configuration)})
        assert presumed(owner, configuration, answer) == asked.wishes != ()


def test_a_query_of_the_users_is_not_asked_where_no_administrator_lets_them() -> None:
    owner = scaled({"type": PROMQL, "target": 4, "query": "vector(100)"})
    assert PROMQL not in dict(queries(owner, Configuration()))
    found = wanted(owner, Configuration(), told(**{PROMQL: 100}))
    assert found.replicas is None
    assert "prometheus.queriesOf" in found.wishes[0].why


BUSY = {
    "nvidia-h200-141": ("DCGM_FI_DEV_GPU_UTIL", "namespace", "pod"),
    "amd-mi300x-192": ("gpu_gfx_activity", "namespace", "pod"),
    "intel-gaudi3-128": ("habanalabs_utilization", "pod_namespace", "pod_name"),
    "huawei-ascend910b-64": ("npu_chip_info_utilization", "namespace", "pod_name"),
}


@pytest.mark.parametrize("profile", BUSY)
def test_devices_are_asked_for_by_their_vendors_names_of_this_servings_pods(profile: str) -> None:
    metric, namespace, pod = BUSY[profile]
    asked = dict(queries(scaled({"type": DEVICE_UTILIZATION}, accelerator={"profile": profile}), MAY))[
        DEVICE_UTILIZATION
    ]
    assert f'{metric}{{{namespace}="team"}}[120s]' in asked
    assert asked.startswith("1 * avg(")
    assert asked.count(f"and on (pod) {RUNNING}") == 2
    assert ("label_replace" in asked) == (pod != "pod" or namespace == "namespace")


def test_busy_time_of_slices_is_a_share() -> None:
    owner = scaled({"type": DEVICE_UTILIZATION}, accelerator={"profile": "nvidia-h100-mig-1g.10gb"})
    assert dict(queries(owner, MAY))[DEVICE_UTILIZATION].startswith(
        "100 * avg((avg_over_time(DCGM_FI_PROF_GR_ENGINE_ACTIVE"
    )


@pytest.mark.parametrize("profile", ["cpu", "nobody-knows"])
def test_devices_of_which_nothing_is_told_hold_what_runs_and_say_so(profile: str) -> None:
    owner = scaled({"type": DEVICE_UTILIZATION}, accelerator={"profile": profile})
    found = wanted(owner, MAY, told())
    assert found.replicas is None
    assert "metrics.utilization" in found.wishes[0].why


def test_devices_of_some_replicas_are_not_those_of_all() -> None:
    owner = scaled({"type": DEVICE_UTILIZATION}, accelerator=H200)
    assert replicas(owner, told(**{DEVICE_UTILIZATION: 90, f"{DEVICE_UTILIZATION}.replicas": 1})) is None
    assert replicas(owner, told(**{DEVICE_UTILIZATION: 90, f"{DEVICE_UTILIZATION}.replicas": 2})) == 3


def test_a_hostile_name_stays_inside_its_string() -> None:
    owner = serving()
    hostile = owner.model_copy(update={"metadata": owner.metadata.model_copy(update={"name": 'a"} or vector(0) #\\'})})
    assert 'deepseek_serving="a\\"} or vector(0) #\\\\"}' in queries(hostile, MAY)[0][1]


def test_nothing_is_asked_without_autoscaling() -> None:
    assert queries(DeepSeekServing.model_validate(a_serving()), MAY) == ()


def test_the_load_is_turned_into_replicas() -> None:
    assert replicas(serving(), samples(17, 2)) == 5


@pytest.mark.parametrize("missing", [NoData(), Unavailable("connection refused"), Sample(nan, START)])
@pytest.mark.parametrize("name", [IN_FLIGHT, REPORTING, AGE])
def test_a_signal_that_is_not_there_is_no_data(name: str, missing: Signal) -> None:
    assert replicas(serving(), {**samples(17, 2), name: missing}) is None


def test_a_signal_that_was_never_asked_is_no_data() -> None:
    assert replicas(serving(), {}) is None


@pytest.mark.parametrize("age", [OLDEST_S + 1.0, -1.0])
def test_what_is_old_or_of_the_future_is_no_data(age: float) -> None:
    found = wanted(serving(), MAY, {**samples(17, 2), AGE: Sample(age, START)})
    assert found.replicas is None
    assert found.wishes[0].why == f"what replicas report is older than {OLDEST_S} s"


def test_a_replica_that_is_not_scraped_yet_takes_no_replica_away() -> None:
    assert replicas(serving(ready=3, running=5), samples(1, 2)) == 5


UNITS: dict[str, dict[str, float]] = {
    **{load: {load: 40.0} for load, of in LOADS.items() if of is Class.DEMAND},
    **{load: {load: 9.0, f"{load}.lasting": 9.0, f"{load}.requests": 100.0} for load in QUANTILES},
    KV_CACHE: {KV_CACHE: 9.0},
    DEVICE_UTILIZATION: {DEVICE_UTILIZATION: 9.0, f"{DEVICE_UTILIZATION}.replicas": 2.0},
}


@pytest.mark.parametrize("load", LOADS)
def test_every_signal_wants_more_beyond_its_target_and_says_what_it_saw(load: str) -> None:
    query = {"query": "vector(40)"} if load == PROMQL else {}
    owner = scaled({"type": load, "target": 8, **query}, accelerator=H200)
    more = 5 if LOADS[load] is Class.DEMAND else 3
    found = wanted(owner, MAY, told(**UNITS[load]))
    assert found.replicas == more
    assert found.wishes == (SignalWish(load, UNITS[load][load], 8.0, more),)


@pytest.mark.parametrize("part", [SAME, BEFORE, REPORTING])
@pytest.mark.parametrize("load", [KV_CACHE, TIME_TO_FIRST_TOKEN])
def test_a_breach_waits_until_those_that_run_are_those_that_ran(load: str, part: str) -> None:
    owner = scaled({"type": load, "target": 8}, running=3, ready=3)
    answers = {**told(3, **UNITS[load])}
    assert replicas(owner, answers) == 4
    assert replicas(owner, {**answers, part: Sample(2.0, START)}) == 3


def test_a_breach_waits_for_replicas_that_load() -> None:
    owner = scaled({"type": KV_CACHE, "target": 8}, running=3, ready=2)
    assert replicas(owner, told(2, **UNITS[KV_CACHE])) == 3


def test_latency_alone_takes_nothing_away_while_demand_wants_it() -> None:
    owner = scaled({"type": IN_FLIGHT, "target": 4}, {"type": TIME_TO_FIRST_TOKEN}, running=4, ready=4)
    first = TIME_TO_FIRST_TOKEN
    fast = {first: 1.0, f"{first}.lasting": 1.0, f"{first}.requests": 100.0}
    assert replicas(owner, told(4, **fast, **{IN_FLIGHT: 16})) == 4
    assert replicas(owner, told(4, **fast, **{IN_FLIGHT: 1})) == 3


def test_what_is_not_known_holds_while_others_may_ask_for_more() -> None:
    owner = scaled({"type": IN_FLIGHT, "target": 4}, {"type": TIME_TO_FIRST_TOKEN})
    found = wanted(owner, MAY, told(**{IN_FLIGHT: 1}))
    assert found.replicas is None
    assert [wish.why for wish in found.wishes] == ["", "no number that can be"]
    assert replicas(owner, told(**{IN_FLIGHT: 17})) == 5


def test_a_cause_is_the_same_from_try_to_try() -> None:
    down = Unavailable("Prometheus: <Connection object at 0x7f3a> 10.0.0.1: timed out after 5 s")
    found = wanted(serving(), MAY, {**samples(1, 2), REPORTING: down})
    assert found.wishes[0].why == "Prometheus: <Connection object at …> 10.0.0.1: timed out after 5 s"
