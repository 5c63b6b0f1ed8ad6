"""In a real cluster every alert fires once, by its cause and not before, and every query of every dashboard finds data.

The chart's rules as they are installed, with the least times that their values allow, in a real Prometheus that scrapes by the
jobs that the chart's notes show. No GPU is here: devices and a disk are told by `exporter.py` under their exporters' names.
"""

import time
from collections.abc import Callable
from functools import partial

import pytest

from deepseek_operator.cli.dashboards.files import dashboards
from deepseek_operator.kinds.registry import KINDS
from tests.observed.causes import CAUSES, LAST, Cause
from tests.observed.scene import Scene
from tests.observed.scraping import JOBS
from tests.support.kubectl import until

pytestmark = pytest.mark.timeout(900)

FIRES_WITHIN_S = 330.0
"""Of the slowest, DeepSeekNoCheckpoint: an interval, two minutes that a rule allows, and what a busy machine takes."""
STEP_S = 2
QUERIES = {
    f"{one.name}: {panel.title}, {number}": query.expression
    for one in dashboards(KINDS)
    for panel in one.panels
    for number, query in enumerate(panel.queries)
}
NO_DEVICE, ONE_PROCESS = (
    "no device is here, whose peak, memory or plan could be told",
    "one process is slower than no other",
)
WITHOUT = {
    "training: Model FLOPS utilization, 0": NO_DEVICE,
    "training: Memory at its peak, 0": NO_DEVICE,
    "training: Bytes, 1": NO_DEVICE,
    "training: Slowest process, 0": ONE_PROCESS,
    "serving: Adapters, 0": "no adapter is trained here; tests/e2e has one",
}
"""Queries that find nothing here, each with the reason; `tests/alerts` has data for each."""


def firing(scene: Scene, cause: Cause) -> list[float]:
    """When the alert fired of what the cause names."""
    matchers = {"alertname": cause.alert, "alertstate": "firing", **cause.labels}
    written = ",".join(f'{name}="{value}"' for name, value in matchers.items())
    found = scene.store.since(f"ALERTS{{{written}}}", scene.began_s, STEP_S)
    return sorted(moment for _, moments in found for moment in moments)


def fires(scene: Scene, cause: Cause, since_s: float, say: Callable[[str], None]) -> None:
    """It fires within the time, and did not before."""
    what, left_s = f"{cause.alert} {dict(cause.labels)}", since_s + FIRES_WITHIN_S - time.time()
    look = partial(firing, scene, cause)
    moments = until(what, look, timeout_s=max(left_s, 2 * STEP_S), every_s=STEP_S)
    say(f"{what} fires {moments[0] - since_s:.0f} s after its cause")
    assert moments[0] > since_s


def test_every_job_that_the_notes_show_finds_pods_that_answer(scene: Scene) -> None:
    found = {labels["job"] for labels in scene.store.found("up == 1")}
    assert found == {*JOBS, "kubelet", "exporter"}
    assert scene.store.found("min_over_time(up[30s]) == 0") == []


def test_nothing_is_alarming_while_all_is_well(scene: Scene) -> None:
    assert scene.store.found('ALERTS{alertstate="firing", alertname=~"DeepSeek.+"}') == []


@pytest.mark.parametrize("name", ["operator: Passes that failed, 0", "serving: Requests that wait for a replica, 0"])
def test_what_should_be_none_is_told_as_0_while_all_is_well(scene: Scene, name: str) -> None:
    assert {*scene.store.values(QUERIES[name])} == {0.0}


@pytest.fixture(scope="module")
def provoked(scene: Scene, say: Callable[[str], None]) -> dict[str, float]:
    """By alert when its cause began, Unix time."""
    began: dict[str, float] = {}
    last = time.time()
    for cause in CAUSES:
        if cause.provoke is not None:
            last = time.time()
            try:
                cause.provoke(scene)
            except AssertionError as error:
                say(f"{cause.alert} was not provoked: {error}")
                continue
            say(f"provoked: {cause.alert}")
        began[cause.alert] = last
    return began


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.alert)
def test_an_alert_fires_by_its_cause_and_not_before(
    scene: Scene, provoked: dict[str, float], say: Callable[[str], None], cause: Cause
) -> None:
    fires(scene, cause, provoked[cause.alert], say)


@pytest.mark.parametrize("cause", LAST, ids=lambda cause: cause.alert)
def test_an_alert_about_the_operator_fires_by_its_cause_and_not_before(
    scene: Scene, provoked: dict[str, float], say: Callable[[str], None], cause: Cause
) -> None:
    assert cause.provoke is not None
    since_s = time.time()
    cause.provoke(scene)
    fires(scene, cause, since_s, say)


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_of_a_dashboard_finds_data(scene: Scene, provoked: dict[str, float], name: str) -> None:
    found = scene.store.since(QUERIES[name], scene.began_s, STEP_S)
    assert bool(found) is (name not in WITHOUT), WITHOUT.get(name)
