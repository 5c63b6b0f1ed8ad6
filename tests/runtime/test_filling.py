"""Every process of a training starts with its own share of the weights, the same as one process would have, and holds
little more meanwhile."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer
from tests.runtime.eight_bits import in_fp8
from tests.runtime.families import FAMILIES
from tests.runtime.filled import INNER, LARGE, LAYERS, WIDTH
from tests.runtime.gangs import told_by_processes

READ = ("llama", "qwen2-tied", "qwen3", "deepseek_v2", "deepseek_v3", "deepseek_v3-tied")
MIB = 1 << 20
# Neither these widths nor those of the low ranks are whole blocks of 128; V3's own 576 rows of kv_a_proj are none either.
_WIDE = {"hidden_size": 192, "intermediate_size": 160, "moe_intermediate_size": 144}
IN_BLOCKS = {
    "llama": _WIDE,
    "qwen2-tied": _WIDE,
    "deepseek_v2": {**_WIDE, "kv_lora_rank": 136, "q_lora_rank": 72},
    "deepseek_v3": {**_WIDE, "kv_lora_rank": 136, "q_lora_rank": 200},
}

_PLAIN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(MIB)}
"""Large pieces go back to the kernel when they are let go of. glibc else raises this limit as it goes (mallopt(3)), and the
same process grew by anything from 200 to 310 MiB, by what lay between the holes."""

Told = dict[str, dict[str, float]]

# Of the first test, for which six processes load all models.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Told]]:
    """What gangs of one, two and three processes tell of the same models, by rank."""
    folder = tmp_path_factory.mktemp("filled")
    for family in READ:
        _write(folder / f"model-{family}", {**FAMILIES[family], "vocab_size": BYTE_VOCABULARY})
    # Stored in half of what is held: what was read is a copy.
    _write(folder / "large", {**LARGE, "vocab_size": BYTE_VOCABULARY}, torch.bfloat16)
    in_fp8(folder / "large", folder / "large-fp8", folder / "large-exact")
    for family, fields in IN_BLOCKS.items():
        plain = folder / f"plain-{family}"
        _write(plain, {**FAMILIES[family], **fields, "vocab_size": BYTE_VOCABULARY})
        in_fp8(plain, folder / f"model-fp8-{family}", folder / f"model-exact-{family}", shards=2)
    return {world: told_by_processes("filled", folder, world, **_PLAIN_MEMORY) for world in (1, 2, 3)}


def _write(path: Path, fields: dict[str, object], kind: torch.dtype = torch.float32) -> None:
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields), dtype=kind).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)


def test_the_weights_are_the_same_bits_whatever_the_number_of_processes(told: dict[int, list[Told]]) -> None:
    alone = told[1][0]["digests"]
    assert len(alone) == len(FAMILIES) + len(READ) + 2 * len(IN_BLOCKS)
    # Two families may be one architecture: llama and mistral are. What FP8 stands for is the same as what is in it.
    assert len(set(alone.values())) >= len(alone) - len(IN_BLOCKS) - 1
    for world in (2, 3):
        assert [rank["digests"] for rank in told[world]] == [alone] * world


@pytest.mark.parametrize("family", IN_BLOCKS)
def test_weights_in_fp8_are_what_their_scales_say(told: dict[int, list[Told]], family: str) -> None:
    for ranks in told.values():
        for rank in ranks:
            assert rank["digests"][f"model-fp8-{family}"] == rank["digests"][f"model-exact-{family}"]


@pytest.mark.parametrize("source", ["Custom", "large", "large-fp8"])
def test_a_process_holds_its_share_and_a_layer_more(told: dict[int, list[Told]], source: str) -> None:
    layer = 4 * (4 * WIDTH**2 + 3 * WIDTH * INNER)
    whole = LAYERS * layer
    for rank in told[2]:
        grown = rank["grown"][source]
        print(f"{source}: {grown / MIB:.0f} MiB of {whole / MIB:.0f}")
        # Of a file half as large as what is held, whatever was looked at counts; the kernel takes it back when it wants.
        assert (
            grown
            < whole / 2
            + (whole / 2 if source == "large" else whole / 4 if source == "large-fp8" else 0)
            + 2 * layer
            + 32 * MIB
        )
