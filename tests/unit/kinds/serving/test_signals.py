"""Queries and what their answers want."""

from math import nan
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import NoData, Sample, Signal, Unavailable
from deepseek_operator.kinds.serving.signals import IN_FLIGHT, REPORTING, queries, wanted
from tests.support.servings import a_serving
from tests.support.world import START

SCALED: dict[str, Any] = {"autoscaling": {"maxReplicas": 6, "signals": [{"type": "InFlight", "target": 4}]}}


def serving(ready: int = 2, running: int = 2) -> DeepSeekServing:
    status = {"readyReplicas": ready, "runningReplicas": running}
    return DeepSeekServing.model_validate(a_serving(status=status, **SCALED))


def samples(in_flight: float, reporting: float) -> dict[str, Signal]:
    return {IN_FLIGHT: Sample(in_flight, START), REPORTING: Sample(reporting, START)}


def test_the_query_sums_this_serving_alone_and_never_invents_a_zero() -> None:
    which = '{namespace="team",deepseek_serving="chat"}'
    assert dict(queries(serving(), Configuration())) == {
        IN_FLIGHT: f"sum(vllm:num_requests_running{which}) + sum(vllm:num_requests_waiting{which})",
        REPORTING: f"count(count by (pod) (vllm:num_requests_running{which}))",
    }


def test_a_hostile_name_stays_inside_its_string() -> None:
    owner = serving()
    hostile = owner.model_copy(update={"metadata": owner.metadata.model_copy(update={"name": 'a"} or vector(0) #\\'})})
    assert 'deepseek_serving="a\\"} or vector(0) #\\\\"}' in queries(hostile, Configuration())[0][1]


def test_nothing_is_asked_without_autoscaling() -> None:
    assert queries(DeepSeekServing.model_validate(a_serving()), Configuration()) == ()


def test_the_load_is_turned_into_replicas() -> None:
    assert wanted(serving(), samples(17, 2)) == 5


@pytest.mark.parametrize("missing", [NoData(), Unavailable("connection refused"), Sample(nan, START)])
@pytest.mark.parametrize("name", [IN_FLIGHT, REPORTING])
def test_a_signal_that_is_not_there_is_no_data(name: str, missing: Signal) -> None:
    assert wanted(serving(), {**samples(17, 2), name: missing}) is None


def test_a_signal_that_was_never_asked_is_no_data() -> None:
    assert wanted(serving(), {}) is None


def test_a_replica_that_is_not_scraped_yet_takes_no_replica_away() -> None:
    assert wanted(serving(ready=3, running=5), samples(1, 2)) == 5
