"""Record the names that released frameworks accept, so that command builders can be checked without installing them.

    python -m tests.support.flag_inventory [--only PACKAGE]

downloads each package (no dependencies), reads its Python sources as text and syntax trees, never imports them, and
rewrites ``tests/unit/domain/flag_inventory.json``. What is recorded are facts only: option spellings, field names of
configuration classes, environment variables, metric names and the values of a few options.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

INVENTORY = Path(__file__).parent.parent / "unit" / "domain" / "flag_inventory.json"
FLAG = re.compile(r"--[a-z][a-zA-Z0-9_-]*")
VARIABLE = re.compile(r"(?:VLLM|SGLANG|SGL)_[A-Z0-9_]+")
METRIC = re.compile(r"(?:vllm|sglang):[a-z0-9_]+")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Reading:
    """What to read of one release: path prefixes below the package, by what they give.

    ``options`` are searched for spelled options, ``fields`` for annotated class attributes, ``words`` for every string
    constant (values of an option, keys of a configuration), ``functions`` for what modules offer, ``names`` for
    environment variables and metrics.
    """

    package: str
    version: str
    options: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    python: str = "3.12"
    source: bool = False


def _vllm(version: str) -> Reading:
    return Reading(
        "vllm",
        version,
        options=("vllm/engine/arg_utils", "vllm/entrypoints/"),
        fields=("vllm/engine/arg_utils", "vllm/entrypoints/openai/cli_args", "vllm/entrypoints/common/cli_args"),
        words=(
            "vllm/tool_parsers/__init__",
            "vllm/reasoning/__init__",
            "vllm/config/model.py",
            "vllm/config/cache",
            "vllm/config/kernel",
            "vllm/model_executor/layers/quantization/__init__",
        ),
        names=("vllm/envs", "vllm/v1/metrics/"),
    )


def _sglang(version: str) -> Reading:
    return Reading(
        "sglang",
        version,
        options=("sglang/srt/server_args", "sglang/srt/arg_groups/"),
        fields=("sglang/srt/server_args", "sglang/srt/arg_groups/fields/"),
        words=(
            "sglang/srt/server_args.py",
            "sglang/srt/arg_groups/fields/",
            "sglang/srt/arg_groups/choices",
            "sglang/srt/parser/reasoning_parser",
            "sglang/srt/function_call/function_call_parser",
        ),
        names=(
            "sglang/srt/environ",
            "sglang/srt/entrypoints/http_server",
            "sglang/srt/managers/tokenizer_manager",
            "sglang/srt/observability/",
            "sglang/srt/metrics/",
            "sglang/srt/utils/common",
        ),
        python="3.11",
    )


READINGS = (
    *(_vllm(version) for version in ("0.18.0", "0.20.0", "0.25.0", "0.33.0")),
    *(_sglang(version) for version in ("0.5.13", "0.5.23")),
    Reading(
        "torchtitan",
        "0.3.0",
        options=("torchtitan/config/manager",),
        fields=("torchtitan/config/configs", "torchtitan/components/", "torchtitan/trainer", "torchtitan/hf_datasets/"),
        attributes=("torchtitan/trainer",),
        functions=(
            "torchtitan/models/deepseek_v3/config_registry",
            "torchtitan/components/optimizer/",
            "torchtitan/tools/logging",
            "torchtitan/trainer",
            "torchtitan/hf_datasets/",
            "torchtitan/distributed/activation_checkpoint",
        ),
    ),
    Reading(
        "megatron-bridge",
        "0.6.2",
        fields=("megatron/bridge/training/config", "megatron/bridge/peft/lora"),
        functions=(
            "megatron/bridge/recipes/deepseek/",
            "megatron/bridge/training/pretrain",
            "megatron/bridge/training/finetune",
            "megatron/bridge/training/gpt_step",
            "megatron/bridge/models/deepseek/",
        ),
        attributes=("megatron/bridge/recipes/deepseek/", "megatron/bridge/recipes/common"),
    ),
    Reading(
        "megatron-core",
        "0.19.2",
        fields=(
            "megatron/training/config/",
            "megatron/core/transformer/transformer_config",
            "megatron/core/model_parallel_config",
            "megatron/core/optimizer/optimizer_config",
            "megatron/core/datasets/",
        ),
    ),
    Reading(
        "llamafactory",
        "0.9.5",
        fields=("llamafactory/hparams/",),
        words=("llamafactory/launcher", "llamafactory/data/template", "llamafactory/hparams/finetuning_args"),
    ),
    Reading("torch", "2.13.0", options=("torch/distributed/run.py",), python="3.11"),
    Reading("transformers", "5.23.0", fields=("transformers/training_args.py",)),
    Reading(
        "ms-swift",
        "4.6.0",
        options=("swift/cli/",),
        fields=("swift/arguments/", "swift/megatron/arguments/", "swift/trainers/arguments"),
        words=("swift/cli/main", "swift/megatron/arguments/", "swift/arguments/tuner_args"),
    ),
    Reading(
        "deepspeed",
        "0.19.8",
        fields=("deepspeed/runtime/zero/", "deepspeed/runtime/config", "deepspeed/runtime/config_utils"),
        words=(
            "deepspeed/runtime/constants",
            "deepspeed/runtime/config.py",
            "deepspeed/runtime/precision_config",
            "deepspeed/runtime/zero/config",
            "deepspeed/__init__",
        ),
        source=True,
    ),
)
UNAVAILABLE = {
    "tensorrt-llm": "the Python index carries only a stub that fetches the wheel elsewhere; names are from its manual",
    "tritonserver": "released as container images only; names are from its manual",
}
"""Packages whose names could not be recorded, and why: tests must not claim them checked."""


@dataclass
class Names:
    """Names found in one release, by what they are."""

    options: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    environment: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)


def strings(tree: ast.AST) -> Iterator[str]:
    """Every string constant of a syntax tree."""
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def annotated(tree: ast.AST) -> Iterator[str]:
    """Annotated attributes of every class, nested ones included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (
                item.target.id
                for item in node.body
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
            )


