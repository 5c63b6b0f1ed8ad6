"""The thread that tells a tracking server: nothing waits for it, nothing is lost that may still be sent, nothing twice."""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.trainer import tracking
from deepseek_runtime.trainer.tracking import Asked, MLflow, Record, Tracking, read_tracking


def step(number: int, loss: float = 1.0) -> Record:
    return {"event": "step", "step": number, "loss": loss}


@dataclass
class Server:
    """Keeps what it is sent; the first `refused` calls fail, and a call waits while it `hangs`."""

    title: str = "the server"
    refused: int = 0
    last: int = -1
    measured: int = -1
    kept: list[Record] = field(default_factory=list)
    hangs: threading.Event | None = None

    def open(self) -> dict[str, int]:
        self._answer()
        return {"step": self.last, "evaluation": self.measured}

    def send(self, records: Sequence[Record]) -> None:
        self._answer()
        self.kept += records

    def _answer(self) -> None:
        if self.hangs is not None:
            self.hangs.wait(60)
        if self.refused:
            self.refused -= 1
            raise ConnectionError("nobody there")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "TOGETHER_S", 0.01)
    monkeypatch.setattr(tracking, "RETRY_S", 0.01)
    monkeypatch.setattr(tracking, "LAST_WAIT_S", 5.0)


def told(server: Server, folder: Path, records: Sequence[Record]) -> Server:
    one = Tracking(server, folder, folder / "own" / "metrics.jsonl")
    for record in records:
        one.hear(record)
    one.close()
    return server


def curve(folder: Path, incarnation: str, *lines: str) -> None:
    (folder / incarnation).mkdir()
    (folder / incarnation / "metrics.jsonl").write_text("\n".join(lines))


def test_records_arrive_in_order(tmp_path: Path) -> None:
    records = [step(number) for number in range(500)]
    assert told(Server(), tmp_path, records).kept == records


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_what_was_refused_is_sent_again(tmp_path: Path, refused: int, capsys: pytest.CaptureFixture[str]) -> None:
    records = [step(number) for number in range(5)]
    assert told(Server(refused=refused), tmp_path, records).kept == records
    assert capsys.readouterr().err.count("nobody there") == 1


def test_a_server_that_hangs_holds_neither_a_step_nor_the_end_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LAST_WAIT_S", 0.05)
    server = Server(hangs=threading.Event())
    assert told(server, tmp_path, [step(1)]).kept == []
    assert server.hangs is not None
    server.hangs.set()


def test_what_earlier_attempts_could_not_send_is_read_from_their_curves(tmp_path: Path) -> None:
    curve(tmp_path, "first", *(json.dumps(step(number)) for number in range(1, 8)), "{torn", '["no record"]')
    curve(tmp_path, "own", json.dumps(step(9)))
    kept = told(Server(last=3), tmp_path, [step(8), step(9)]).kept
    assert [record["step"] for record in kept] == [4, 5, 6, 7, 8, 9]


def test_a_measure_that_was_not_sent_is_read_though_its_step_was(tmp_path: Path) -> None:
    measured = [{"event": "evaluation", "step": number, "evalLoss": 1.0} for number in (2, 4)]
    curve(tmp_path, "first", *map(json.dumps, [*map(step, range(1, 5)), *measured]))
    kept = told(Server(last=4, measured=2), tmp_path, [step(5)]).kept
    assert [(record["event"], record["step"]) for record in kept] == [("evaluation", 4), ("step", 5)]


def test_nothing_heard_nothing_asked(tmp_path: Path) -> None:
    one = Tracking(Server(hangs=threading.Event()), tmp_path, tmp_path / "own")
    one.close()


def test_the_operators_words_are_read() -> None:
    value = {"mlflow": {"uri": "http://m:5000", "experiment": "team", "registeredModel": "bot", "volume": "pvc://c"}}
    found = read_tracking({"DEEPSEEK_TRACKING": json.dumps(value)})
    assert found == Asked(MLflow("http://m:5000", "team", "bot", "pvc://c"))
    assert read_tracking({"DEEPSEEK_TRACKING": '{"tensorboard": {"run": "a"}}'}) == Asked(None, "a")
    assert read_tracking({}) == Asked()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"tensorboard": {}}', '{"mlflow": {"uri": "u"}}', '{"mlflow": 3}'])
def test_words_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="DEEPSEEK_TRACKING"):
        read_tracking({"DEEPSEEK_TRACKING": text})


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({"mlflow": {"uri": "u", "experiment": "e", "artifacts": "s3"}}, "mlflow.artifacts"),
        ({"tensorboard": {"run": "a", "hparams": True}}, "tensorboard.hparams"),
        ({"mlflow": {"uri": "u", "experiment": "e"}, "wandb": {}}, "wandb"),
    ],
)
def test_an_option_of_a_newer_operator_is_refused_by_name(value: dict[str, object], name: str) -> None:
    with pytest.raises(Invalid, match=rf"{re.escape(name)}: use a newer runtime image"):
        read_tracking({"DEEPSEEK_TRACKING": json.dumps(value)})
