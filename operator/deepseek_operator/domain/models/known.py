"""What is known of the model that a resource names or describes: its family and shape, or why the shape is not known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepseek_operator.domain.models.catalogue import UnknownModel, find_variant
from deepseek_operator.domain.models.model import Architecture, UnknownArchitecture, from_config_json


@dataclass(frozen=True)
class Known:
    """One of `architecture` and `unknown` is set; `unknown` is a clause for a person.

    `stored_as` is the format of the weights that the name itself says, as `…-awq` does.
    """

    family: str = ""
    stored_as: str | None = None
    architecture: Architecture | None = None
    unknown: str = ""


def known(name: str | None, custom: Mapping[str, Any] | None, stored_as: str | None = None) -> Known:
    """The model of a private config.json, which goes first, or of a name in the catalogue.

    `stored_as` is the format of the weights that the user names.
    """
    if custom is not None:
        return _read(custom, stored_as)
    if not name:
        return Known(unknown="no model.name is written")
    try:
        model, said = find_variant(name)
    except UnknownModel as error:
        return Known(unknown=f"model.name {name} is not in the catalogue ({error})")
    unknown = "" if model.architecture is not None else f"the shape of {model.id} has not been published"
    return Known(model.family, said, model.architecture, unknown)


def _read(config: Mapping[str, Any], stored_as: str | None) -> Known:
    try:
        return Known(architecture=from_config_json(config, stored_as))
    except (UnknownArchitecture, ValueError) as error:
        return Known(unknown=f"model.custom: {error}")
