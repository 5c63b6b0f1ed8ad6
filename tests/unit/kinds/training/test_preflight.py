"""What an attempt tries before it loads anything: asked for by the spec, told once with a few numbers, a crash where it fails."""

from typing import Any

import pytest

from tests.support.trainings import Life

PASSED = {
    "seconds": 0.75,
    "collectiveMegabytesPerSecond": 900.0,
    "writeMegabytesPerSecond": 210.4,
    "readMegabytesPerSecond": 400.0,
    "node": "gpu-3",
}


def tells(life: Life, preflight: Any) -> Life:
    said = {"formatVersion": 1, "state": "Starting", "preflight": preflight}
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = said
    return life.later(30)


def notes(life: Life, reason: str) -> list[str]:
    return [event.note for _, event in life.cluster.events if event.reason == reason]


def variables(life: Life) -> dict[str, Any]:
    (container,) = life.pod(0)["spec"]["containers"]
    return {one["name"]: one.get("value") for one in container["env"]}


def test_what_was_measured_is_told_once_in_an_attempt() -> None:
    life = tells(tells(Life().begin().running(), PASSED), PASSED)
    assert notes(life, "PreflightPassed") == [
        "devices, collectives and volume were tried in 0.75 s; collectives 900 MB/s; the checkpoint volume writes 210.4 and"
        " reads 400 MB/s from node gpu-3, the slowest"
    ]
    life.crash().later(60)
    assert life.owner.status.preflight is None, "the next attempt has tried nothing yet"


def test_one_process_on_a_full_volume_has_nothing_to_measure() -> None:
    life = tells(Life().begin().running(), {"seconds": 0.01})
    assert notes(life, "PreflightPassed") == ["devices, collectives and volume were tried in 0.01 s"]


def test_what_fails_is_a_crash_with_the_nodes_name() -> None:
    told = "rank 5 exited with code 1: preflight: node gpu-3 shows 7 of the 8 devices that accelerator asks for"
    life = Life().begin().running().crash(message=f'{{"formatVersion": 1, "result": "Failed", "message": "{told}"}}')
    assert told in notes(life, "AttemptCrashed")[0]
    assert life.owner.status.restarts == 1


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ({}, ("120", None)),
        ({"preflightTimeoutSeconds": 30}, ("30", None)),
        ({"preflightTimeoutSeconds": 0}, (None, None)),
        ({"minVolumeMegabytesPerSecond": 50}, ("120", "50")),
    ],
)
def test_what_is_tried_is_the_specs(policy: dict[str, int], told: tuple[str | None, str | None]) -> None:
    found = variables(Life().begin(failurePolicy=policy))
    names = ("DEEPSEEK_PREFLIGHT_SECONDS", "DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND")
    assert tuple(found.get(name) for name in names) == told
    assert "DEEPSEEK_DEVICES" not in found, "none were asked for"


@pytest.mark.parametrize("accelerator", [{"resource": "nvidia.com/gpu", "perNode": 4}])
def test_devices_are_looked_for_where_they_are_asked_for(accelerator: dict[str, Any]) -> None:
    sizes = {"maxSteps": 100, "globalBatchSize": 64}
    assert variables(Life().begin(accelerator=accelerator, hyperparameters=sizes))["DEEPSEEK_DEVICES"] == "4"


@pytest.mark.parametrize("lie", [{}, [], 1, {"seconds": "1"}, {"seconds": True}, {"seconds": float("nan")}])
def test_what_no_trainer_says_counts_as_nothing(lie: object) -> None:
    life = tells(Life().begin().running(), lie)
    assert life.owner.status.preflight is None
    assert notes(life, "PreflightPassed") == []
