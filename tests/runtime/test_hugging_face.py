"""Beside Hugging Face's Trainer: the same losses, step by step, from the same weights, batches and optimizer."""

import json
from pathlib import Path

import pytest

from tests.runtime.families import FAMILIES
from tests.runtime.hugging_face import ours, theirs
from tests.runtime.observed import Document
from tests.runtime.workplace import Workplace

STEPS = 24
# Other steps than those that lie behind the first one's rate: both fall, and gradients are clipped at some.
HYPER: Document = {
    "globalBatchSize": 4,
    "sequenceLength": 16,
    "learningRate": "3e-3",
    "maxSteps": STEPS,
    "precision": "fp32",
    "weightDecay": "0.1",
    "gradientClipNorm": "1",
}


@pytest.mark.parametrize("schedule", ["Constant", "Cosine", "Linear"])
@pytest.mark.parametrize("family", ["llama", "qwen2-tied", "qwen3"])
def test_losses_are_those_of_hugging_faces_trainer(
    workplace: Workplace, tmp_path: Path, family: str, schedule: str
) -> None:
    base = str(workplace.train({"model.custom": dict(FAMILIES[family])}).export())
    hyper = {**HYPER, "schedule": schedule}
    spec = {**workplace.spec, "model": {"path": base}, "hyperparameters": hyper}
    batches = tmp_path / "batches.json"
    first = ours(workplace.bench.gang, tmp_path / "ours", spec, batches)
    second = theirs(tmp_path / "theirs", spec, batches)
    assert len(first.losses) == STEPS
    assert first.losses == pytest.approx(second.losses, abs=1e-5)
    assert first.losses[-1] < first.losses[0]
    assert len({json.dumps(batch) for batch in json.loads(batches.read_text())}) > 2, "batches differ"
