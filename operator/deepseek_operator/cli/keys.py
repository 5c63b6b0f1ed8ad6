"""API keys for the gateway: made here, told once, and kept by nobody. The cluster gets their SHA-256.

`deepseek_gate` reads what is written here and says in its first lines what the form is; `tests/support/gate.py` holds both.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import yaml

from deepseek_operator.adapters.api_server import ApiServer, path_of
from deepseek_operator.api.base import rfc3339
from deepseek_operator.api.resource import GROUP
from deepseek_operator.core.resources import CONFIG_MAP, Manifest
from deepseek_operator.domain.values.table import aligned

NAME = "deepseek-keys"
"""The ConfigMap that new keys are written to; any other with the label counts as well."""
LABELS = {f"{GROUP}/gate": "keys"}
PREFIX = "sk-ds-"
"""By which scanners for leaked secrets can know a key."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BYTES = 32
_LENGTH = 43
"""Digits of that many bytes in base 62, with zeros in front."""
_CLIENT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_TERM = re.compile(r"([1-9][0-9]{0,5})([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_HEAD: tuple[str, ...] = ("NAME", "SERVINGS", "EXPIRES", "REVISION", "LIMITS", "CONFIGMAP")


@dataclass(frozen=True)
class Wish:
    """What a key shall be: its client's name, the servings (names, models, aliases, or "*"), how long, and for whom alone."""

    client: str
    servings: tuple[str, ...]
    expires: datetime | None
    revision: str | None = None
    limits: str | None = None

    def __post_init__(self) -> None:
        """Raises ValueError: the gate would refuse such an entry."""
        for what, value in (("name", self.client), ("revision", self.revision), ("class of limits", self.limits)):
            if value is not None and _CLIENT.fullmatch(value) is None:
                raise ValueError(f"no {what} {value!r}: write letters, digits, dots, dashes and underscores")
        if self.revision is not None and (len(self.servings) != 1 or "*" in self.servings):
            raise ValueError("--revision pins a key that is for one --serving alone")


def term(text: str) -> timedelta | None:
    """How long `90d`, `12h` or `30m` is; None: `never`. Raises ValueError for other texts."""
    if text == "never":
        return None
    if found := _TERM.fullmatch(text):
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    raise ValueError(f"no time {text!r}: write 90d, 12h, 30m or never")


def new_key() -> str:
    """A key of 256 random bits."""
    number, digits = int.from_bytes(secrets.token_bytes(_BYTES)), ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return PREFIX + digits.rjust(_LENGTH, _DIGITS[0])


def entry(key: str, wish: Wish) -> str:
    """What the ConfigMap keeps of a key."""
    told: dict[str, Any] = {"sha256": hashlib.sha256(key.encode()).hexdigest(), "servings": list(wish.servings)}
    if wish.expires is not None:
        told["expires"] = rfc3339(wish.expires)
    if wish.revision is not None:
        told["revision"] = wish.revision
    if wish.limits is not None:
        told["limits"] = wish.limits
    return json.dumps(told)


def config_map(namespace: str, entries: Mapping[str, str]) -> Manifest:
    """The ConfigMap of these entries."""
    metadata = {"name": NAME, "namespace": namespace, "labels": LABELS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(entries)}


def as_yaml(manifest: Manifest) -> str:
    """For a repository from which it reaches the cluster."""
    return str(yaml.safe_dump(manifest, sort_keys=False, width=1000))


async def add(server: ApiServer, namespace: str, client: str, text: str) -> None:
    """Writes one entry, beside those that are there.

    Raises:
        ValueError: there is a key of that name.
        ClusterError: the API server refuses, or says nothing; Conflict: somebody else wrote at the same time.
    """
    for present in await _all(server, namespace):
        if client in (present.get("data") or {}):
            raise ValueError(f"there is a key {client}: revoke it first, or take another name")
    found = await server.request("get", "GET", path_of(CONFIG_MAP, namespace, NAME), resource=CONFIG_MAP.plural)
    if found is None:
        collection, body = path_of(CONFIG_MAP, namespace), config_map(namespace, {client: text})
        await server.request("create", "POST", collection, resource=CONFIG_MAP.plural, body=body)
        return
    metadata = {"labels": LABELS, "resourceVersion": found["metadata"]["resourceVersion"]}
    await server.merge(CONFIG_MAP, namespace, NAME, {"metadata": metadata, "data": {client: text}})


async def revoke(server: ApiServer, namespace: str, client: str) -> bool:
    """Takes every entry of that name away; False: there was none. Raises ClusterError."""
    holding = [one for one in await _all(server, namespace) if client in (one.get("data") or {})]
    for one in holding:
        await server.merge(CONFIG_MAP, namespace, one["metadata"]["name"], {"data": {client: None}})
    return bool(holding)


async def listing(server: ApiServer, namespace: str, now: datetime) -> str:
    """A table of all keys, without their digests. Raises ClusterError."""
    found = [
        _row(name, text, one["metadata"]["name"], now)
        for one in await _all(server, namespace)
        for name, text in (one.get("data") or {}).items()
    ]
    return "".join(f"{line}\n" for line in aligned([_HEAD, *sorted(found)]))


def _row(name: str, text: str, place: str, now: datetime) -> tuple[str, ...]:
    try:
        told = json.loads(text)
        expires = told.get("expires")
        is_over = expires is not None and datetime.fromisoformat(expires) <= now
        ends = f"{expires} (expired)" if is_over else expires or "never"
        return name, ",".join(told["servings"]), ends, told.get("revision") or "", told.get("limits") or "", place
    except (ValueError, TypeError, KeyError, AttributeError):
        return name, "(can't be read: counts for nothing)", "", "", "", place


async def _all(server: ApiServer, namespace: str) -> list[Manifest]:
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in LABELS.items())}
    found = await server.request("list", "GET", path_of(CONFIG_MAP, namespace), resource="configmaps", query=query)
    return list((found or {}).get("items") or ())
