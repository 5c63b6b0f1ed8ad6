"""The open DeepSeek models by name. The data is ``models.toml``; here it becomes values, and is checked once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cache, lru_cache
from importlib.resources import files

from deepseek_operator.domain.models.model import Architecture, CompressedAttention, from_config_json


class UnknownModel(LookupError):
    """No model of that name is in the catalogue; the message lists the nearest names."""


@dataclass(frozen=True)
class Model:
    """One catalogue entry.

    ``architecture`` is None where no config.json has been seen: such a model is listed and not sized.
    ``shape_from`` names the source that lends the shape of another model, None where its own was read.
    ``published_parameters`` is the publisher's total without MTP layers, ``published_with_prediction`` with them.
    """

    id: str
    hub: tuple[str, ...]
    family: str
    source: str
    architecture: Architecture | None = None
    shape_from: str | None = None
    published_parameters: float | None = None
    published_with_prediction: float | None = None
    stored_gib: float | None = None
    license: str | None = None
    variants: Mapping[str, str] = field(default_factory=dict)


@cache
def models() -> tuple[Model, ...]:
    """Return every model of the catalogue, in its order. Pure: the data is part of the package."""
    return read(files(__package__).joinpath("models.toml").read_text(encoding="utf-8"))


def find(name: str) -> Model:
    """Return the model with this id or hub repository, letter case ignored. Raises UnknownModel."""
    wanted = name.casefold()
    if (model := _named().get(wanted)) is not None:
        return model
    raise UnknownModel(f"no model {name!r}; nearest: {', '.join(_nearest(wanted))}")


@cache
def _named() -> Mapping[str, Model]:
    return {name.casefold(): model for model in models() for name in (model.id, *model.hub)}


_SUFFIXES = (
    ("fp8-dynamic", "fp8"), ("fp8", "fp8"), ("nvfp4-v2", "nvfp4"), ("nvfp4", "nvfp4"), ("fp4-v2", "nvfp4"), ("fp4", "nvfp4"),
    ("mxfp4", "mxfp4"), ("gptq-int8", "int8"), ("gptq-8bit", "int8"), ("gptq-int4", "gptq"), ("gptq-4bit", "gptq"),
    ("gptq", "gptq"), ("awq-int4", "awq"), ("awq", "awq"), ("quantized.w8a8", "int8"), ("quantized.w8a16", "int8"),
    ("quantized.w4a16", "gptq"), ("w8a8", "int8"), ("w8a16", "int8"), ("w4a16", "gptq"), ("w4a8", "w4a8"), ("int8", "int8"),
    ("int4", "gptq"), ("bf16", "bf16"), ("fp16", "fp16"), ("unsloth-bnb-4bit", "nf4"), ("bnb-4bit", "nf4"), ("bnb-8bit", "int8"),
)  # fmt: skip
"""Ends of names under which people publish copies of the same shape, and how those store the weights; longest first."""
_FOREIGN = {
    "gguf": "llama.cpp",
    "mlx": "MLX",
    "onnx": "ONNX Runtime",
    "exl2": "ExLlama",
    "exl3": "ExLlama",
    "4bit": "MLX",
}
"""Ends of names of files that neither vLLM nor SGLang reads as the model's own, and the program that does."""


@lru_cache(maxsize=256)
def find_variant(name: str) -> tuple[Model, str | None]:
    """Return the model that a name means, and the format of its weights where the name says one.

    Understood besides ids and repositories: recorded quantized copies, another organisation's copy of the same name,
    and the usual ends (``-AWQ``, ``-FP8``, ``-quantized.w8a8`` …). Raises UnknownModel with the nearest names.
    """
    wanted = name.casefold()
    for model in models():
        for stored_as, repository in model.variants.items():
            if wanted in (repository.casefold(), repository.casefold().rpartition("/")[2]):
                return model, stored_as
    bare = wanted.rpartition("/")[2]
    if (exact := _by_base(wanted, bare)) is not None:
        return exact, None
    for end, stored_as in _SUFFIXES:
        if bare.endswith(f"-{end}") and (base := _by_base("", bare.removesuffix(f"-{end}"))) is not None:
            return base, stored_as
    for end, program in _FOREIGN.items():
        head, found, _ = bare.rpartition(f"-{end}")
        if found and (base := _by_base("", head.removesuffix("-mlx"))) is not None:
            raise UnknownModel(f"{name!r} names files of {program}, which no engine here reads; nearest: {base.id}")
    raise UnknownModel(f"no model {name!r}; nearest: {', '.join(_nearest(wanted))}")


