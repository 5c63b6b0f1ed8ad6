"""Every architecture of the catalogue is trained, killed, resumed, exported, read by plain transformers, and served."""

import stat
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.runtime.families import FAMILIES
from tests.runtime.lives import (
    KILLED_IN,
    PROMPTS,
    STEPS,
    answer_of,
    ids_of,
    killed_and_resumed,
    served,
    served_tokens,
    whole,
)
from tests.runtime.workplace import Workplace, of

# Those that teams start from as weights: untied heads and tied ones, and the latent attention of both generations.
FROM_WEIGHTS = (
    *("deepseek_v2", "deepseek_v3", "deepseek_v3-tied", "llama", "llama-tied"),
    *("qwen2", "qwen2-tied", "qwen3", "qwen3-tied"),
)
LIVES = [
    *(pytest.param(family, False, id=family) for family in FAMILIES),
    *(pytest.param(family, True, id=f"{family} from weights") for family in FROM_WEIGHTS),
]


def settings(workplace: Workplace, family: str, from_weights: bool, precision: str) -> dict[str, object]:
    start: dict[str, object] = {"model.custom": dict(FAMILIES[family])}
    if from_weights:
        start = {"model": {"path": str(workplace.train(start).export())}}
    return {
        **start,
        "datasets": of("few", "others"),
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.precision": precision,
    }


@pytest.mark.parametrize(("family", "from_weights"), LIVES)
async def test_family_lives_from_training_to_serving(
    workplace: Workplace, family: str, from_weights: bool, tmp_path: Path
) -> None:
    # Weights of another type than the computation's are converted as they are read.
    precision = "bf16" if ("-" in family) is not from_weights else "fp32"
    changes = settings(workplace, family, from_weights, precision)
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert 0 < begun < KILLED_IN
    assert killed.losses == undisturbed.losses[: KILLED_IN - 1]
    assert resumed.losses == undisturbed.losses[begun:]

    export = resumed.root / "exports" / str(STEPS)
    trained = {text: answer_of(resumed.network, ids_of(export, text)) for text in PROMPTS}
    reloaded = whole(export)
    assert {text: answer_of(reloaded, ids_of(export, text)) for text in PROMPTS} == trained
    async with served(export) as (model, ask):
        assert {text: served_tokens(model, text) for text in PROMPTS} == trained
        assert {text: await ask(text) for text in PROMPTS} == {
            text: model.tokenizer.decode(ids, skip_special_tokens=True) for text, ids in trained.items()
        }
    numbers = {"BF16", "F32"} if precision == "bf16" else {"F32"}
    assert kinds(export) <= numbers | {"I64"}, "DeepSeek-V4 chooses experts by a table"
    assert any("lm_head" in name or name == "head.weight" for name in tensors(export)) is not family.endswith("-tied")
    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in export.iterdir()} == {"0o644"}


def tensors(export: Path) -> list[str]:
    with safe_open(export / "model.safetensors", "pt") as file:
        return list(file.keys())


def kinds(export: Path) -> set[str]:
    with safe_open(export / "model.safetensors", "pt") as file:
        return {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
