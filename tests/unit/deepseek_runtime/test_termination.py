"""Last words fit the kubelet's limit and have the form of the contract."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deepseek_runtime import termination
from deepseek_runtime.contract import read_contract
from deepseek_runtime.cpu import threads_per_process
from deepseek_runtime.launcher import __main__ as launcher
from deepseek_runtime.launcher import report
from deepseek_runtime.launcher.keeper import Verdict
from deepseek_runtime.launcher.server import METRICS, exposition
from deepseek_runtime.launcher.workers import Exit
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.termination import Termination
from tests.support.contract import ENVIRONMENT, SPEC


def read(file: Path) -> dict[str, object]:
    value = json.loads(file.read_text())
    assert isinstance(value, dict)
    return value


def test_message_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("something longer that was there before" * 100)
    words = Termination(
        "Complete", "done", 600, "i", {"step": 600}, {"step": 500, "metric": "accuracy", "value": 1.0}, (500, 600), 0.1
    )
    termination.write(words, file)
    assert read(file) == {
        "formatVersion": 1,
        "result": "Complete",
        "message": "done",
        "step": 600,
        "incarnation": "i",
        "latest": {"step": 600},
        "best": {"step": 500, "metric": "accuracy", "value": 1.0},
        "exports": [500, 600],
        "loss": 0.1,
        "metrics": {},
        "data": None,
        "firstStep": None,
        "gradientNorm": None,
        "rollbacks": None,
        "stoppedEarly": None,
        "inPlaceRestarts": None,
        "source": None,
    }


@pytest.mark.parametrize("text", ["x", "\u00e9", "\u6df1", '"', "\ud83d"])
def test_message_never_exceeds_the_limit(text: str) -> None:
    long = Termination("Failed", text * 9000, exports=tuple(range(5000)))
    document = termination.encode(long)
    assert len(document) <= 4096
    assert json.loads(document)["result"] == "Failed"
    assert json.loads(document)["exports"][-1:] in ([], [4999])


def test_missing_termination_log_stops_nobody(tmp_path: Path) -> None:
    termination.write(Termination("Failed", "x"), tmp_path / "no" / "such" / "place")


@pytest.mark.parametrize(
    ("code", "result"), [(0, "Complete"), (75, "Preempted"), (76, "Stalled"), (64, "Invalid"), (1, "Failed")]
)
def test_result_follows_the_exit_code(code: int, result: str) -> None:
    assert termination.result_of(code) == result


@pytest.mark.parametrize(
    ("arguments", "change", "advice"),
    [
        ([], {"DEEPSEEK_TRAINING_SPEC": ""}, "DEEPSEEK_TRAINING_SPEC"),
        ([], {"DEEPSEEK_ATTEMPT": "x"}, "DEEPSEEK_ATTEMPT"),
        ([], {"DEEPSEEK_PROCESSES_PER_NODE": "3"}, "write 6 or 12"),
        (["train.py"], {}, "write -- and then the command"),
    ],
)
def test_bad_configuration_ends_with_64_and_says_what_to_write(
    tmp_path: Path, arguments: list[str], change: dict[str, str], advice: str
) -> None:
    log = tmp_path / "log"
    environment = {**ENVIRONMENT, "DEEPSEEK_TRAINING_SPEC": json.dumps(SPEC), termination.PATH_VARIABLE: str(log)}
    assert launcher.main(arguments, {**environment, **change}) == 64
    assert read(log)["result"] == "Invalid"
    assert advice in str(read(log)["message"])


def test_verdict_is_explained_by_the_worker_that_caused_it(tmp_path: Path) -> None:
    contract = read_contract({**ENVIRONMENT, "DEEPSEEK_NODE_RANK": "0", "DEEPSEEK_CHECKPOINT_ROOT": str(tmp_path)})
    run = RunDirectory(tmp_path)
    run.publish_progress({"step": 7, "loss": 2.5, "latest": {"step": 5, "time": "t", "seconds": 1}, "exports": []})
    run.publish_result(2, {"message": "Damaged: file is missing"})
    words = report.termination(contract, run, Verdict(1, Exit(2, 1).rank, "rank 2 exited with code 1"))
    assert words == Termination(
        "Failed", "rank 2 exited with code 1: Damaged: file is missing", 7, "pod", {"step": 5}, None, (), 2.5
    )


@pytest.mark.parametrize(("code", "result"), [(64, "Diverged"), (1, "Failed"), (75, "Preempted")])
def test_divergence_and_what_was_lost_of_the_data_are_among_the_last_words(
    tmp_path: Path, code: int, result: str
) -> None:
    """Only with 64: a retry of anything else may still help."""
    contract = read_contract({**ENVIRONMENT, "DEEPSEEK_NODE_RANK": "0", "DEEPSEEK_CHECKPOINT_ROOT": str(tmp_path)})
    run, data = RunDirectory(tmp_path), {"examples": 90, "dropped": 10, "cut": 5, "longest": 300}
    run.publish_progress({"step": 57, "data": data})
    run.publish_result(0, {"message": "diverged at step 57", "diverged": True})
    words = report.termination(contract, run, Verdict(code, 0, "rank 0 exited"))
    assert (words.result, words.data) == (result, data)
    assert report.progress(contract, run, stopping=False)["data"] == data


def test_progress_is_complete_before_any_worker_spoke(tmp_path: Path) -> None:
    contract = read_contract({**ENVIRONMENT, "DEEPSEEK_NODE_RANK": "0"})
    assert report.progress(contract, RunDirectory(tmp_path), stopping=False) == {
        "formatVersion": 1,
        "trainingUID": "uid",
        "incarnation": "pod",
        "attempt": 3,
        "state": "Starting",
    }


def test_unknown_values_are_left_out_of_the_metrics() -> None:
    text = exposition({"step": 3, "loss": None, "latest": {"step": 2, "seconds": 0.5}})
    values = [line for line in text.splitlines() if not line.startswith("#")]
    assert values == [
        "deepseek_training_step 3",
        "deepseek_training_checkpoint_step 2",
        "deepseek_training_checkpoint_seconds 0.5",
    ]


def test_prometheus_reads_every_metric_by_its_own_rules() -> None:
    """Its own client parses them; counters end in _total, shares are ratios, and units are base units."""
    said: dict[str, Any] = {}
    for metric in METRICS:
        part, _, name = metric.field.rpartition(".")
        (said.setdefault(part, {}) if part else said)[name] = 1.5
    read = {family.name: family for family in text_string_to_metric_families(exposition(said))}
    assert len(read) == len(METRICS)
    for metric in METRICS:
        family = read[metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name]
        assert (family.type, [sample.value for sample in family.samples]) == (metric.kind, [1.5])
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert not re.search("_(ms|milliseconds|kib|mib|gib|percent)$", metric.name)


@pytest.mark.parametrize(
    ("cpu_max", "processes", "threads"),
    [("max 100000", 1, 1), ("800000 100000", 1, 8), ("800000 100000", 3, 2), ("50000 100000", 1, 1), ("garbage", 1, 1)],
)
def test_threads_follow_the_containers_limit_never_the_node(
    tmp_path: Path, cpu_max: str, processes: int, threads: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(cpu_max)
    assert threads_per_process(processes, {}, file) == threads


@pytest.mark.parametrize(("asked", "processes", "threads"), [("4", 1, 4), ("4", 3, 1), ("1", 2, 1), ("16", 4, 4)])
def test_threads_follow_what_the_pod_asks_for_before_any_limit(
    tmp_path: Path, asked: str, processes: int, threads: int
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text("200000 100000")
    assert threads_per_process(processes, {"DEEPSEEK_CPUS": asked}, file) == threads


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/full"), lambda path: path.symlink_to(path)]
)
def test_last_words_wait_for_nobody(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "log")
    termination.write(Termination("Failed", "words"), tmp_path / "log")