def _by_base(full: str, bare: str) -> Model | None:
    """The model of this id or repository, or of a repository of this name in any organisation."""
    for model in models():
        repositories = [repository.casefold() for repository in model.hub]
        if full in (model.id, *repositories) or bare in (model.id, *(name.rpartition("/")[2] for name in repositories)):
            return model
    return None


def read(text: str) -> tuple[Model, ...]:
    """Read a catalogue in the form of ``models.toml``. Raises ValueError or KeyError naming what is wrong with it."""
    data = tomllib.loads(text)
    shapes = {name: from_config_json(shape) for name, shape in data["shape"].items()}
    found = tuple(_model(entry, shapes) for entry in data["model"])
    names = [name.casefold() for model in found for name in (model.id, *model.hub)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"named twice in the catalogue: {', '.join(twice)}")
    return found


def _model(entry: Mapping[str, object], shapes: Mapping[str, Architecture]) -> Model:
    known = {"id", "hub", "family", "source", "shape", "shape_from", "parameters", "parameters_with_prediction"}
    unknown = entry.keys() - known - {"context", "stored_gib", "license", "variants", "cache_paging"}
    if unknown:
        raise ValueError(f"{entry['id']}: unknown keys {', '.join(sorted(unknown))}")
    shape, hub, variants = entry.get("shape"), entry["hub"], entry.get("variants", {})
    assert isinstance(hub, list)
    assert isinstance(variants, dict)
    return Model(
        id=str(entry["id"]),
        hub=tuple(str(name) for name in hub),
        family=str(entry["family"]),
        source=str(entry["source"]),
        architecture=_shape(shapes[str(shape)], entry) if shape is not None else None,
        shape_from=_text(entry, "shape_from"),
        published_parameters=_billions(entry, "parameters"),
        published_with_prediction=_billions(entry, "parameters_with_prediction"),
        stored_gib=_number(entry, "stored_gib"),
        license=_text(entry, "license"),
        variants=variants,
    )


def _shape(shared: Architecture, entry: Mapping[str, object]) -> Architecture:
    context = entry.get("context", shared.context)
    if not isinstance(context, int) or context < 1:
        raise ValueError(f"{entry['id']}: context must be a positive integer")
    paging, attention = _number(entry, "cache_paging"), shared.attention
    if paging is not None:
        if not isinstance(attention, CompressedAttention):
            raise ValueError(f"{entry['id']}: cache_paging is for compressed attention")
        attention = replace(attention, paging=paging)
    return replace(shared, context=context, attention=attention)


def _text(entry: Mapping[str, object], key: str) -> str | None:
    return str(entry[key]) if key in entry else None


def _number(entry: Mapping[str, object], key: str) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise ValueError(f"{entry['id']}: {key} must be a number")
    return float(value)


def _billions(entry: Mapping[str, object], key: str) -> float | None:
    number = _number(entry, key)
    return None if number is None else number * 1e9


@lru_cache(maxsize=256)
def _nearest(wanted: str) -> tuple[str, ...]:
    """The three most alike ids: by the words they share, then by their letters.

    Kept, because every pass over a resource whose model has another name asks again: half a millisecond.
    """
    words = set(wanted.replace("/", "-").split("-"))

    def alike(model: Model) -> tuple[int, float, str]:
        return -len(words & set(model.id.split("-"))), -SequenceMatcher(None, wanted, model.id).ratio(), model.id

    return tuple(model.id for model in sorted(models(), key=alike)[:3])
