"""What a model folder must hold before a library reads it: a look of milliseconds at names, sizes and headers.

A folder in Hugging Face form arrives by downloads, copies and mounts, each of which has its own way to leave something
else behind: pointers in place of files, a server's page, half a file, links that lead out of the mount, an index of
another download. Libraries answer these with whatever they stumble over, some after minutes, some by random weights.
Here each is named with the file and what to do. Nothing of torch is imported; the tensors themselves are read later.
"""

import json
import os
import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.contract import Invalid

CONFIG = "config.json"
GENERATION = "generation_config.json"
SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"
PICKLED_INDEX = "pytorch_model.bin.index.json"
# Any one of these groups is a tokenizer.
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("tekken.json",))
# What belongs to a model besides weights, configuration and generation settings.
ATTACHED = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.model"),
    *("vocab.json", "merges.txt", "tekken.json", "*.tiktoken", "chat_template.json", "chat_template.jinja"),
    *("additional_chat_templates/*.jinja", "configuration_*.py", "modeling_*.py", "tokenization_*.py"),
    *("LICENSE*", "NOTICE*"),
)
AGAIN = "download the model again (`hf download`) and copy it whole"
BF16 = (
    "trainer and engine here compute with unquantized weights: give the bf16 model"
    " (for FP8, fp8_cast_bf16.py of DeepSeek's repository makes it), or serve this one by engine.type vllm or sglang"
)
# Values of safetensors' `dtype` that stand for numbers of eight bits and fewer with scales beside them.
_SCALED = ("F8_", "F6_", "F4")
# The header is JSON and describes some hundred thousand tensors at most; the format itself allows no more.
_HEADER_LIMIT = 100_000_000
# The largest there are, tokenizer.json of 200,000 entries, have 30 MB.
_JSON_LIMIT = 1 << 29
# The tensors of one expert among several: what comes before its number, the number, what comes after.
_EXPERT = re.compile(r"(.*\.experts\.)(\d+)(\..+)")
# How many names a message holds.
NAMED = 4


@dataclass(frozen=True)
class Header:
    """A safetensors file's own description: type of each tensor by name."""

    kinds: Mapping[str, str]


def check(path: Path) -> None:
    """Raises Invalid for a folder that is no whole, unquantized model in Hugging Face form, saying what to do."""
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise Invalid(f"model folder {path} {what}; name the folder that holds config.json, as the claim has it")
    _check_entries(path)
    config = _config(path)
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "unknown") if isinstance(quantized, Mapping) else "unknown"
        raise Invalid(f"{path / CONFIG} says that the weights are quantized (quant_method {method}); {BF16}")
    _check_weights(path)
    if (path / GENERATION).exists():
        read_json(path / GENERATION)
    _check_tokenizer(path)


def read_json(file: Path) -> dict[str, object]:
    """The object in a JSON file. Raises Invalid with what it is instead."""
    if strange := _strangeness(file):
        raise Invalid(f"{file} {strange}")
    if (size := file.stat().st_size) > _JSON_LIMIT:
        raise Invalid(f"{file} has {size} bytes, more than any model's; {AGAIN}")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file} is no JSON ({' '.join(str(error).split())}); {AGAIN}") from None
    if not isinstance(value, dict):
        raise Invalid(f"{file} holds no JSON object but {type(value).__name__}; {AGAIN}")
    return value


def names(found: "list[str] | set[str]") -> str:
    """The first few names and how many there are."""
    ordered = sorted(found)
    more = f" and {len(ordered) - NAMED} more" if len(ordered) > NAMED else ""
    return f"{', '.join(ordered[:NAMED])}{more}"


def _check_entries(path: Path) -> None:
    """Links must lead to something, everything else be a file or a folder: a pipe would be waited for without end.

    A hub cache's snapshot is a folder of links into ../../blobs, which a claim's subPath does not bring along.
    """
    for entry in sorted([*path.iterdir(), *path.glob("additional_chat_templates/*")]):
        if entry.is_symlink() and not entry.exists():
            raise Invalid(
                f"{entry} is a link to {os.readlink(entry)}, which is not there: it leads out of what is mounted."
                " Copy the files in place of the links (`cp -rL`, or `hf download --local-dir`), or name the folder"
                " that holds both"
            )
        if not entry.is_file() and not entry.is_dir():
            raise Invalid(f"{entry} is no file, but a pipe, a socket or a device; {AGAIN}")


def _config(path: Path) -> Mapping[str, object]:
    file = path / CONFIG
    if not file.exists():
        raise Invalid(f"model folder {path} holds no {CONFIG}{_hint(path)}; name a model in Hugging Face form")
    config = read_json(file)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise Invalid(f"{file} has no model_type, by which its architecture is known; take the model's own {CONFIG}")
    return config


