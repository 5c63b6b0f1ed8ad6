"""Server-side apply's arithmetic: which fields a manifest names, how they merge, which ones go when they are left out.

A field is a path of mapping keys and, in a list of named things, of the item's merge key. Other lists are one field.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import orjson

Path: TypeAlias = tuple[Any, ...]
Fields: TypeAlias = frozenset[Path]

_MERGE_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "volumes": (("name",),),
    "env": (("name",),),
    "volumeMounts": (("mountPath",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "conditions": (("type",),),
    "ownerReferences": (("uid",),),
    "imagePullSecrets": (("name",),),
}
"""List fields of the built-in types that merge by key (x-kubernetes-list-map-keys of the OpenAPI document)."""


_ATOMIC = frozenset({"selector", "nodeSelector", "labelSelector", "fieldRef", "resourceFieldRef"})
"""Mappings that one manager owns whole (x-kubernetes-map-type: atomic)."""


_PLAIN = frozenset({str, int, float, bool, type(None)})
"""Types of most values; told apart first, because to ask whether one is a Mapping takes many times as long."""


_AS_IT_IS = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Nothing but plain data is written as JSON: what else a manifest may hold by mistake stays what it is."""


def copied(value: Any) -> Any:
    """A deep copy of plain data as mutable dicts and lists."""
    # Through JSON and back by orjson is a sixth of the time of a walk in Python; every read and write of a test comes by here.
    if type(value) in _PLAIN:
        return value
    try:
        return orjson.loads(orjson.dumps(value, _mutable, _AS_IT_IS))
    except (TypeError, ValueError):  # A number of more than 64 bits, half of a surrogate pair: forged status has them.
        return _walked(value)


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    raise TypeError


def _walked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _walked(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_walked(item) for item in value]
    return value


def fields_of(value: Any, at: Path = ()) -> Fields:
    """The leaf fields of a manifest, without what identifies it."""
    return frozenset(path for path in _leaves(value, at) if not _is_identity(path))


def merged(live: Any, applied: Any, name: str = "") -> Any:
    """`live` with every field of `applied` set."""
    if isinstance(applied, Mapping) and isinstance(live, Mapping) and name not in _ATOMIC:
        return {**live, **{key: merged(live.get(key), item, key) for key, item in applied.items()}}
    if name in _MERGE_KEYS and applied == [] and live:
        return live
    keys = _keys(name, applied)
    if keys and isinstance(live, list):
        wanted = {_identity(item, keys): item for item in applied}
        kept = [merged(item, wanted.pop(_identity(item, keys), {})) for item in live]
        return [*kept, *(copied(item) for item in wanted.values())]
    return copied(applied)


def without(value: Any, gone: Fields, kept: Fields) -> Any:
    """`value` less the fields of `gone`; an item of a list goes whole when no field of `kept` lies in it."""
    whole = {prefix for path in gone for prefix in _items(path) if not any(_under(k, prefix) for k in kept)}
    for path in sorted(whole, key=len):
        value = _removed(value, path)
    for path in sorted(gone, key=str):
        if not any(_under(k, path) for k in kept):
            value = _removed(value, path)
    return value


def changed(before: Any, after: Any) -> Fields:
    """Fields that differ between two versions of an object."""
    return frozenset(_changed(before, after, ()))


def _changed(before: Any, after: Any, at: Path) -> Iterable[Path]:
    # Most of an object stays as it is, and only what differs is taken apart.
    if before == after:
        return
    if _is_walked(before, at) and _is_walked(after, at):
        for key in before.keys() | after.keys():
            if key in before and key in after:
                yield from _changed(before[key], after[key], (*at, key))
            else:
                only = (before if key in before else after)[key]
                yield from (path for path, item in _pairs(only, (*at, key)) if item is not None)
        return
    old, new = dict(_pairs(before, at)), dict(_pairs(after, at))
    yield from (path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def _leaves(value: Any, at: Path) -> Iterable[Path]:
    return (path for path, _ in _pairs(value, at))


def _is_walked(value: Any, at: Path) -> bool:
    return isinstance(value, Mapping) and bool(value) and not (at and at[-1] in _ATOMIC)


def _pairs(value: Any, at: Path) -> Iterable[tuple[Path, Any]]:
    if type(value) in _PLAIN:
        yield at, value
        return
    keys = _keys(str(at[-1]), value) if at else ()
    if _is_walked(value, at):
        for key, item in value.items():
            yield from _pairs(item, (*at, key))
    elif keys:
        for item in value:
            yield from _pairs(item, (*at, _identity(item, keys)))
    else:
        yield at, value


def _is_identity(path: Path) -> bool:
    return path in {("apiVersion",), ("kind",)} or path[:2] in {
        ("metadata", key) for key in ("name", "namespace", "uid", "resourceVersion")
    }


def _keys(name: str, items: Any) -> tuple[str, ...]:
    if not isinstance(items, Sequence) or isinstance(items, str) or not items:
        return ()
    for keys in _MERGE_KEYS.get(name, ()):
        if all(isinstance(item, Mapping) and keys[0] in item for item in items):
            return keys
    return ()


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(item.get(key, "TCP" if key == "protocol" else None) for key in keys)


def _items(path: Path) -> Iterable[Path]:
    return (path[: index + 1] for index, part in enumerate(path) if isinstance(part, tuple))


def _under(path: Path, prefix: Path) -> bool:
    return path[: len(prefix)] == prefix


def _removed(value: Any, path: Path) -> Any:
    head, rest = path[0], path[1:]
    if not isinstance(value, Mapping) or head not in value:
        return value
    others = {key: item for key, item in value.items() if key != head}
    if not rest:
        return others
    in_list = isinstance(rest[0], tuple)
    inner = _removed_from_list(str(head), value[head], rest[0], rest[1:]) if in_list else _removed(value[head], rest)
    return {**value, head: inner} if inner not in ({}, []) else others


def _removed_from_list(name: str, items: Any, identity: tuple[Any, ...], rest: Path) -> Any:
    if not isinstance(items, list):
        return items
    keys = _keys(name, items)
    if not rest:
        return [item for item in items if _identity(item, keys) != identity]
    return [_removed(item, rest) if _identity(item, keys) == identity else item for item in items]
