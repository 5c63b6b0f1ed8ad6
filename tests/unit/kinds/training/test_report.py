"""What pods say is bounded and never trusted."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.progress import BestCheckpoint, DataStatus, LastCheckpoint, OwnMetric
from deepseek_operator.kinds.training.report import Report, from_mapping, number, report_of, whole
from deepseek_operator.workloads.last_words import tail


def ended(message: str) -> dict[str, Any]:
    status = {"containerStatuses": [{"name": "trainer", "state": {"terminated": {"exitCode": 1, "message": message}}}]}
    return {"metadata": {"name": "p", "labels": {}}, "status": status}


def test_the_contracts_message_is_read() -> None:
    said = {"step": 7, "message": "bye", "latest": {"step": 5}, "best": {"step": 3, "metric": "loss", "value": 0.12345}}
    numbers = {"loss": 0.5, "metrics": {"evalLoss": 0.25, "accuracy": 1.0, "other": 3}}
    read = {"result": "Diverged", "data": {"examples": 90, "dropped": 10, "cut": 5, "longest": 300}}
    assert report_of(ended(json.dumps({**said, **numbers, **read, "exports": [9, 4]}))) == Report(
        message="bye",
        step=7,
        loss="0.5",
        eval_loss="0.25",
        accuracy="1",
        metrics=(OwnMetric(name="other", value="3"),),
        latest=LastCheckpoint(step=5),
        best=BestCheckpoint(step=3, metric="loss", value="0.1235"),
        exports=(4, 9),
        data=DataStatus(examples=90, dropped=10, cut=5, longest=300),
        diverged=True,
    )


@pytest.mark.parametrize("text", ["Traceback\nboom", '"a string"', "{broken", "[" * 3000])
def test_anything_else_is_the_tail_of_a_log(text: str) -> None:
    report = report_of(ended(text))
    assert report is not None
    assert (report.step, report.latest) == (None, None)
    assert report.message == tail(text)


OURS = json.dumps({"formatVersion": 1, "step": 7, "message": 'no "a":\nline 3', "exports": list(range(900))})
FIRST = OURS.index('"message": "') + len('"message": "')


@pytest.mark.parametrize(
    ("size", "words"),
    [(3000, 'no "a":\nline 3'), (FIRST + 4, "no "), (FIRST, ""), (FIRST - 9, ""), (20, "")],
)
def test_of_a_document_that_the_kubelet_cut_only_the_sentence_is_told(size: int, words: str) -> None:
    report = report_of(ended(OURS[:size]))
    assert report is not None
    assert report.message.strip("\\") == words.strip()


@pytest.mark.parametrize(
    "said",
    [
        {"step": -1, "latest": {"step": "5"}, "exports": "all"},
        {"step": True, "latest": [], "exports": [-1, "x", None, 1.5]},
        {"step": 10**12, "latest": {"step": 10**12}, "exports": {}},
        {"step": 1.0, "latest": None, "loss": "0.5", "metrics": [["accuracy", 1]]},
        {"loss": float("inf"), "metrics": {"accuracy": "1", "evalLoss": True}},
        {"data": [1, 2], "result": "Invalid"},
        {"data": {"examples": "90", "dropped": 10}, "result": ["Diverged"]},
        {"data": {"examples": True}, "diverged": True},
    ],
)
def test_a_field_of_another_form_counts_as_unknown(said: dict[str, object]) -> None:
    assert from_mapping(said) == Report()


def test_a_running_pod_has_left_no_words() -> None:
    assert report_of({"metadata": {"name": "p"}, "status": {"phase": "Running"}}) is None


def test_a_tail_is_ten_printable_lines_of_at_most_1024_characters() -> None:
    text = "\n".join(f"line {i}\x1b[31m\x00" for i in range(50))
    lines = tail(text).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "line 49 [31m"
    assert len(tail("x" * 5000)) == 1024


def test_exports_are_bounded_to_the_newest() -> None:
    assert from_mapping({"exports": list(range(1000))}).exports == tuple(range(872, 1000))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (1234567.0, "1234567"), (3, "3"), (float("nan"), None), (float("inf"), None), ("1", None)],
)
def test_only_finite_numbers_are_shown(value: object, text: str | None) -> None:
    assert number(value) == text


def test_a_truth_value_is_no_step() -> None:
    assert whole(True) is None
