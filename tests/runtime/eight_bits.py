"""Models in FP8 as DeepSeek publishes V3, made of plain ones, and beside each the plain one that it stands for."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LARGEST = torch.finfo(torch.float8_e4m3fn).max
# DeepSeek keeps embeddings, head and routers as they are.
PLAIN = ("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight")


def in_fp8(plain: Path, made: Path, exact: Path, blocks: tuple[int, int] = (128, 128), shards: int = 1) -> None:
    """Writes `made`, in FP8, and `exact`, in fp32, of the weights of `plain`; scales lie in another shard than weights."""
    stored: dict[str, torch.Tensor] = {}
    meant: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(plain / "model.safetensors").items():
        if tensor.ndim != 2 or name.endswith(PLAIN):
            stored[name] = meant[name] = tensor
            continue
        numbers, scales = _divided(tensor.float(), blocks)
        stored |= {name: numbers, f"{name}_scale_inv": scales}
        meant[name] = numbers.float() * _spread(scales, blocks)[: tensor.shape[0], : tensor.shape[1]]
    for folder in (made, exact):
        shutil.copytree(plain, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    save_file(meant, exact / "model.safetensors", {"format": "pt"})
    config = json.loads((made / "config.json").read_text())
    told = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": list(blocks)}
    (made / "config.json").write_text(json.dumps({**config, "quantization_config": told}))
    _write(made, stored, shards)


def _write(folder: Path, stored: dict[str, torch.Tensor], shards: int) -> None:
    if shards == 1:
        save_file(stored, folder / "model.safetensors", {"format": "pt"})
        return
    places: dict[str, str] = {}
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        share = {key: stored[key].contiguous() for key in sorted(stored)[number::shards]}
        save_file(share, folder / name, {"format": "pt"})
        places |= dict.fromkeys(share, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _divided(tensor: torch.Tensor, blocks: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Numbers of eight bits, and by what those of each block are multiplied to get the weights again."""
    rows, columns = (-(-size // block) for size, block in zip(tensor.shape, blocks, strict=True))
    scales = torch.empty(rows, columns)
    for row in range(rows):
        for column in range(columns):
            block = tensor[row * blocks[0] : (row + 1) * blocks[0], column * blocks[1] : (column + 1) * blocks[1]]
            scales[row, column] = block.abs().max().clamp(min=1e-12) / LARGEST
    whole = _spread(scales, blocks)[: tensor.shape[0], : tensor.shape[1]]
    return (tensor / whole).to(torch.float8_e4m3fn), scales


def _spread(scales: torch.Tensor, blocks: tuple[int, int]) -> torch.Tensor:
    return torch.kron(scales, torch.ones(blocks))
