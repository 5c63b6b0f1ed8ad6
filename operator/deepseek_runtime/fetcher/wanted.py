"""Which files of a source are wanted: by what they are for, and for data by the path that names some of them.

A path names a file, a folder or a pattern, as that of a dataset on a claim does (`trainer.data.files`), so that what the
trainer reads of the folder is what was fetched to it.
"""

import re
from collections.abc import Callable, Sequence

from deepseek_runtime.fetcher.failures import NotThere
from deepseek_runtime.fetcher.listing import File
from deepseek_runtime.fetcher.settings import Settings

OTHER_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf", ".ot", ".tflite", ".mlmodel")
"""Weights in forms that nothing here reads, beside the same ones as safetensors; some of them are programs when they are read."""
WEIGHTS = ".safetensors"
ADAPTER = "adapter_config.json"
RECORDS = (".jsonl", ".ndjson", ".json", ".parquet", ".txt")
"""By which data is told from what else a repository holds (a card, a licence, scripts)."""
_ABOUT = frozenset(("readme", "license", "licence", "notice", "citation", "requirements", "dataset_infos"))
"""Names, without their ends, of what is written about data rather than being it."""
_SHOWN = 5
_PATTERN = re.compile(r"[*?]")


def chosen(files: Sequence[File], settings: Settings) -> list[File]:
    """Those that are wanted. Raises NotThere where there are none that an engine or a trainer could read."""
    match settings.want:
        case "Data":
            return _of_data(files, settings.source.selection, settings.uri)
        case "Adapter":
            return _of_an_adapter(files, settings.uri)
        case "Model":
            return _of_a_model(files, settings.uri)


def _of_a_model(files: Sequence[File], source: str) -> list[File]:
    kept = [file for file in files if not _is_beside_weights(file.path) and not file.path.endswith(OTHER_FORMATS)]
    if not any(file.path.endswith(WEIGHTS) for file in kept):
        raise NotThere(_without_weights(files, source))
    return kept


def _of_an_adapter(files: Sequence[File], source: str) -> list[File]:
    """What lies beside its configuration: folders there hold what its training left."""
    kept = [file for file in files if "/" not in file.path and not file.path.startswith(".")]
    kept = [file for file in kept if not file.path.endswith(OTHER_FORMATS)]
    if not any(file.path == ADAPTER for file in kept):
        raise NotThere(f"{source} has no {ADAPTER}: it is no adapter in peft's form; write a source that holds one")
    if not any(file.path.endswith(WEIGHTS) for file in kept):
        raise NotThere(_without_weights(files, source))
    return kept


def _without_weights(files: Sequence[File], source: str) -> str:
    forms = sorted({end for end in OTHER_FORMATS if any(file.path.endswith(end) for file in files)})
    told = f"its weights are {', '.join(forms)}" if forms else "it holds no weights"
    return f"{source} has no {WEIGHTS} file: {told}; write a source with its weights as safetensors"


def _is_beside_weights(path: str) -> bool:
    """What programs leave beside a model, and the publisher's own form of it: not what engines read."""
    return path.startswith((".", "original/", "metal/", "onnx/")) or "/." in path


def _of_data(files: Sequence[File], selection: str, source: str) -> list[File]:
    is_named = _named(selection)
    kept = [file for file in files if is_named(file.path)]
    if not kept:
        there = sorted(file.path for file in files)
        more = f" and {len(there) - _SHOWN:,} more" if len(there) > _SHOWN else ""
        told = f"there are {', '.join(there[:_SHOWN])}{more}" if there else "it is empty"
        lacks = f"nothing of it is, or lies in, {selection}" if selection else f"it holds no {', '.join(RECORDS)} file"
        raise NotThere(f"{source}: {lacks} ({told}); write the path of a file or a folder of it, or a pattern")
    return kept


def _named(selection: str) -> Callable[[str], bool]:
    """Names that begin with a dot or an underscore are passed over in folders, and by patterns without an underscore."""
    if not selection:
        return lambda path: path.endswith(RECORDS) and not _is_about(path) and not _is_aside(path)
    if not _PATTERN.search(selection):
        below = f"{selection}/"
        return lambda path: path == selection or (path.startswith(below) and not _is_aside(path.removeprefix(below)))
    steps = selection.split("/")
    fixed = next(at for at, step in enumerate(steps) if _PATTERN.search(step))
    base, pattern = "".join(f"{step}/" for step in steps[:fixed]), "/".join(steps[fixed:])
    expression = re.compile(_expression(steps[fixed:]))

    def is_named(path: str) -> bool:
        rest = path.removeprefix(base)
        is_below = path.startswith(base) and expression.fullmatch(rest) is not None
        return is_below and not (_is_aside(rest) and "_" not in pattern)

    return is_named


def _expression(steps: Sequence[str]) -> str:
    """Of the paths that a pattern matches, as `pathlib` has it: `**` is any number of folders, and no file."""
    *folders, name = steps
    if name == "**" or any("**" in step and step != "**" for step in steps):
        return r"(?!)"
    return "".join(r"(?:[^/]+/)*" if step == "**" else f"{_step(step)}/" for step in folders) + _step(name)


def _step(step: str) -> str:
    return re.escape(step).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")


def _is_about(path: str) -> bool:
    return path.rpartition("/")[2].partition(".")[0].lower() in _ABOUT


def _is_aside(path: str) -> bool:
    return any(step.startswith((".", "_")) for step in path.split("/"))
