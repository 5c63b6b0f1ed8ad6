"""What is told of a training's machines: utilisation by hand, memory at its peak, seconds that steps waited and stood still."""

import json
import time
from array import array
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deepseek_runtime.contract import Invalid, Work, read_contract
from deepseek_runtime.trainer import telling
from deepseek_runtime.trainer.data.corpus import Corpus
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.gauges import least_seconds
from deepseek_runtime.trainer.telling import Telling
from tests.runtime.observed import environment
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

WORK = {"perToken": 60.0, "perKey": 8.0, "mostKeys": 1e12, "peak": 1e6}


def example(tokens: int, *starts: int) -> Example:
    return Example(array("i", range(tokens)), ((1, tokens),), starts)


@pytest.mark.parametrize(
    ("examples", "most", "flops"),
    [
        ([example(101)], 1e12, 100 * (60 + 8 * 50)),
        ([example(101), example(11)], 1e12, 100 * (60 + 8 * 50) + 10 * (60 + 8 * 5)),
        ([example(101)], 16, 100 * (60 + 8 * 16)),
        ([example(101, 40)], 1e12, 40 * (60 + 8 * 20) + 60 * (60 + 8 * 30)),
    ],
    ids=["one", "two", "sparse attention", "two documents in a sequence"],
)
def test_the_least_seconds_are_those_of_the_models_work_at_the_peak(
    examples: list[Example], most: float, flops: float
) -> None:
    assert least_seconds(Work(60, 8, most, 1e6), examples) == pytest.approx(flops / 1e6)


@pytest.mark.parametrize("text", ['{"perToken": 1}', "[]", "7", '{"perToken":-1,"perKey":1,"mostKeys":1,"peak":1}'])
def test_work_that_is_not_understood_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid, match="DEEPSEEK_FLOPS"):
        read_contract({**environment(tmp_path), "DEEPSEEK_FLOPS": text})


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes half a second; a step takes two looks."""
    looks = count()
    monkeypatch.setattr(telling, "time", SimpleNamespace(monotonic=lambda: next(looks) / 2))


def test_utilisation_is_what_the_work_takes_at_the_peak_of_what_it_took(seconds: None) -> None:
    told = Telling(None, False)
    for step in range(1, 6):
        told.step(step, 0.0, 1.0, 100, {"dataWaitSeconds": 0.25}, 0.4)
    assert {name: told.fields[name] for name in ("mfu", "tokensPerSecond", "stepSeconds")} == {
        "mfu": 0.4,
        "tokensPerSecond": 100.0,
        "stepSeconds": 1.0,
    }
    assert (told.fields["tokensTotal"], told.fields["dataWaitSecondsTotal"]) == (500, 1.25)


def test_without_a_peak_no_utilisation_is_told(seconds: None) -> None:
    told = Telling(None, False)
    for step in range(1, 6):
        told.step(step, 0.0, 1.0, 100, {}, None)
    assert "mfu" not in told.fields


def test_a_training_tells_of_its_machines(workplace: Workplace, tmp_path: Path) -> None:
    steps: dict[str, Any] = {"hyperparameters.maxSteps": 43}
    run = workplace.attempt(tmp_path, steps, FLOPS=json.dumps(WORK))
    assert 50 << 20 < float(str(run.told["hostMemoryBytes"])) < 1 << 40
    assert "deviceMemoryBytes" not in run.told, "there is no device"
    assert float(str(run.told["mfu"])) > 0
    made = [record for record in run.records if record["event"] == "step"]
    assert all(float(str(record["dataWaitSeconds"])) >= 0 for record in made)
    assert [record["step"] for record in made if "hostMemoryBytes" in record] == [1, 2, 20, 40, 43]
    (saved,) = (record for record in run.records if record["event"] == "checkpoint")
    assert 0 < float(str(saved["blockedSeconds"])) <= float(str(saved["seconds"])) + 0.05
    latest: Any = run.told["latest"]
    assert latest["bytes"] == saved["bytes"]
    assert latest["bytes"] > 0
    assert latest["blockedSeconds"] == saved["blockedSeconds"]
    assert latest["blockedShare"] == pytest.approx(
        latest["blockedSeconds"] / float(str(run.told["stepSeconds"])), rel=0.01
    )


def test_a_slow_dataset_is_seen_as_such(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Corpus.batch
    slept: list[float] = []

    def slow(self: Corpus, step: int) -> list[Example]:
        since = time.monotonic()
        time.sleep(0.05)
        slept.append(time.monotonic() - since)
        return batch(self, step)

    monkeypatch.setattr(Corpus, "batch", slow)
    run = workplace.attempt(tmp_path)
    waited = [float(str(record["dataWaitSeconds"])) for record in run.records if record["event"] == "step"]
    assert all(wait >= sleep - 1e-6 for wait, sleep in zip(waited, slept, strict=True))
    assert float(str(run.told["dataWaitSecondsTotal"])) == pytest.approx(sum(waited), abs=1e-3)
