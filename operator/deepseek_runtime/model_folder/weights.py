"""Whether the weights of a model folder are all there, and plain or in FP8 blocks: names, sizes and headers tell."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import read_json, refuse_strange
from deepseek_runtime.model_folder.header import Header, read_header
from deepseek_runtime.model_folder.parts import (
    AGAIN,
    BF16,
    CONFIG,
    PICKLED,
    PICKLED_INDEX,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    names,
)
from deepseek_runtime.model_folder.scales import KIND, Blocks, what_does_not_fit

# Values of safetensors' `dtype` that stand for numbers of eight bits and fewer with scales beside them.
_SCALED = ("F8_", "F6_", "F4")
# The tensors of one expert among several: what comes before its number, the number, what comes after.
_EXPERT = re.compile(r"(.*\.experts\.)(\d+)(\..+)")


def check_weights(path: Path, blocks: Blocks | None = None) -> None:
    """One file, or an index and its shards; safetensors before pickles, as transformers looks.

    `blocks` are those that config.json tells of, which share a scale.
    """
    if (path / SAFETENSORS).exists():
        header = read_header(path / SAFETENSORS)
        _refuse_scaled(path, {path / SAFETENSORS: header}, blocks)
        _refuse_gaps(path, header.kinds)
    elif (path / SAFETENSORS_INDEX).exists():
        _check_shards(path, path / SAFETENSORS_INDEX, blocks)
    elif blocks is not None:
        raise Invalid(f"{path / CONFIG} tells of FP8, which is read of safetensors alone, and there are none; {AGAIN}")
    elif (path / PICKLED).exists():
        refuse_strange(path / PICKLED)
    elif (path / PICKLED_INDEX).exists():
        for shard in sorted(set(_weight_map(path / PICKLED_INDEX).values())):
            _refuse_absent(path / PICKLED_INDEX, path / shard)
            refuse_strange(path / shard)
    else:
        shards = [entry.name for entry in path.glob("model-*.safetensors")]
        lack = f"but {names(shards)} without {SAFETENSORS_INDEX}" if shards else f"no {SAFETENSORS}"
        raise Invalid(f"model folder {path} holds no weights that are read here: {lack}; {AGAIN}")


def weight_files(path: Path) -> list[Path]:
    """The files that a checked folder's weights are read from, an index before its shards."""
    for whole, index in ((SAFETENSORS, SAFETENSORS_INDEX), (PICKLED, PICKLED_INDEX)):
        if (path / whole).exists():
            return [path / whole]
        if (path / index).exists():
            return [path / index, *(path / shard for shard in sorted(set(_weight_map(path / index).values())))]
    return []


def _check_shards(path: Path, index: Path, blocks: Blocks | None) -> None:
    places = _weight_map(index)
    headers: dict[str, Header] = {}
    for shard in sorted(set(places.values())):
        _refuse_absent(index, path / shard)
        headers[shard] = read_header(path / shard)
    _refuse_scaled(path, {path / shard: header for shard, header in headers.items()}, blocks)
    lost = [name for name, shard in places.items() if name not in headers[shard].kinds]
    if lost:
        shard = places[sorted(lost)[0]]
        raise Invalid(f"{index} is of other files than lie beside it: {path / shard} lacks {names(lost)}; {AGAIN}")
    _refuse_gaps(path, places)


def _weight_map(index: Path) -> dict[str, str]:
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(shard, str) for shard in places.values()):
        raise Invalid(f"{index} has no weight_map of tensors to files; {AGAIN}")
    for shard in set(places.values()):
        if os.path.basename(shard) != shard:
            raise Invalid(f"{index} names the file {shard!r} outside of its folder; {AGAIN}")
    return places


def _refuse_absent(index: Path, shard: Path) -> None:
    if not shard.exists():
        raise Invalid(f"{shard} is missing, {index.name} names it: not all of the model was copied; {AGAIN}")


def _refuse_scaled(path: Path, headers: Mapping[Path, Header], blocks: Blocks | None) -> None:
    """A weight's scales may lie in another file than it does."""
    for file, header in headers.items():
        strange = [name for name, kind in header.kinds.items() if _is_scaled(name, kind) and not _is_read(kind, blocks)]
        if strange:
            what = next((header.kinds[name] for name in strange if header.kinds[name].startswith(_SCALED)), "FP8")
            raise Invalid(f"{file} holds quantized weights with scales beside them ({what}: {names(strange)}); {BF16}")
    if blocks is not None:
        kinds = {name: kind for header in headers.values() for name, kind in header.kinds.items()}
        shapes = {name: shape for header in headers.values() for name, shape in header.shapes.items()}
        if (problem := what_does_not_fit(kinds, shapes, blocks)) is not None:
            raise Invalid(f"the FP8 weights in {path} can't be read by blocks of {blocks.rows} × {blocks.columns}:"
                          f" {problem}; {AGAIN}, or give the bf16 model")  # fmt: skip


def _is_scaled(name: str, kind: str) -> bool:
    return kind.startswith(_SCALED) or name.endswith("_scale_inv")


def _is_read(kind: str, blocks: Blocks | None) -> bool:
    return blocks is not None and (kind == KIND or not kind.startswith(_SCALED))


def _refuse_gaps(path: Path, found: Iterable[str]) -> None:
    """Experts of a layer have the same tensors each; one that lacks some could not be put beside the others."""
    parts = [match.groups() for name in found if (match := _EXPERT.fullmatch(name))]
    experts = {(layer, expert) for layer, expert, _ in parts}
    tensors = {(layer, tensor) for layer, _, tensor in parts}
    wanted = {(layer, expert, tensor) for layer, expert in experts for other, tensor in tensors if layer == other}
    if lost := {"".join(part) for part in wanted.difference(parts)}:
        raise Invalid(f"the weights in {path} lack {names(lost)}, which the other experts have; {AGAIN}")
