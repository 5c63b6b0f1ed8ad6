"""`status NAME`: where an object stands, its conditions, its children, warnings about them, and what to do next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.cli.shown.naming import full_name
from deepseek_operator.cli.shown.tree import BAD, Child, children_of, lines
from deepseek_operator.core.kinds import Entry
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.values.table import aligned

_WARNINGS = 5
_NOTHING = "Nothing to do: it is as asked."
_SHOWN = 400
"""Characters of a condition's or a warning's message; the whole is in the object."""


@dataclass(frozen=True)
class Told:
    """One condition as it stands."""

    type: str
    status: str
    reason: str
    message: str
    since: str


@dataclass(frozen=True)
class Warned:
    """One warning event, and how often it came."""

    about: str
    reason: str
    message: str
    at: str
    count: int


@dataclass(frozen=True)
class Story:
    """All that `status` says of one object.

    Attributes:
        name: `word/name`, as every command takes it.
        picture: what its kind says of it, in lines.
        next: sentences on what to do.
        unread: what could not be read.
    """

    name: str
    namespace: str
    phase: str
    picture: str
    conditions: tuple[Told, ...]
    children: tuple[Child, ...]
    warnings: tuple[Warned, ...]
    next: tuple[str, ...]
    unread: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """For JSON and YAML: as the fields are called, the kind's lines as a list."""
        told = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {**told, "picture": self.picture.splitlines()}


def story(
    entry: Entry,
    manifest: Manifest,
    objects: Sequence[Manifest],
    events: Sequence[Manifest],
    unread: Sequence[str] = (),
) -> Story:
    """What there is to say. `events`: the newest last. Raises ValueError: its status can't be read by this version."""
    assert entry.told is not None
    conditions = tuple(_told(one) for one in (manifest.get("status") or {}).get("conditions") or ())
    children = children_of(manifest, objects)
    name = full_name(entry, manifest)
    return Story(
        name,
        str(manifest["metadata"]["namespace"]),
        str((manifest.get("status") or {}).get("phase") or "Pending"),
        entry.told.picture(manifest),
        conditions,
        children,
        tuple(_warned(event) for event in events[-_WARNINGS:]),
        next_steps(entry, name, conditions, children),
        tuple(unread),
    )


def next_steps(entry: Entry, name: str, conditions: Sequence[Told], children: Sequence[Child]) -> tuple[str, ...]:
    """What a person does: the advice of every reason that is now true, each once, and the log of what failed."""
    if not conditions:
        return ("Wait for the operator to look at it; if that takes more than seconds, see whether it runs.",)
    reasons = dict.fromkeys(one.reason for one in conditions if is_telling(one))
    steps = [entry.reasons[reason] for reason in reasons if reason in entry.reasons]
    if any(child.state.health == BAD and child.kind == "Pod" for child in _all(children)):
        steps.append(f"Read why: kubectl deepseek logs {name}")
    return tuple(steps) or (_NOTHING,)


def is_telling(condition: Told) -> bool:
    """Whether its reason says how things are: Ready does either way, every other one while it is True."""
    return condition.type == "Ready" or condition.status == "True"


def _all(children: Sequence[Child]) -> Iterator[Child]:
    for child in children:
        yield child
        yield from _all(child.children)


def text(told: Story, now: datetime) -> str:
    """For a terminal."""
    return "".join(f"{line}\n" for line in _lines(told, now))


def _lines(told: Story, now: datetime) -> Iterator[str]:
    first, *rest = told.picture.rstrip("\n").split("\n")
    yield f"{told.name} in {told.namespace} · {first.partition(': ')[2]}"
    yield from rest
    yield from ("", "Conditions")
    rows = [(one.type, one.status, one.reason, age(one.since, now), one.message[:_SHOWN]) for one in told.conditions]
    yield from (f"  {line}" for line in aligned(rows) if rows)
    if not rows:
        yield "  none yet"
    yield from ("", "Children")
    yield from (f"  {line}" for line in lines(told.children))
    if not told.children:
        yield "  none"
    if told.warnings:
        yield from ("", "Warnings")
        for one in told.warnings:
            times = f" (×{one.count})" if one.count > 1 else ""
            yield f"  {age(one.at, now)} ago  {one.about}  {one.reason}{times}: {one.message[:_SHOWN]}"
    if told.unread:
        yield from ("", "Not read")
        yield from (f"  {line}" for line in told.unread)
    yield from ("", "Next")
    yield from (f"  {line}" for line in told.next)


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def age(since: str, now: datetime) -> str:
    """`3m` since a moment, as kubectl tells ages; a dash where it names none."""
    moment = parse_time(since)
    if moment is None:
        return "-"
    seconds = max(0, int((now - moment).total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    return f"{seconds // size}{unit}"


def _told(condition: Mapping[str, Any]) -> Told:
    keys = ("type", "status", "reason", "message", "lastTransitionTime")
    return Told(*(str(condition.get(key) or "") for key in keys))


def _warned(event: Mapping[str, Any]) -> Warned:
    about = event.get("involvedObject") or {}
    series = event.get("series") or {}
    at = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or ""
    count = series.get("count") or event.get("count") or 1
    name = f"{about.get('kind') or ''}/{about.get('name') or ''}"
    return Warned(name, str(event.get("reason") or ""), str(event.get("message") or ""), str(at), int(count))
