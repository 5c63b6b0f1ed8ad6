"""An administrator's accelerator profiles: a YAML file, read once at the start. A file that can't be read stops the start.

The form is that of ``domain.profiles.config``: a mapping of profile names, at the top or under ``profiles``. Beside that,
``hostAccess`` maps namespaces to the profiles whose pods may reach their node there, as the chart's value of that name, and
``sources`` has in ``web.allowed`` the addresses that sources may be fetched from.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from deepseek_operator.core.host_access import ALL, NOWHERE, HostAccess
from deepseek_operator.core.web_access import NOWHERE as NO_ADDRESS
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.domain.devices.profiles import (
    BUILT_IN,
    InvalidProfile,
    Profiles,
    UnknownProfile,
    profiles_from_config,
)

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Offer:
    """What resources may name: the profiles, where those that reach nodes may be named, and addresses to fetch sources from."""

    profiles: Profiles = BUILT_IN
    host_access: HostAccess = NOWHERE
    web: WebAccess = NO_ADDRESS


def profiles_from_file(name: str, built_in: Profiles = BUILT_IN) -> Offer:
    """The profiles that the operator brings with those of a file added or put in their place.

    Raises:
        ValueError: the file is missing, is no YAML, or holds something that is not understood; names file and field.
    """
    try:
        return profiles_from_text(Path(name).read_text(encoding="utf-8"), built_in)
    except (OSError, ValueError) as error:
        raise ValueError(f"profiles file {name}: {error}") from error


def profiles_from_text(text: str, built_in: Profiles = BUILT_IN) -> Offer:
    """The same from the file's text. Raises ValueError."""
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    is_wrapped = isinstance(config, Mapping) and config and set(config) <= {"profiles", "hostAccess", "sources"}
    profiles = _read(config.get("profiles") if is_wrapped else config, built_in)
    if not is_wrapped:
        return Offer(profiles)
    return Offer(profiles, _host_access(config.get("hostAccess"), profiles), _web(config.get("sources")))


def _read(config: object, built_in: Profiles) -> Profiles:
    if config is None:
        return built_in
    if not isinstance(config, Mapping):
        raise InvalidProfile("profiles must be a mapping of profile names to profiles")
    return profiles_from_config(config, built_in)


def _host_access(config: object, profiles: Profiles) -> HostAccess:
    if config is None:
        return NOWHERE
    if not isinstance(config, Mapping):
        raise InvalidProfile("hostAccess must be a mapping of namespaces to lists of profile names")
    return HostAccess({_namespace(place): _names(place, names, profiles) for place, names in config.items()})


def _web(config: object) -> WebAccess:
    """Of the chart's value `sources` what says where resources may be fetched from; how the rest is reached is nothing to them."""
    if config is None:
        return NO_ADDRESS
    web = config.get("web") if isinstance(config, Mapping) else config
    allowed = web.get("allowed") if isinstance(web, Mapping) else web
    if not isinstance(allowed, list) or not all(isinstance(one, str) for one in allowed):
        raise InvalidProfile(
            "sources.web.allowed must be a list of addresses, for example [https://artifacts.example.org/models]"
        )
    try:
        return WebAccess.of(allowed)
    except ValueError as error:
        raise InvalidProfile(f"sources.web.allowed: {error}") from None


def _namespace(place: object) -> str:
    if place == ALL or (isinstance(place, str) and _NAMESPACE.fullmatch(place)):
        return str(place)
    raise InvalidProfile(f"hostAccess.{place} is no namespace; write its name, or {ALL!r} for all")


def _names(place: object, names: object, profiles: Profiles) -> frozenset[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidProfile(f"hostAccess.{place} must be a list of profile names, or [{ALL!r}] for all")
    try:
        return frozenset(name if name == ALL else profiles.resolve(name).name for name in names)
    except UnknownProfile as error:
        raise InvalidProfile(f"hostAccess.{place}: {error}") from None
