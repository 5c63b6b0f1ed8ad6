"""What is known of the model that a resource names or describes: its family and shape, or why the shape is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.domain.catalogue import UnknownModel, find
from deepseek_operator.domain.model import Architecture, UnknownArchitecture, from_config_json


@dataclass(frozen=True)
class Known:
    """One of `architecture` and `unknown` is set; `unknown` is a clause for a person."""

    family: str = ""
    architecture: Architecture | None = None
    unknown: str = ""


def known(name: str | None, custom: Mapping[str, Any] | None) -> Known:
    """The model of a private config.json, which goes first, or of a name in the catalogue."""
    if custom is not None:
        return _read(custom)
    if not name:
        return Known(unknown="no model.name is written")
    try:
        model = find(name)
    except UnknownModel:
        return Known(unknown=f"model.name {name} is not in the catalogue")
    unknown = "" if model.architecture is not None else f"the shape of {model.id} has not been published"
    return Known(model.family, model.architecture, unknown)


def _read(config: Mapping[str, Any]) -> Known:
    try:
        return Known(architecture=from_config_json(config))
    except (UnknownArchitecture, ValueError) as error:
        return Known(unknown=f"model.custom: {error}")
