"""Which names another serving of the namespace has already: the gate knows a name once, and whoever was first keeps it.

A serving has a name once it has told the gate of it, which its status and the gate's ConfigMap say; until then it wants it. Of
two that have it, or only want it, it is the older one's. Nobody is woken when a name becomes free: whoever waits looks again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from deepseek_operator.api.base import ObjectMeta, parse_time
from deepseek_operator.core.resources import Manifest, is_terminating
from deepseek_operator.kinds.serving.called import names_in


def taken(own: ObjectMeta, names: Iterable[str], had: Iterable[str], neighbours: Sequence[Manifest]) -> dict[str, str]:
    """Those of `names` that are another's, and whose.

    Args:
        own: metadata of the serving that asks.
        had: names that it has told the gate.
        neighbours: the others of the namespace, as stored.
    """
    found: dict[str, str] = {}
    mine, age = set(had), _age(own.creation_timestamp, own.name)
    for other in filter(_is_judged, neighbours):
        metadata, told, wanted = other["metadata"], set(_told(other)), set(_wanted(other))
        is_older = _age(parse_time(metadata.get("creationTimestamp")), metadata["name"]) < age
        for name in names:
            if name in told | wanted and (is_older if (name in told) == (name in mine) else name in told):
                found.setdefault(name, str(metadata["name"]))
    return found


def _is_judged(serving: Manifest) -> bool:
    gateway = (serving.get("spec") or {}).get("gateway") or {}
    return bool(gateway.get("auth")) and not is_terminating(serving)


def _age(created: datetime | None, name: str) -> tuple[datetime, str]:
    return created or datetime.max.replace(tzinfo=UTC), name


def _told(serving: Manifest) -> list[str]:
    return list(((serving.get("status") or {}).get("gateway") or {}).get("models") or ())


def _wanted(serving: Manifest) -> tuple[str, ...]:
    spec = serving["spec"]
    return names_in({**spec, "models": spec["gateway"].get("models")}, serving["metadata"]["name"])
