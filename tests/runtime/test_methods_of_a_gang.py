"""An adapter, or virtual tokens, divided over two processes: killed, resumed on two and on one, exported as from one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.runtime.pods import Attempt, Process, spec

STEPS = 40
NEAR = 10
"""Steps for which a compressed loss is compared with that of another number of processes: a sum has another order there, and
narrow matrices made orthonormal in each step let 7e-8 grow to 1e-6 within ten steps and to 3e-5 within 35. An error that is
lost, or taken of one process alone, is 2e-3 in the second."""
EVERY_FIVE = {"DEEPSEEK_CHECKPOINT_EVERY_STEPS": "5", "DEEPSEEK_CHECKPOINT_KEEP_BEST": "0"}
EXPORTS = {"Merged": "model.safetensors", "Adapter": "adapter_model.safetensors"}


# Attention has a dropout, so that each rank's random numbers must go on as well; fused experts know none.
METHODS: dict[str, dict[str, Any]] = {
    "attention": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8, "targets": ["Attention"], "dropout": "0.25"}},
    "experts": {"type": "LoRA", "lora": {"rank": 4, "alpha": 8, "targets": ["Linear", "Experts"]}},
    # Rank 8 has narrower matrices below it; each process has an error of its own to go on with.
    "compressed": {"type": "LoRA", "lora": {"rank": 8, "alpha": 16, "targets": ["Attention"]}},
    "prompts": {"type": "PTuning", "prompt": {"virtualTokens": 4, "encoderHiddenSize": 8}},
}


def asked(base: Path, method: str, export: str) -> str:
    compression = {"gradientCompression": {"type": "PowerSGD", "rank": 2}} if method == "compressed" else {}
    settings = json.loads(spec(maxSteps=STEPS, globalBatchSize=8, learningRate="1e-2", warmupSteps=0, **compression))
    chosen = dict(METHODS[method])
    if "lora" in chosen:
        chosen["lora"] = {**chosen["lora"], "export": export}
    return json.dumps({**settings, "model": {"path": str(base)}, "method": chosen})


def attempt(
    volume: Path, settings: str, number: int, name: str, processes: int = 2, after: str | None = None
) -> Attempt:
    ancestry = ((1, after),) if after is not None else ()
    return Attempt(volume, number, name, settings, processes=processes, ancestry=ancestry, variables=EVERY_FIVE)


def ended(started: Attempt) -> Process:
    process = started.start()
    assert process.ended() == 0, process.log
    return process


@pytest.mark.timeout(1200)  # seven times two processes are started, each reads torch anew
@pytest.mark.parametrize("method", METHODS)
def test_adapter_of_two_processes_is_killed_resumed_and_exported_as_of_one(
    whole: tuple[Attempt, Process], tmp_path: Path, method: str
) -> None:
    base = whole[0].root / "exports" / "120"
    merged = asked(base, method, "Merged")
    undisturbed = ended(attempt(tmp_path / "whole", merged, 1, "whole"))
    assert sorted(undisturbed.losses) == list(range(1, STEPS + 1))

    first = attempt(tmp_path / "killed", merged, 1, "killed")
    killed = first.start()
    killed.wait_for(lambda line: '"event": "checkpoint"' in line)
    killed.kill()
    killed.ended()
    begun = max(first.steps())
    assert 0 < begun < STEPS
    shutil.copytree(tmp_path / "killed", tmp_path / "alone")
    resumed = ended(attempt(tmp_path / "killed", merged, 2, "resumed", after="killed"))
    expected = {step: undisturbed.losses[step] for step in range(begun + 1, STEPS + 1)}
    assert resumed.losses == expected, "the same bits on as many processes"

    # On another number of processes dropout falls elsewhere.
    if method != "attention":
        alone = ended(attempt(tmp_path / "alone", merged, 2, "alone", processes=1, after="killed"))
        assert alone.losses.keys() == expected.keys()
        last = min(begun + NEAR, STEPS) if method == "compressed" else STEPS
        near = range(begun + 1, last + 1)
        assert [alone.losses[step] for step in near] == pytest.approx([expected[step] for step in near], abs=1e-5)

    for export in ("Adapter",) if method == "prompts" else EXPORTS:
        exported_as_from_one(tmp_path / "killed", asked(base, method, export), export)


def exported_as_from_one(volume: Path, settings: str, export: str) -> None:
    """The last checkpoint is exported by two processes and by one: the same bits."""
    tensors = []
    for processes in (2, 1):
        copy = volume.parent / f"{export}-of-{processes}"
        shutil.copytree(volume, copy)
        shutil.rmtree(copy / "training-uid" / "exports")
        again = attempt(copy, settings, 3, "again", processes, after="resumed")
        ended(again)
        tensors.append(load_file(again.root / "exports" / str(STEPS) / EXPORTS[export]))
    of_two, of_one = tensors
    assert of_two
    assert of_two.keys() == of_one.keys()
    assert all(torch.equal(of_two[name], of_one[name]) for name in of_two)
