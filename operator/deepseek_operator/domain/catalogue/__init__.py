"""The open DeepSeek models by name. The data is ``models.toml``; here it becomes values, and is checked once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files

from deepseek_operator.domain.model import Architecture, from_config_json


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
    for model in models():
        if wanted in (model.id.casefold(), *(repository.casefold() for repository in model.hub)):
            return model
    raise UnknownModel(f"no model {name!r}; nearest: {', '.join(_nearest(wanted))}")


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
    unknown = entry.keys() - known - {"context", "stored_gib", "license", "variants"}
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
    return replace(shared, context=context)


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


def _nearest(wanted: str) -> list[str]:
    """The three most alike ids: by the words they share, then by their letters."""
    words = set(wanted.replace("/", "-").split("-"))

    def alike(model: Model) -> tuple[int, float, str]:
        return -len(words & set(model.id.split("-"))), -SequenceMatcher(None, wanted, model.id).ratio(), model.id

    return [model.id for model in sorted(models(), key=alike)[:3]]