def _hint(path: Path) -> str:
    """What lies there instead."""
    entries = sorted(entry.name for entry in path.iterdir())
    below = [name for name in entries if (path / name / CONFIG).exists()]
    if below:
        return f", but its subfolder {below[0]} does: write that path"
    snapshots = sorted(str(found.parent.relative_to(path)) for found in path.glob(f"snapshots/*/{CONFIG}"))
    if snapshots:
        return f"; it is a hub cache, and the model lies in {snapshots[0]}: write that path"
    if "adapter_config.json" in entries:
        return ": it is an adapter, to be merged into its base model first"
    if any(name.endswith(".gguf") for name in entries):
        return ": GGUF files are another program's form"
    if not entries:
        return ": it is empty, as a path is mounted that the claim does not have"
    return f" but {', '.join(entries[:NAMED])}{' …' if len(entries) > NAMED else ''}"


def _check_weights(path: Path) -> None:
    """One file, or an index and its shards; safetensors before pickles, as transformers looks."""
    if (path / SAFETENSORS).exists():
        header = read_header(path / SAFETENSORS)
        _refuse_scaled(path / SAFETENSORS, header)
        _refuse_gaps(path, header.kinds)
    elif (path / SAFETENSORS_INDEX).exists():
        _check_shards(path, path / SAFETENSORS_INDEX)
    elif (path / PICKLED).exists():
        _refuse_strange(path / PICKLED)
    elif (path / PICKLED_INDEX).exists():
        for shard in sorted(set(_weight_map(path / PICKLED_INDEX).values())):
            _refuse_absent(path / PICKLED_INDEX, path / shard)
            _refuse_strange(path / shard)
    else:
        shards = [entry.name for entry in path.glob("model-*.safetensors")]
        lack = f"but {names(shards)} without {SAFETENSORS_INDEX}" if shards else f"no {SAFETENSORS}"
        raise Invalid(f"model folder {path} holds no weights that are read here: {lack}; {AGAIN}")


def _check_shards(path: Path, index: Path) -> None:
    places = _weight_map(index)
    headers: dict[str, Header] = {}
    for shard in sorted(set(places.values())):
        _refuse_absent(index, path / shard)
        headers[shard] = read_header(path / shard)
        _refuse_scaled(path / shard, headers[shard])
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


def _refuse_scaled(file: Path, header: Header) -> None:
    scaled = [name for name, kind in header.kinds.items() if kind.startswith(_SCALED) or name.endswith("_scale_inv")]
    if scaled:
        what = next((header.kinds[name] for name in scaled if header.kinds[name].startswith(_SCALED)), "FP8")
        raise Invalid(f"{file} holds quantized weights with scales beside them ({what}: {names(scaled)}); {BF16}")


def _refuse_gaps(path: Path, found: Iterable[str]) -> None:
    """Experts of a layer have the same tensors each; one that lacks some could not be put beside the others."""
    parts = [match.groups() for name in found if (match := _EXPERT.fullmatch(name))]
    experts = {(layer, expert) for layer, expert, _ in parts}
    tensors = {(layer, tensor) for layer, _, tensor in parts}
    wanted = {(layer, expert, tensor) for layer, expert in experts for other, tensor in tensors if layer == other}
    if lost := {"".join(part) for part in wanted.difference(parts)}:
        raise Invalid(f"the weights in {path} lack {names(lost)}, which the other experts have; {AGAIN}")


def read_header(file: Path) -> Header:
    """Reads a safetensors file's header and compares it with the file's size. Raises Invalid."""
    _refuse_strange(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _HEADER_LIMIT:
            raise Invalid(f"{file} is no safetensors file: its header would have {length} bytes; {AGAIN}")
        text = stream.read(length)
    if len(text) < length:
        raise Invalid(f"{file} is cut off within its header: it has {size} bytes of at least {8 + length}; {AGAIN}")
    try:
        entries = {name: entry for name, entry in json.loads(text).items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        kinds = {name: str(entry["dtype"]) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise Invalid(f"{file} has a damaged header ({type(error).__name__}: {error}); {AGAIN}") from None
    if size != 8 + length + end:
        what = "is cut off" if size < 8 + length + end else "is longer than it says"
        raise Invalid(f"{file} {what}: it has {size} bytes, its header tells of {8 + length + end}; {AGAIN}")
    return Header(kinds)


def _check_tokenizer(path: Path) -> None:
    if not any(all((path / name).exists() for name in group) for group in TOKENIZERS):
        raise Invalid(
            f"model folder {path} holds no tokenizer (tokenizer.json, or tokenizer.model); copy it from the model that"
            " the weights come from"
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (path / name).exists():
            read_json(path / name)
    for file in _files(path, "tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"):
        _refuse_strange(file)


def _files(path: Path, *wanted: str) -> Iterator[Path]:
    return (path / name for name in wanted if (path / name).exists())


def _refuse_strange(file: Path) -> None:
    if strange := _strangeness(file):
        raise Invalid(f"{file} {strange}")


def _strangeness(file: Path) -> str | None:
    """What else than itself a file is, and what to do; None for one that may be what it is called."""
    if file.is_dir():
        return f"is a folder; {AGAIN}"
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
    except PermissionError:
        return f"is not readable for uid {os.geteuid()}; make it so (`chmod -R a+rX` on the model's folder)"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a Git-LFS pointer, not the file itself; run `git lfs pull` where it was cloned, and copy it again"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"is a web page, not the file itself: a download was answered by a log-in or an error; {AGAIN}"
    return None if start else f"is empty; {AGAIN}"
