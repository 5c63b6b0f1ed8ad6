"""What a real MLflow server has of a training: one run over all its attempts, every step once, its exports as versions."""

import hashlib
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from tests.runtime.pods import Attempt, Process, is_step, spec
from tests.support.ports import free_port

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
STEPS, EVERY = 60, 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of MLflow's own server, on sqlite. `tests/run runtime` says where the program is."""
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    program = Path(os.environ["MLFLOW_SERVER"]) / "bin" / "mlflow"
    storage = ["--backend-store-uri", f"sqlite:///{home}/store.db", "--artifacts-destination", str(home / "artifacts")]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *storage],
            env={**os.environ, **QUIET, "PYTHONPATH": ""}, stdout=log, stderr=log, cwd=home,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(address, home / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(address: str, log: Path) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start:\n{log.read_text()[-3000:]}")


def _told(address: str) -> dict[str, str]:
    asked = {"uri": address, "experiment": "team", "registeredModel": "bot", "volume": "pvc://checkpoints"}
    return {"DEEPSEEK_TRACKING": json.dumps({"mlflow": asked}), "DEEPSEEK_CHECKPOINT_EVERY_STEPS": str(EVERY)}


def _attempt(volume: Path, number: int, address: str, uid: str, **hyperparameters: object) -> Attempt:
    return Attempt(
        volume,
        number,
        f"pod-{number}",
        spec(maxSteps=STEPS, evalEverySteps=20, globalBatchSize=16, **hyperparameters),
        processes=1,
        training_uid=uid,
        ancestry=tuple((earlier, f"pod-{earlier}") for earlier in range(1, number)),
        variables=_told(address),
    )


def _killed_at(attempt: Attempt, step: int) -> Process:
    process = attempt.start()
    process.wait_for(lambda line: is_step(line, step))
    process.kill()
    process.ended()
    return process


def _runs(client: MlflowClient, uid: str) -> list[Any]:
    experiment = client.get_experiment_by_name("team")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`deepseek-operator.io/uid` = '{uid}'"))


def test_one_run_over_three_attempts_has_every_step_once_and_the_best_export_as_a_version(
    server: str, tmp_path: Path
) -> None:
    uid = "three-attempts"
    processes = [_killed_at(_attempt(tmp_path, 1, server, uid), 25), _killed_at(_attempt(tmp_path, 2, server, uid), 44)]
    last = _attempt(tmp_path, 3, server, uid)
    processes.append(last.start())
    assert processes[-1].ended() == 0, processes[-1].log

    client = MlflowClient(server)
    (run,) = _runs(client, uid)
    assert (run.info.status, run.data.tags["deepseek-operator.io/attempt"]) == ("FINISHED", "3")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted(metric.step for metric in history) == list(range(1, STEPS + 1))
    made = {step: loss for process in reversed(processes) for step, loss in process.losses.items()}
    assert {metric.step: metric.value for metric in history} == made
    evaluated = [metric.step for metric in client.get_metric_history(run.info.run_id, "evalLoss")]
    assert sorted(evaluated) == [0, 20, 40, 60]
    assert run.data.params["hyperparameters.learningRate"] == "3e-3"

    best = client.get_model_version_by_alias("bot", "best")
    export = last.root / "exports" / best.tags["step"]
    assert best.source == f"pvc://checkpoints/{uid}/exports/{best.tags['step']}"
    digest = hashlib.sha256((export / "manifest.json").read_bytes()).hexdigest()
    assert best.tags["deepseek-operator.io/manifest-sha256"] == digest
    assert best.run_id == run.info.run_id


def test_a_server_that_is_not_there_harms_no_training_and_is_told_of_it_later(server: str, tmp_path: Path) -> None:
    uid = "server-down"
    nobody = f"http://127.0.0.1:{free_port()}"
    first = _attempt(tmp_path, 1, nobody, uid).start()
    first.wait_for(lambda line: is_step(line, 30))
    first.terminate()
    assert first.ended() == 75, first.log
    assert first.log.count("the tracking server was not told") == 1
    second = _attempt(tmp_path, 2, server, uid).start()
    assert second.ended() == 0, second.log
    (run,) = _runs(MlflowClient(server), uid)
    steps = [metric.step for metric in MlflowClient(server).get_metric_history(run.info.run_id, "loss")]
    assert sorted(steps) == list(range(1, STEPS + 1)), "what the first attempt could not send is read from its curve"
