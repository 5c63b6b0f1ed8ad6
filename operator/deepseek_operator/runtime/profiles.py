"""An administrator's accelerator profiles: a YAML file, read once at the start. A file that can't be read stops the start.

The form is that of ``domain.profiles.config``: a mapping of profile names, at the top or under ``profiles``.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from deepseek_operator.domain.profiles import BUILT_IN, InvalidProfile, Profiles, profiles_from_config


def profiles_from_file(name: str, built_in: Profiles = BUILT_IN) -> Profiles:
    """The profiles that the operator brings with those of a file added or put in their place.

    Raises:
        ValueError: the file is missing, is no YAML, or holds something that is not understood; names file and field.
    """
    try:
        return profiles_from_text(Path(name).read_text(encoding="utf-8"), built_in)
    except (OSError, ValueError) as error:
        raise ValueError(f"profiles file {name}: {error}") from error


def profiles_from_text(text: str, built_in: Profiles = BUILT_IN) -> Profiles:
    """The same from the file's text. Raises ValueError."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    is_wrapped = isinstance(config, Mapping) and set(config) == {"profiles"}
    return _read(config["profiles"] if is_wrapped else config, built_in)


def _read(config: object, built_in: Profiles) -> Profiles:
    if config is None:
        return built_in
    if not isinstance(config, Mapping):
        raise InvalidProfile("profiles must be a mapping of profile names to profiles")
    return profiles_from_config(config, built_in)
