"""`status` without a name and `top`: a table for each kind, and who holds which devices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deepseek_operator.cli.shown.naming import full_name
from deepseek_operator.cli.shown.story import age
from deepseek_operator.core.kinds import Entry
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import Manifest, labels_of, uid_of
from deepseek_operator.domain.values.table import aligned
from deepseek_operator.workloads.pod.state import devices_held

Found = Sequence[tuple[Entry, Manifest]]


def overview(found: Found, now: datetime) -> list[dict[str, str]]:
    """A row for each object, of whatever kind: where it stands, and why."""
    return [_stands(entry, manifest, now) for entry, manifest in found]


def _stands(entry: Entry, manifest: Manifest, now: datetime) -> dict[str, str]:
    status = manifest.get("status") or {}
    summary = status.get("summary") or {}
    message = next((one.get("message") or "" for one in status.get("conditions") or ()), "")
    return {
        "NAMESPACE": str(manifest["metadata"]["namespace"]),
        "NAME": full_name(entry, manifest),
        "PHASE": str(status.get("phase") or "Pending"),
        "READY": str(summary.get("ready") or "-"),
        "AGE": age(str(manifest["metadata"].get("creationTimestamp") or ""), now),
        "REASON": str(summary.get("reason") or "-"),
        "MESSAGE": str(message) or "-",
    }


@dataclass(frozen=True)
class Top:
    """What runs, by kind, and who holds devices.

    Attributes:
        kinds: rows by the kind's plural word.
        devices: a row for each resource and holder.
    """

    kinds: Mapping[str, Sequence[Mapping[str, str]]]
    devices: Sequence[Mapping[str, str]]
    unread: Sequence[str] = ()

    def plain(self) -> dict[str, Any]:
        """For JSON and YAML."""
        return {**{word: list(rows) for word, rows in self.kinds.items()}, "devices": list(self.devices)}


def top(found: Found, pods: Sequence[Manifest], nodes: Sequence[Manifest], unread: Sequence[str] = ()) -> Top:
    """The tables. Raises ValueError: a status can't be read by this version."""
    held = _held(pods)
    kinds: dict[str, list[Mapping[str, str]]] = {}
    for entry, manifest in found:
        kinds.setdefault(f"{entry.word}s", []).append(_row(entry, manifest, held.get(uid_of(manifest), {})))
    return Top(kinds, list(_devices(found, held, nodes)), tuple(unread))


def _row(entry: Entry, manifest: Manifest, held: Mapping[str, float]) -> dict[str, str]:
    assert entry.told is not None
    place = {
        "NAMESPACE": str(manifest["metadata"]["namespace"]),
        "NAME": str(manifest["metadata"]["name"]),
        "PHASE": str((manifest.get("status") or {}).get("phase") or "Pending"),
    }
    cells = dict(zip(entry.told.columns, entry.told.row(manifest), strict=True))
    return {**place, **cells, "DEVICES": f"{sum(held.values()):g}" if held else "-"}


def _held(pods: Sequence[Manifest]) -> dict[str, dict[str, float]]:
    """Devices by resource, by the uid of whose they are."""
    held: dict[str, dict[str, float]] = {}
    for pod in pods:
        mine = held.setdefault(labels_of(pod).get(OWNER_UID, ""), {})
        for resource, count in devices_held(pod).items():
            mine[resource] = mine.get(resource, 0.0) + count
    return held


def _devices(
    found: Found, held: Mapping[str, Mapping[str, float]], nodes: Sequence[Manifest]
) -> Iterator[dict[str, str]]:
    there: dict[str, float] = {}
    for node in nodes:
        for resource, count in ((node.get("status") or {}).get("allocatable") or {}).items():
            if "/" in resource and str(count).isdecimal():
                there[resource] = there.get(resource, 0.0) + float(count)
    used = sorted({resource for mine in held.values() for resource in mine})
    for resource in used:
        whose = [(entry, one, held.get(uid_of(one), {}).get(resource, 0.0)) for entry, one in found]
        total = f"{there[resource]:g}" if resource in there else "-"
        for entry, one, count in sorted(whose, key=lambda row: -row[2]):
            if count:
                yield {
                    "RESOURCE": resource,
                    "HELD": f"{count:g}",
                    "ON THE NODES": total,
                    "NAMESPACE": str(one["metadata"]["namespace"]),
                    "BY": full_name(entry, one),
                }


def text(told: Top, *, with_namespace: bool) -> str:
    """For a terminal: a table for each kind, then one of devices."""
    parts = [(word, rows) for word, rows in told.kinds.items()]
    parts += [("devices", told.devices)] if told.devices else []
    tables = [f"{word}\n{table(rows, with_namespace=with_namespace, indent='  ')}" for word, rows in parts if rows]
    notes = "".join(f"{note}\n" for note in told.unread)
    return (
        "\n".join(tables) + (f"\n{notes}" if notes and tables else notes) if tables or notes else "nothing is there\n"
    )


def table(rows: Sequence[Mapping[str, str]], *, with_namespace: bool, indent: str = "") -> str:
    """Rows of the same columns below their heads; the namespace only where there may be several."""
    if not rows:
        return "nothing is there\n"
    heads = [head for head in rows[0] if with_namespace or head != "NAMESPACE"]
    cells = [heads, *([row[head] for head in heads] for row in rows)]
    return "".join(f"{indent}{line}\n" for line in aligned(cells))
