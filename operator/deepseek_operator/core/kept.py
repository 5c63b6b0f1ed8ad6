"""What is kept of an object that was read: the part that is used, and no more than a bounded piece of it.

Whoever may write an object decides how deep and how large it is: what walks through it later (parsing, digests, JSON)
is never given more than this. The walk ends where the bound is passed, so it costs no more for a larger object, and
the object is told by the field that most of it lies in.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deepseek_operator.core.resources import GROUP, Manifest, Resource

DEEPEST = 24
"""Levels below the object. Pods have 10, and a definition of ours lets no field in that makes it 12."""
MOST_VALUES = 10_000
"""Values of any type. The largest training that the schema lets in has 4,000 beside `model.custom`."""
MOST_TEXT = 512 * 1024
"""Characters of all keys and texts. What pods get by argument and environment is a quarter of it at most."""
_EXCESS = "x-excess"
"""Field of an object that was walked through while it was read: why it is not all there, or None. The API server lets
none of that name into an object."""
_NEVER_READ = frozenset({"managedFields", "selfLink"})
_WITHOUT_END = frozenset({"labels", "annotations", "finalizers", "ownerReferences"})
"""Of metadata, what a user makes as large as they like: taken last, for without a name and a uid it is no object."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LONGEST_NAME = 256
_PLAIN = frozenset({int, float, bool})
_FIELD_LEVELS, _METADATA_LEVELS = 3, 2
"""Levels by which a field is named: spec.model.custom, metadata.labels."""


class TooLarge(ValueError):
    """An object has more than is looked at; the message names the field."""


def kept(resource: Resource, manifest: Manifest) -> tuple[Manifest, str | None]:
    """What is used of the object, which may share its values; and why it is not all there, if it isn't.

    Of our own kinds only our annotations are read, of others all but kubectl's copy of the whole object. The status is
    taken before the spec: an attempt that is recorded is not forgotten because of what a user wrote.
    """
    if _EXCESS in manifest:
        return {name: value for name, value in manifest.items() if name != _EXCESS}, manifest[_EXCESS]
    return _walked(manifest, resource.is_owner)


def _walked(manifest: Manifest, is_ours: bool) -> tuple[Manifest, str | None]:
    metadata = {name: value for name, value in manifest["metadata"].items() if name not in _NEVER_READ}
    if isinstance(annotations := metadata.get("annotations"), Mapping):
        metadata["annotations"] = {key: value for key, value in annotations.items() if _is_read(is_ours, key)}
    parts = {**manifest, "metadata": metadata}
    with suppress(_Beyond):
        _measure(parts, 0, _Left())
        return parts, None
    walk = _Walk()
    parts["metadata"] = dict(sorted(metadata.items(), key=lambda field: field[0] in _WITHOUT_END))
    order = sorted(parts, key=lambda name: (name not in {"apiVersion", "kind"}, name != "metadata", name != "status"))
    taken = {name: walk.piece(parts[name], 1, name) for name in order}
    return {name: taken[name] for name in parts}, walk.excess


def slim(value: dict[str, Any]) -> dict[str, Any]:
    """What a JSON decoder takes in the place of each map that it has read: objects shrink as they are read.

    Ten objects of a megabyte that are in one list become 400 MB otherwise, before anybody looks at the first: an empty
    list is two characters, and 64 bytes. What was cut is marked, and `kept` takes the mark off.
    """
    if "resourceVersion" in value and "uid" in value:  # Metadata.
        value.pop("managedFields", None)
        return value
    if not _is_of_ours(value) or _EXCESS in value:
        return value
    found, excess = _walked(value, is_ours=True)
    return {**found, _EXCESS: excess}


def _is_of_ours(value: Mapping[str, Any]) -> bool:
    """It is an object of one of our kinds; a list of them is of our group too and has no name."""
    version, metadata = value.get("apiVersion"), value.get("metadata")
    return (
        isinstance(version, str)
        and version.startswith(f"{GROUP}/")
        and isinstance(metadata, dict)
        and ("name" in metadata or "uid" in metadata)
    )


def _is_read(is_ours: bool, annotation: str) -> bool:
    return annotation.startswith(f"{GROUP}/") if is_ours else annotation != _LAST_APPLIED


class _Beyond(Exception):
    """A bound is passed, or there is a value that no JSON has."""


@dataclass
class _Left:
    """What may still come before a bound is passed."""

    values: int = MOST_VALUES
    text: int = MOST_TEXT


def _measure(value: Mapping[str, Any], level: int, left: _Left) -> None:
    """The quick walk, of nearly all objects, which stay as they are. Raises _Beyond: the slow one must say where and what is
    left."""
    if level >= DEEPEST and value:
        raise _Beyond
    left.values -= len(value)
    left.text -= sum(map(len, value))
    _measure_items(value.values(), level, left)


def _measure_items(items: Iterable[Any], level: int, left: _Left) -> None:
    for item in items:
        kind = type(item)
        if kind is str:
            left.text -= len(item)
        elif kind is dict:
            _measure(item, level + 1, left)
        elif kind is list:
            if level + 1 >= DEEPEST and item:
                raise _Beyond
            left.values -= len(item)
            _measure_items(item, level + 1, left)
        elif item is not None and kind not in _PLAIN:
            raise _Beyond
    if left.values < 0 or left.text < 0:
        raise _Beyond


class _Walk:
    """One walk through one object; what lies beyond a bound is left out, texts as empty, lists and maps without it."""

    def __init__(self) -> None:
        self.excess: str | None = None
        self._values = MOST_VALUES
        self._text = MOST_TEXT
        self._by_field: Counter[str] = Counter()

    def piece(self, value: Any, level: int, field: str) -> Any:
        self._values -= 1
        self._by_field[field] += 1
        match value:
            case str():
                return self._taken(value, field)
            case Mapping():
                return self._map(value, level, field)
            case list() | tuple():
                return self._list(value, level, field)
            case _:
                return value

    def _map(self, value: Mapping[str, Any], level: int, field: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        levels = _METADATA_LEVELS if field.startswith("metadata") else _FIELD_LEVELS
        if self._is_too_deep(value, level, field):
            return found
        for key, item in value.items():
            if self._is_full():
                break
            within = f"{field}.{key}" if level < levels else field
            found[self._taken(key, within)] = self.piece(item, level + 1, within)
        return found

    def _list(self, value: list[Any] | tuple[Any, ...], level: int, field: str) -> list[Any]:
        found: list[Any] = []
        if self._is_too_deep(value, level, field):
            return found
        for item in value:
            if self._is_full():
                break
            found.append(self.piece(item, level + 1, field))
        return found

    def _taken(self, text: str, field: str) -> str:
        self._text -= len(text)
        self._by_field[field] += len(text)
        if self._is_full():
            return ""
        return text

    def _is_too_deep(self, value: object, level: int, field: str) -> bool:
        if level < DEEPEST or not value:
            return False
        self.excess = self.excess or f"{field} is nested more than {DEEPEST} levels deep: write it flatter"
        return True

    def _is_full(self) -> bool:
        if self._values >= 0 and self._text >= 0:
            return False
        if self.excess is None:
            largest = self._by_field.most_common(1)[0][0]
            what = f"{MOST_VALUES:,} values" if self._values < 0 else f"{MOST_TEXT // 1024} KiB of text"
            self.excess = f"more than {what}, most of it in {largest[:_LONGEST_NAME]}: write less there"
        return True
