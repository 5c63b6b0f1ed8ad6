"""A watchdog around an engine: how it comes into the pod, and what is told of what it did."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.status import MOST_STALLS, ServingStatus, StallStatus, WatchdogStatus
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.stalls import watchdog_status
from tests.support.serving_life import ServingLife
from tests.support.serving_look import container, look, pod, recorded, target_of

WORDS = "the engine made no token for 301 s with 4 requests running and 12 waiting"
LAST_WORDS = json.dumps({"formatVersion": 1, "result": "Stalled", "message": WORDS})
H200 = {
    "model": {"name": "deepseek-v2-lite", "source": {"uri": "pvc://models/m"}},
    "accelerator": {"profile": "nvidia-h200-141"},
}


def spec_of(engine: dict[str, Any], **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = ServingLife(engine={**engine, "watchdog": {"stallSeconds": 120}}, **spec).template()["spec"]
    return found


def test_every_engine_that_resources_may_name_but_two_tells_what_a_watchdog_needs() -> None:
    assert [entry.type for entry in offered() if not entry.can_be_watched] == ["tensorrt-llm", "triton"]


def test_our_engine_is_started_by_the_watchdog_of_its_own_image() -> None:
    spec = spec_of({"port": 9000})
    (engine,) = spec["containers"]
    assert engine["command"] == [
        *(
            "python3",
            "-m",
            "deepseek_runtime.watchdog",
            "--stall-seconds",
            "120",
            "--port",
            "9000",
            "--path",
            "/metrics",
        ),
        *("--running", "vllm:num_requests_running", "--waiting", "vllm:num_requests_waiting"),
        *("--tokens", "vllm:generation_tokens_total", "--", "python3", "-m", "deepseek_runtime.engine"),
    ]
    assert "initContainers" not in spec


def test_an_engine_of_another_image_is_brought_one_beside_what_it_runs() -> None:
    spec = spec_of({"type": "sglang"}, **H200)
    (engine,), (first,) = spec["containers"], spec["initContainers"]
    assert engine["command"][:2] == ["python3", "/etc/deepseek/watchdog.py"]
    assert engine["command"][engine["command"].index("--tokens") + 1] == "sglang:realtime_tokens_total"
    assert "sglang.launch_server" in engine["command"][engine["command"].index("--") :]
    assert first["command"][-1] == "/etc/deepseek"
    assert first["volumeMounts"][0] in engine["volumeMounts"]
    assert {"name": "files", "emptyDir": {}} in spec["volumes"]
    assert "PYTHONPATH" not in {variable["name"] for variable in engine["env"]}


def test_an_image_of_the_users_keeps_its_arguments() -> None:
    written = {"type": "custom", "image": "e:1", "command": ["serve", "--fast"], "args": ["-v"]}
    (engine,) = spec_of(written)["containers"]
    assert engine["command"][engine["command"].index("--") + 1 :] == ["serve", "--fast"]
    assert engine["args"] == ["-v"]


@pytest.mark.parametrize(
    ("engine", "more", "least"), [({}, {}, 180), ({"type": "vllm"}, H200, 180), ({"type": "sglang"}, H200, 180)]
)
def test_the_kubelet_is_more_patient_than_the_watchdog(engine: Any, more: Any, least: int) -> None:
    (found,) = spec_of(engine, **more)["containers"]
    assert found["livenessProbe"]["periodSeconds"] * found["livenessProbe"]["failureThreshold"] >= least


def test_without_one_nothing_of_it_is_in_the_pod() -> None:
    template = json.dumps(ServingLife().template())
    assert "watchdog" not in template


# --- what it did --------------------------------------------------------------------------------------------------


def stalled(at: str, message: str = LAST_WORDS, code: int = 76) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": "Error", "message": message, "finishedAt": at}}


def a_pod(now: dict[str, Any], before: dict[str, Any], name: str = "p") -> dict[str, Any]:
    serving = recorded(replicas=1, running=1)
    one = pod(serving, target_of(serving), phase="Running", containerStatuses=[container(now, before)])
    return {**one, "metadata": {**one["metadata"], "name": name}}


RUNNING = {"running": {"startedAt": "2026-01-01T00:01:00Z"}}
ONCE = StallStatus(pod="p", at="2026-01-01T00:00:00Z", message=WORDS)


def test_a_replica_that_was_restarted_is_told_of_once_however_often_it_is_seen() -> None:
    serving = recorded(replicas=1, running=1, engine={"watchdog": {}})
    one = pod(serving, target_of(serving), phase="Running", containerStatuses=[container(RUNNING, stalled(ONCE.at), 1)])
    found = look(serving, one)
    assert found.watchdog == WatchdogStatus(restarts=1, last=[ONCE])
    (event,) = [event for event in events(ServingStatus(), found) if event.reason == "EngineStalled"]
    assert (event.type, event.note) == ("Warning", f"p was restarted: {WORDS}")
    again = look({**serving, "status": {**serving["status"], "watchdog": found.watchdog.to_wire()}}, one)
    assert again.watchdog == found.watchdog
    assert [event for event in events(found, again) if event.reason == "EngineStalled"] == []


def test_what_a_pod_that_is_gone_told_stays() -> None:
    known = WatchdogStatus(restarts=3, last=[ONCE])
    assert watchdog_status(known, (), is_watched=True) == known
    assert watchdog_status(known, (), is_watched=False) == known, "also when nobody watches any more"


def test_nothing_is_told_where_no_watchdog_is_asked_for_and_none_acted() -> None:
    assert watchdog_status(None, (), is_watched=False) is None
    assert watchdog_status(None, (), is_watched=True) == WatchdogStatus()


@pytest.mark.parametrize(
    "end",
    [
        stalled(ONCE.at, code=1),
        stalled(ONCE.at, message="Traceback"),
        stalled(ONCE.at, message='{"formatVersion": 1, "result": "Invalid", "message": "m"}'),
        stalled("soon"),
        {"terminated": None},
    ],
)
def test_any_other_end_is_no_stall(end: dict[str, Any]) -> None:
    assert watchdog_status(None, (a_pod(RUNNING, end),), is_watched=False) is None


def test_a_second_stall_of_one_pod_is_another_one() -> None:
    later = stalled("2026-01-01T01:00:00Z")
    found = watchdog_status(WatchdogStatus(restarts=1, last=[ONCE]), (a_pod(later, stalled(ONCE.at)),), is_watched=True)
    assert found is not None
    assert (found.restarts, [one.at for one in found.last]) == (2, ["2026-01-01T01:00:00Z", ONCE.at])


def test_more_replicas_than_a_status_lists_are_counted_once_each() -> None:
    pods = [a_pod(RUNNING, stalled(f"2026-01-01T00:{n:02}:00Z"), name=f"p{n}") for n in range(MOST_STALLS + 4)]
    found = watchdog_status(None, pods[:MOST_STALLS], is_watched=True)
    for _ in range(3):
        found = watchdog_status(found, pods, is_watched=True)
    assert found is not None
    assert (found.restarts, len(found.last)) == (MOST_STALLS + 4, MOST_STALLS)
    assert found.last[0].pod == f"p{MOST_STALLS + 3}"
    assert watchdog_status(found, pods[:4], is_watched=True) == found, (
        "the oldest are known, though not listed any more"
    )


def test_last_words_are_a_strangers_and_bounded() -> None:
    words = json.dumps({"formatVersion": 1, "result": "Stalled", "message": "\x1b" + "x" * 3000})
    found = watchdog_status(None, (a_pod(RUNNING, stalled(ONCE.at, words)),), is_watched=False)
    assert found is not None
    assert len(found.last[0].message) <= 300
    assert "\x1b" not in found.last[0].message
