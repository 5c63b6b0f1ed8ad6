"""Does a live object still say what we want it to say?

`covers` asks only about the fields that the wanted manifest names; what the API server defaulted or others wrote
beside them is not ours. The wanted manifest's digest is kept in an annotation, so that a *removed* field (which
`covers` cannot see) is noticed too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.core.names import APPLIED, digest
from deepseek_operator.core.resources import Manifest, annotations_of

_LIST_KEYS = ("name", "containerPort", "port", "mountPath", "type", "uid", "key")
"""Keys by which Kubernetes merges lists of named things; without one a list is compared as a whole."""

_WHOLE = ("selector", "nodeSelector")
"""Maps that Kubernetes knows only as a whole (x-kubernetes-map-type: atomic): one key more means something else."""


def stamped(wanted: Manifest) -> Manifest:
    """`wanted` with its own digest as annotation `deepseek-operator.io/applied`."""
    metadata = dict(wanted.get("metadata", {}))
    metadata["annotations"] = {**(metadata.get("annotations") or {}), APPLIED: digest(wanted)}
    return {**wanted, "metadata": metadata}


def needs_apply(wanted: Manifest, live: Manifest | None) -> bool:
    """True when `wanted` must be applied: nothing lives, the last applied digest differs, or a field was changed."""
    if live is None:
        return True
    if annotations_of(live).get(APPLIED) != digest(wanted):
        return True
    return not covers(live, wanted)


def covers(live: Any, wanted: Any) -> bool:
    """True when every field of `wanted` has the same value in `live`.

    Mappings are compared by the wanted keys, selectors whole, lists of named things by their merge key, other lists in
    order and length. An empty mapping or list that is wanted and absent is covered: the API server drops empty ones.
    """
    if live == wanted:
        return True  # Most of it is, and the comparison of two whole values is far faster than that of their fields.
    if isinstance(wanted, Mapping):
        if not wanted and live is None:
            return True
        return isinstance(live, Mapping) and all(_covers_field(key, live.get(key), wanted[key]) for key in wanted)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return _covers_list(live, wanted)
    return False


def _covers_field(key: str, live: Any, wanted: Any) -> bool:
    return bool(live == wanted) if key in _WHOLE and wanted else covers(live, wanted)


def _covers_list(live: Any, wanted: Sequence[Any]) -> bool:
    if not wanted and live is None:
        return True
    if not isinstance(live, Sequence) or isinstance(live, str) or len(live) < len(wanted):
        return False
    key = _merge_key(wanted)
    if key is None:
        return len(live) == len(wanted) and all(covers(a, b) for a, b in zip(live, wanted, strict=True))
    by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(item[key] in by_key and covers(by_key[item[key]], item) for item in wanted)


def _merge_key(items: Sequence[Any]) -> str | None:
    for key in _LIST_KEYS:
        if all(isinstance(item, Mapping) and key in item for item in items):
            values = [item[key] for item in items]
            if len(set(map(str, values))) == len(values):
                return key
    return None
