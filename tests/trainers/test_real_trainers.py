"""Released trainers, really run on the CPU from what the operator renders, under the launcher: killed, torn, stopped, finished.

`tests/run trainers` installs them (about 1.5 GB beside the runtime's torch, which they share) and passes these; they are no
part of `tests/run`, because each start of such a trainer imports for half a minute.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.installed import TRAINERS
from tests.trainers.lab import EVERY, LIMIT_S, LORA, STEPS, Lab

FORMS = {"DPO": "Preference", "GRPO": "PromptCompletion"}
PAIRS = [{"prompt": f"what is {n}?", "chosen": f"it is {n}.", "rejected": "no."} for n in range(64)]
PROMPTS = [{"prompt": f"what is {n}?", "completion": str(n)} for n in range(16)]


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("method", ["Full", "LoRA", "QLoRA"])
def test_nothing_is_lost_to_a_kill_a_torn_folder_and_a_stop(
    trainer: str, method: str, tmp_path: Path, model: Path, chats: Path
) -> None:
    beside: dict[str, Any] = {"method": {**LORA, "type": method}} if method != "Full" else {}
    lab = Lab(trainer, tmp_path, model, chats, **beside)
    goes_on(lab, STEPS, "adapter_model.safetensors" if beside else "model.safetensors")


def goes_on(lab: Lab, steps: int, weights: str) -> None:
    """Killed after its first checkpoint, with a torn folder beside it; stopped; and taken to its end."""
    one, process = lab.attempt()
    lab.waited_for(process, lambda: bool(one.steps()))
    process.kill()
    process.ended(LIMIT_S)
    saved = max(one.steps())
    torn = one.directory / "output" / "checkpoint-999999"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")

    two, process = lab.attempt()
    # Small steps may all have been made before the kill was: then nothing is left.
    lab.waited_for(process, lambda: process.popen.poll() is not None or lab.step() > saved + 2)
    process.terminate()
    code = process.ended(LIMIT_S)
    told = two.termination()
    begun = int(str(told["firstStep"])) - 1
    assert begun >= saved, process.log
    if code == 0:  # it was quicker than its stop
        assert told["step"] == steps
        return
    assert code == 75, process.log
    last = max(two.steps(), default=begun)

    three, process = lab.attempt()
    assert process.ended(LIMIT_S) == 0, process.log
    told = three.termination()
    assert (told["result"], told["step"], told["firstStep"]) == ("Complete", steps, last + 1)
    assert (three.root / "exports" / str(steps) / weights).is_file()


def by(objective: str, trainer: str, volume: Path, model: Path, records: list[Any], steps: int, every: int = 10) -> Lab:
    """A training of an adapter by that objective. Rewards of GRPO are functions that need no further library."""
    file = volume / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    hyper = {"globalBatchSize": 8, "sequenceLength": 64, "learningRate": "1e-2", "precision": "fp32", "maxSteps": steps}
    datasets = [{"source": {"uri": "pvc://data/chats.jsonl"}, "format": FORMS[objective]}]
    wanted: dict[str, Any] = {"objective": objective, "datasets": datasets, "method": LORA, "hyperparameters": hyper}
    rewards = {"args": ["--reward_funcs", "repetition"]} if objective == "GRPO" else {}
    told = {"type": trainer, "image": "x", **rewards}
    return Lab(trainer, volume / "volume", model, file, checkpoints={"everySteps": every}, trainer=told, **wanted)


def learnt(objective: str, trainer: str, volume: Path, model: Path, records: list[Any]) -> Lab:
    """A training of twenty steps, which has come to its end and left an adapter."""
    lab = by(objective, trainer, volume, model, records, steps=20)
    one, process = lab.attempt()
    assert process.ended(LIMIT_S) == 0, process.log
    assert (one.termination()["result"], one.termination()["step"]) == ("Complete", 20)
    assert (one.root / "exports" / "20" / "adapter_model.safetensors").is_file()
    return lab


@pytest.mark.parametrize("trainer", TRAINERS)
def test_preferences_are_learnt(trainer: str, tmp_path: Path, model: Path) -> None:
    """A loss of ln 2 prefers neither answer."""
    losses = [
        float(value["loss"]) for value in learnt("DPO", trainer, tmp_path, model, PAIRS).told() if "loss" in value
    ]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)
    assert losses[-1] < 0.6


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_preference_that_it_would_pass_over_ends_it_before_anything_is_learnt(
    trainer: str, tmp_path: Path, model: Path
) -> None:
    with pytest.raises(AssertionError, match=r"line 1 has no text 'rejected'"):
        learnt("DPO", trainer, tmp_path, model, [{"prompt": "a", "chosen": "b"}])


@pytest.mark.skipif("ms-swift" not in TRAINERS, reason="it alone has it")
def test_rewarded_answers_are_learnt_from(tmp_path: Path, model: Path) -> None:
    """Eight answers to each prompt."""
    told = learnt("GRPO", "ms-swift", tmp_path, model, PROMPTS).told()
    assert any("reward" in value for value in told)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_preferences_go_on_after_a_kill_a_torn_folder_and_a_stop(trainer: str, tmp_path: Path, model: Path) -> None:
    goes_on(by("DPO", trainer, tmp_path, model, PAIRS, STEPS, EVERY), STEPS, "adapter_model.safetensors")


@pytest.mark.skipif("ms-swift" not in TRAINERS, reason="it alone has it")
def test_rewarded_answers_go_on_after_a_kill_a_torn_folder_and_a_stop(tmp_path: Path, model: Path) -> None:
    goes_on(by("GRPO", "ms-swift", tmp_path, model, PROMPTS, STEPS, EVERY), STEPS, "adapter_model.safetensors")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_tokenizer_that_its_transformers_garbles_ends_it_before_anything_is_learnt(
    trainer: str, tmp_path: Path, model: Path, chats: Path
) -> None:
    garbled = tmp_path / "model"
    shutil.copytree(model, garbled)
    settings = json.loads((garbled / "tokenizer_config.json").read_text())
    (garbled / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "LlamaTokenizerFast"}))
    # 5.6 garbles it whatever the model is, 5.19 that of a Llama.
    config = json.loads((garbled / "config.json").read_text())
    (garbled / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    lab = Lab(trainer, tmp_path / "volume", garbled, chats)
    one, process = lab.attempt()
    assert process.ended(LIMIT_S) == 64, process.log
    assert "garbles the model's tokenizer (LlamaTokenizerFast)" in str(one.termination()["message"])
