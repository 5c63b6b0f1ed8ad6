"""Gradients that travel smaller: PowerSGD of adapters, told and counted; 1-bit Adam, written into DeepSpeed's file."""

import json
from typing import Any

import pytest

from deepseek_operator.adapters.admission import Admitted, admit
from deepseek_operator.core.resources import JOB
from deepseek_operator.kinds.registry import KINDS
from tests.support.api_objects import minimal_training
from tests.support.trainings import Life, claim

WEIGHTS = {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/m"}}
LORA = {"type": "LoRA", "lora": {"rank": 64, "export": "Adapter"}}
POWER = {"type": "PowerSGD", "rank": 4}
ONE_BIT = {"type": "OneBitAdam", "freezeSteps": 20}
DEEPSPEED = {"type": "deepspeed", "image": "team/ds:1", "command": ["/app/train.py"]}


def begun(compression: dict[str, Any] | None, **spec: Any) -> Life:
    life = Life()
    life.cluster.put(claim("models"))
    hyper = {"maxSteps": 100, "precision": "fp32", **({"gradientCompression": compression} if compression else {})}
    return life.begin(**{"model": WEIGHTS, "nodes": {"count": 1}, "hyperparameters": hyper, **spec})


def deepspeed_file(life: Life) -> Any:
    (job,) = life.cluster.all(JOB)
    (first,) = job["spec"]["template"]["spec"]["initContainers"]
    text = next(variable["value"] for variable in first["env"] if variable["name"] == "DEEPSEEK_FILES")
    return json.loads(json.loads(text.replace("$$", "$"))["deepspeed.json"])


def test_the_built_in_trainer_is_told_the_columns() -> None:
    life = begun(POWER, method=LORA)
    hyper = json.loads(life.environment()["DEEPSEEK_TRAINING_SPEC"])["hyperparameters"]
    assert hyper["gradientCompression"] == POWER


def test_sizing_counts_what_every_device_then_holds_whole() -> None:
    needed = []
    for compression in (None, POWER):
        life = begun(compression, method=LORA, accelerator={"profile": "nvidia-h100-80", "perNode": 8})
        assert life.owner.status.plan is not None
        assert life.owner.status.plan.memory is not None
        needed.append(float(life.owner.status.plan.memory.needed.split()[0]))
    assert needed[1] > needed[0] + 0.3, "28 bytes of each of 28 layers' adapters instead of 2"


@pytest.mark.parametrize("accelerator", [None, {"profile": "nvidia-h200-141", "perNode": 8}], ids=["CPUs", "devices"])
def test_deepspeed_gets_its_one_bit_adam_without_zero(accelerator: dict[str, Any] | None) -> None:
    placed = {"accelerator": accelerator} if accelerator is not None else {}
    file = deepspeed_file(
        begun(ONE_BIT, trainer=DEEPSPEED, datasets=[{"source": {"uri": "pvc://models/a.jsonl"}}], **placed)
    )
    assert file["optimizer"] == {
        "type": "OneBitAdam",
        "params": {
            "lr": 1e-5,
            "weight_decay": 0.0,
            "freeze_step": 20,
            "cuda_aware": False,
            "comm_backend_name": "nccl",
        },
    }
    assert file["zero_optimization"]["stage"] == 0
    assert file["bf16"] == {"enabled": False}


@pytest.mark.parametrize(
    ("compression", "changes", "words"),
    [
        (POWER, {}, "is of the built-in trainer with method LoRA"),
        (POWER, {"trainer": DEEPSPEED, "method": LORA}, "is of the built-in trainer with method LoRA"),
        (POWER, {"method": {"type": "PromptTuning"}}, "is of the built-in trainer with method LoRA"),
        ({"type": "PowerSGD", "rank": 32}, {"method": LORA}, "below half of method.lora.rank"),
        ({"type": "PowerSGD", "rank": 8}, {"method": {"type": "LoRA"}}, "below half of method.lora.rank"),
        ({"type": "PowerSGD", "freezeSteps": 5}, {"method": LORA}, "freezeSteps is of type OneBitAdam"),
        ({"type": "OneBitAdam"}, {"trainer": DEEPSPEED}, "write there after how many steps"),
        ({**ONE_BIT, "rank": 2}, {"trainer": DEEPSPEED}, "rank is of type PowerSGD"),
        (ONE_BIT, {}, "write trainer.type deepspeed"),
        (ONE_BIT, {"trainer": {"type": "llama-factory"}, "method": LORA}, "write trainer.type deepspeed"),
        (ONE_BIT, {"trainer": DEEPSPEED, "precision": "bf16"}, "hyperparameters.precision fp32"),
        ({"type": "TopK"}, {"method": LORA}, "PowerSGD"),
    ],
)
def test_what_does_not_go_together_is_refused_at_the_door(
    compression: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    manifest = minimal_training()
    changes = dict(changes)
    hyper = {"maxSteps": 100, "precision": changes.pop("precision", "fp32"), "gradientCompression": compression}
    manifest["spec"] |= {"model": WEIGHTS, "hyperparameters": hyper, **changes}
    found = admit(manifest, KINDS.definitions)
    assert not isinstance(found, Admitted)
    assert words in str(found)
