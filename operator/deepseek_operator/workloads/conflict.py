"""Whose is an object under a name that a child would take? A stranger's is never touched."""

from dataclasses import dataclass
from typing import TypeAlias

from deepseek_operator.core.ownership import left_by
from deepseek_operator.core.resources import Manifest, controller_of, is_terminating
from deepseek_operator.workloads.owner import Owner


@dataclass(frozen=True)
class Leaving:
    """It will go by itself. `is_former`: with its owner, a deleted resource of this name; else somebody deletes it."""

    is_former: bool


@dataclass(frozen=True)
class LeftBehind:
    """An earlier resource of this name was deleted without it (--cascade=orphan); `uid` is that one's."""

    uid: str


@dataclass(frozen=True)
class Strangers:
    """Somebody else made it."""


Occupant: TypeAlias = Leaving | LeftBehind | Strangers


def occupant(owner: Owner, manifest: Manifest) -> Occupant:
    """Whose the object is, which is none of `owner`'s."""
    controller, kind = controller_of(manifest) or {}, owner.resource
    # Whatever version of the API it was made by.
    group = str(controller.get("apiVersion") or "").rpartition("/")[0]
    is_of_kind = (group, controller.get("kind")) == (kind.group, kind.kind)
    is_former = is_of_kind and controller.get("name") == owner.name and controller.get("uid") != owner.uid
    if is_former or is_terminating(manifest):
        return Leaving(is_former)
    uid = left_by(kind, owner.name, owner.uid, manifest)
    return LeftBehind(uid) if uid else Strangers()
