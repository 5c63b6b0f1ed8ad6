"""An edit of the gang's size mid-run: another attempt where the trainer can go on, refused with words where it can't."""

from typing import Any

import pytest

from tests.support.trainings import Life, claim

PROFILE = {"accelerator": {"profile": "a100-80", "perNode": 8}}
MODEL = {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/m"}}
SAVED = {"formatVersion": 1, "state": "Training", "step": 12, "maxSteps": 20, "latest": {"step": 10}}


def begun(trainer: str, *, says: Any = SAVED, **changes: Any) -> Life:
    """Two nodes that have saved step 10."""
    life = Life()
    life.cluster.put(claim("models"))
    program = {"command": ["/app/train.py"]} if trainer in ("deepspeed", "custom") else {}
    image = {"image": "trainer:1"} if trainer != "builtin" else {}
    spec: dict[str, Any] = {
        "model": MODEL,
        "trainer": {"type": trainer, **image, **program},
        "checkpoints": {"everySteps": 10},
        "datasets": [{"source": {"uri": "pvc://models/data.jsonl"}, "format": "Messages"}],
        "hyperparameters": {"maxSteps": 20, "globalBatchSize": 192, "precision": "bf16"},
        "nodes": {"count": 2},
        **PROFILE,
        **changes,
    }
    life.begin(**spec).running()
    assert life.told == ("Ready", "Running"), life.owner.status.conditions
    life.operator.progress.answers[life.pod(0)["metadata"]["name"]] = says
    return life.later(30)


def resized(life: Life, nodes: int) -> Life:
    return life.edit(lambda spec: spec.update(nodes={"count": nodes}))


@pytest.mark.parametrize("trainer", ["llama-factory", "ms-swift", "deepspeed"])
def test_one_whose_parts_only_as_many_put_together_is_not_stopped_for_another_number(trainer: str) -> None:
    life = resized(begun(trainer), 3)
    assert life.told == ("Stalled", "Unsupported")
    (told,) = {one.message for one in life.owner.status.conditions if one.type == "Stalled"}
    assert "the checkpoint of step 10 was saved by 16 processes" in told
    assert "write nodes.count × accelerator.perNode = 16 as before" in told
    attempt = life.owner.status.attempt
    assert attempt is not None
    assert (attempt.number, attempt.stopping) == (1, None)
    assert resized(life, 2).told == ("Ready", "Running")


@pytest.mark.parametrize("trainer", ["builtin", "custom"])
def test_one_that_goes_on_with_any_number_does(trainer: str) -> None:
    life = resized(begun(trainer), 3).gone()
    attempt = life.owner.status.attempt
    assert attempt is not None
    assert (attempt.number, life.owner.status.restarts) == (2, 0)


def test_megatron_puts_them_together_for_any_number() -> None:
    """ms-swift drives it for a model that is wide."""
    life = resized(begun("ms-swift", model={**MODEL, "name": "deepseek-r1-distill-llama-70b"}), 3).gone()
    assert life.owner.status.attempt is not None
    assert life.owner.status.attempt.number == 2


@pytest.mark.parametrize("trainer", ["llama-factory", "deepspeed"])
def test_where_nothing_was_saved_any_number_begins(trainer: str) -> None:
    life = resized(begun(trainer, says={**SAVED, "latest": None}), 3).gone()
    attempt = life.owner.status.attempt
    assert attempt is not None
    assert attempt.number == 2


def test_an_attempt_of_an_earlier_release_says_nothing_of_it() -> None:
    life = begun("llama-factory")
    life.cluster.edit(
        life.key.resource, "team", "t", lambda live: live["status"]["record"]["attempt"].pop("boundRanks")
    )
    life = resized(life, 3).gone()
    assert life.owner.status.attempt is not None
    assert life.owner.status.attempt.number == 2