def importable(tree: ast.Module) -> Iterator[str]:
    """Names that other modules can import: what is defined at the top, and what is imported there by name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def read(reading: Reading, sources: Iterator[tuple[str, str]]) -> Names:
    """Collect the names of one release from its ``(path, text)`` pairs."""
    found = Names()
    for path, text in sources:
        wanted = {
            kind
            for kind in ("options", "fields", "words", "functions", "attributes", "names")
            if path.startswith(getattr(reading, kind))
        }
        if not wanted:
            continue
        tree = ast.parse(text)
        if "options" in wanted:
            found.options |= {value for value in strings(tree) if FLAG.fullmatch(value)}
        if "fields" in wanted:
            found.fields |= set(annotated(tree))
        if "words" in wanted:
            found.words |= {value for value in strings(tree) if NAME.fullmatch(value) and len(value) < 60}
        if "functions" in wanted:
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found.functions |= {f"{module}:{name}" for name in importable(tree)}
        if "attributes" in wanted:
            found.attributes |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if "names" in wanted:
            found.environment |= set(VARIABLE.findall(text))
            found.metrics |= set(METRIC.findall(text))
    return found


def download(reading: Reading, folder: Path) -> Path:
    """Fetch one release with pip and return the archive, or the unpacked source tree of a source release."""
    spec = f"{reading.package}=={reading.version}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", str(folder)]
    if reading.source:
        # pip insists on the metadata of a source release, which needs the package's own imports; the unpacked tree
        # that it leaves behind is all that is wanted.
        temporary = folder / "unpacked"
        temporary.mkdir()
        subprocess.run(
            [*pip, "--no-clean", "--no-build-isolation", spec],
            env={"TMPDIR": str(temporary), "PATH": "/usr/bin:/bin"},
            check=False,
        )
        return next(path.parent for path in temporary.rglob("setup.py"))
    subprocess.run([*pip, "--only-binary", ":all:", "--python-version", reading.python, spec], check=True)
    return next(folder.glob("*.whl"))


def sources(archive: Path) -> Iterator[tuple[str, str]]:
    """``(path, text)`` of the Python files in a wheel, a source archive or a folder."""
    if archive.is_dir():
        for file in sorted(archive.rglob("*.py")):
            yield str(file.relative_to(archive)), file.read_text(errors="replace")
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in sorted(wheel.namelist()):
                if name.endswith(".py"):
                    yield name, wheel.read(name).decode(errors="replace")
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.name.endswith(".py") else None
                if stream is not None:
                    yield member.name.partition("/")[2], stream.read().decode(errors="replace")


def document(found: Names) -> dict[str, str]:
    """One release as JSON: each sort of name on one line, separated by spaces."""
    return {kind: " ".join(sorted(values)) for kind, values in vars(found).items() if values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="record this package alone, keep the rest")
    parser.add_argument("--unpacked", type=Path, help="folder of already unpacked releases, PACKAGE/VERSION")
    chosen = parser.parse_args()
    recorded = json.loads(INVENTORY.read_text())["releases"] if INVENTORY.exists() else {}
    for reading in READINGS:
        if chosen.only not in (None, reading.package):
            continue
        with tempfile.TemporaryDirectory() as folder:
            unpacked = chosen.unpacked and chosen.unpacked / reading.package.replace("-", "_") / reading.version
            archive = unpacked if unpacked and unpacked.exists() else download(reading, Path(folder))
            recorded.setdefault(reading.package, {})[reading.version] = document(read(reading, sources(archive)))
        print(
            reading.package,
            reading.version,
            {k: v.count(" ") + 1 for k, v in recorded[reading.package][reading.version].items()},
        )
    INVENTORY.write_text(
        json.dumps({"releases": recorded, "unavailable": UNAVAILABLE}, indent=1, sort_keys=True) + "\n"
    )


if __name__ == "__main__":
    main()
