"""API keys as ConfigMaps hold them: their hashes, and what each may. A plain key is never kept, nor told to anybody."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

import orjson

ALL = "*"
"""In the place of a serving: every one of the namespace."""
_FIELDS = frozenset({"sha256", "servings", "expires", "revision", "limits"})
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
"""Of clients, revisions and classes of limits: each becomes the value of a header, and of a metric or a rate limit."""


@dataclass(frozen=True)
class Key:
    """What one key may.

    Attributes:
        client: its name, which the backend, the log of the gateway and its rate limits know.
        servings: names of servings, models or aliases; `ALL` among them: all of the namespace.
        expires: from then on it is worth nothing; None: it never ends.
        revision: the one revision that answers it; None: whichever the gateway chooses.
        limits: class of limits; None: that of everybody.
    """

    client: str
    servings: frozenset[str]
    expires: datetime | None = None
    revision: str | None = None
    limits: str | None = None


def digest_of(key: str) -> str:
    """SHA-256 of a key. Looked up by it, a key is compared in constant time: who guesses learns nothing from near misses."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def key_of(client: str, text: str) -> tuple[str, Key]:
    """Digest and rights of one entry.

    Raises:
        ValueError: the entry can't be believed as a whole. Tells the field and never a value, which may be a plain key.
    """
    try:
        entry = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError("is no JSON") from None
    if not isinstance(entry, dict):
        raise ValueError("is no JSON object")
    if set(entry) - _FIELDS:
        raise ValueError(f"has a field that is none of {', '.join(sorted(_FIELDS))}")
    digest = _text(entry, "sha256", _DIGEST)
    if digest is None:
        raise ValueError("has no sha256")
    key = Key(_client(client), _servings(entry), _expiry(entry), _text(entry, "revision"), _text(entry, "limits"))
    if key.revision is not None and (len(key.servings) != 1 or ALL in key.servings):
        raise ValueError("has a revision, and not exactly one serving that this could be of")
    return digest, key


def _client(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise ValueError("has a name that no client can have")
    return name


def _text(entry: Mapping[str, object], field: str, form: re.Pattern[str] = _NAME) -> str | None:
    value = entry.get(field)
    if value is None:
        return None
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise ValueError(f"has a {field} of another form")
    return value


def _servings(entry: Mapping[str, object]) -> frozenset[str]:
    value = entry.get("servings")
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f'has no list of servings ("{ALL}" for all)')
    return frozenset(value)


def _expiry(entry: Mapping[str, object]) -> datetime | None:
    value = entry.get("expires")
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("has an expires that is no moment with its zone, such as 2027-02-24T00:00:00Z")
    return moment
