"""What is said of an analysis that can't be."""

from typing import Any

import pytest

from deepseek_operator.adapters.admission import Admitted, Refused, admit
from deepseek_operator.kinds.registry import KINDS
from tests.support.servings import a_serving

M = {"type": "ErrorRate", "max": "0.01"}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"metrics": []}, "at least 1 items"),
    ({"metrics": [{"type": "ErrorRate"}]}, "write exactly one of max, min, maxIncreasePercent and maxDrop"),
    ({"metrics": [{**M, "maxIncreasePercent": 20}]}, "two limits of one thing are two metrics"),
    ({"metrics": [{"type": "ErrorRate", "min": "0.01"}]}, "write max in place of min"),
    ({"metrics": [{"type": "ErrorRate", "max": "5%"}]}, "should match"),
    ({"metrics": [{"type": "ErrorRate", "max": 0.01}]}, "write the number in quotes"),
    ({"metrics": [{"type": "ErrorRate", "max": "5"}]}, 'write "0.05" for 5 %'),
    ({"metrics": [{"type": "Accuracy", "data": "builtin://uppercase", "min": "90"}]}, 'write "0.9" for 90 %'),
    ({"metrics": [{"type": "Accuracy", "data": "builtin://uppercase", "min": "-0.1"}]}, 'write "0.9" for 90 %'),
    ({"metrics": [{"type": "ErrorRate", "max": 1}]}, 'write "0.05" for 5 %'),
    ({"metrics": [M, {"type": "ErrorRate", "max": "1e0"}]}, 'write "0.05" for 5 %'),
    ({"metrics": [{**M, "quantile": "0.9"}]}, "quantile is for type Latency and TimeToFirstToken"),
    ({"metrics": [{"type": "Latency", "max": "2", "quantile": "99"}]}, "should match"),
    ({"metrics": [{"type": "Latency", "max": "2", "quantile": "P99"}]}, "should match"),
    ({"metrics": [{"type": "LatencyP99", "max": "2"}]}, 'supported values: "ErrorRate", "Latency"'),
    ({"metrics": [{"type": "PromQL", "max": "2"}]}, "type PromQL needs query and name"),
    ({"metrics": [{"type": "PromQL", "max": "2", "query": "up"}]}, "type PromQL needs query and name"),
    ({"metrics": [{**M, "query": "up"}]}, "which no other type has"),
    ({"metrics": [{"type": "PromQL", "name": "a b", "query": "up", "max": "1"}]}, "for example Refusals"),
    (
        {"metrics": [{"type": "PromQL", "name": "a", "query": "up", "maxIncreasePercent": 5}]},
        "write $revision into the query",
    ),
    ({"metrics": [{"type": "ErrorRate", "maxIncreasePercent": 2000}]}, "less than or equal to 1000"),
    ({"metrics": [{"type": "ErrorRate", "maxIncreasePercent": "20%"}]}, "integer"),
    ({"metrics": [M], "intervalSeconds": 1}, "greater than or equal to 10"),
    ({"metrics": [M], "windowSeconds": "5m"}, "integer"),
    ({"metrics": [M], "failureLimit": 0}, "greater than or equal to 1"),
    ({"metrics": [M], "minimumSamples": -1}, "greater than or equal to 0"),
    ({"metrics": [M] * 9}, "at most 8 items"),
    ({"metrics": [M], "interval": 60}, "unknown field"),
]
HELD_OUT = "pvc://corpora/heldout.jsonl"
GOOD = [
    {
        "metrics": [
            {"type": "Accuracy", "data": HELD_OUT, "min": "0.9"},
            {"type": "Accuracy", "data": HELD_OUT, "maxDrop": 0},
        ]
    },
    {"metrics": [{"type": "Accuracy", "data": "builtin://uppercase", "maxDrop": "0.02", "samples": 10000}]},
    {"metrics": [M]},
    {
        "metrics": [
            {"type": "ErrorRate", "max": 0},
            {"type": "ErrorRate", "max": "99e-2"},
            {"type": "Latency", "max": 5},
        ]
    },
    {
        "metrics": [
            {"type": "Latency", "quantile": "0.999", "maxIncreasePercent": 0},
            {"type": "TimeToFirstToken", "max": 2},
        ]
    },
    {"metrics": [{"type": "PromQL", "name": "A", "query": "x{r='$revision'}", "min": "-1e3"}], "minimumSamples": 0},
]


def admitted(analysis: Any) -> Any:
    return admit(a_serving(rollout={"canary": {"steps": [{"weight": 25, "analysis": analysis}]}}), KINDS.definitions)


@pytest.mark.parametrize(("analysis", "words"), CASES)
def test_refused(analysis: Any, words: str) -> None:
    told = admitted(analysis)
    assert isinstance(told, Refused), told
    assert words in str(told), str(told)


@pytest.mark.parametrize("analysis", GOOD)
def test_taken(analysis: Any) -> None:
    assert isinstance(admitted(analysis), Admitted), admitted(analysis)


RELATIVE = {"metrics": [M, {"type": "Latency", "maxIncreasePercent": 20}]}
PUBLIC = {"parentRef": {"name": "public"}}


@pytest.mark.parametrize(
    ("steps", "gateway", "is_taken"),
    [
        ([{"weight": 50}, {"weight": 100, "analysis": RELATIVE}], PUBLIC, False),
        ([{"weight": 99, "analysis": RELATIVE}, {"weight": 100}], PUBLIC, True),
        ([{"weight": 100, "analysis": {"metrics": [M]}}, {"replicas": 2, "analysis": RELATIVE}], PUBLIC, True),
        ([{"weight": 100, "analysis": RELATIVE}], None, True),
        ([{"weight": 100, "analysis": RELATIVE}], {**PUBLIC, "test": True}, True),
    ],
)
def test_a_step_that_takes_all_requests_has_nothing_to_be_compared_with(
    steps: Any, gateway: Any, is_taken: bool
) -> None:
    """Behind a gateway; without one the stable replicas answer on beside the new ones, and so they do in an A/B test."""
    canary, routed = {"steps": steps}, dict(gateway or {})
    if routed.pop("test", False):
        canary["match"] = {"header": {"name": "x-variant", "value": "new"}}
    written: dict[str, Any] = {"rollout": {"canary": canary}, **({"gateway": routed} if routed else {})}
    told = admit(a_serving(replicas=4, **written), KINDS.definitions)
    assert isinstance(told, Admitted) == is_taken, told
    if isinstance(told, Refused):
        assert "write max in place of maxIncreasePercent" in str(told)
