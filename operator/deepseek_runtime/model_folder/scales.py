"""Weights in FP8 with a scale for each block, as DeepSeek publishes V3 and R1: `weight` beside `weight_scale_inv`.

config.json's quantization_config says so (quant_method fp8, fmt e4m3, weight_block_size [128, 128]); the weight is the stored
number times the scale of its block (DeepSeek-V3's README_WEIGHTS.md). Blocks at the ends of a matrix may be smaller.
"""

from collections.abc import Mapping
from dataclasses import dataclass

WEIGHT, SCALES = ".weight", ".weight_scale_inv"
KIND, SCALE_KIND = "F8_E4M3", ("F32", "BF16")


@dataclass(frozen=True)
class Blocks:
    """Rows and columns that share a scale."""

    rows: int
    columns: int


def blocks_of(config: Mapping[str, object]) -> Blocks | None:
    """What a configuration says of its weights; None for plain ones and for every other quantization."""
    match config.get("quantization_config"):
        case {"quant_method": "fp8", "weight_block_size": [int(rows), int(columns)], **more} if (
            rows > 0 and columns > 0
        ):
            return Blocks(rows, columns) if more.get("fmt", "e4m3") == "e4m3" else None
    return None


def what_does_not_fit(kinds: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], blocks: Blocks) -> str | None:
    """What can't be read as such weights, of all files of a folder; None where all can."""
    for name, kind in sorted(kinds.items()):
        beside = f"{name.removesuffix(WEIGHT)}{SCALES}"
        if kind == KIND and not (name.endswith(WEIGHT) and beside in kinds):
            return f"{name} is of FP8 without {SCALES.removeprefix('.')} beside it"
        if kind == KIND and (wanted := _grid(shapes[name], blocks)) != shapes[beside]:
            shape = list(shapes[beside])
            return f"{beside} is of shape {shape}, and {name} has {wanted and list(wanted)} blocks"
        if name.endswith(SCALES) and kinds.get(f"{name.removesuffix(SCALES)}{WEIGHT}") != KIND:
            return f"{name} scales no weight of FP8"
        if name.endswith(SCALES) and kind not in SCALE_KIND:
            return f"{name} is of {kind}"
    return None


def _grid(shape: tuple[int, ...], blocks: Blocks) -> tuple[int, int] | None:
    if len(shape) != 2:
        return None
    return -(-shape[0] // blocks.rows), -(-shape[1] // blocks.columns)
