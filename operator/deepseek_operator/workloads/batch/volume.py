"""Is the claim that attempts have written to still that claim?

A missing claim, or one with another uid, means that what was written is gone: an empty one in its place would have the
work begin anew in silence.
"""

from dataclasses import dataclass
from typing import TypeAlias

from deepseek_operator.core.resources import Manifest, is_terminating, uid_of


@dataclass(frozen=True)
class Gone:
    """No claim of that name is there."""


@dataclass(frozen=True)
class Replaced:
    """A claim of that name with another uid."""

    uid: str


@dataclass(frozen=True)
class Going:
    """The claim is being deleted."""


Loss: TypeAlias = Gone | Replaced | Going


def loss(uid: str, claim: Manifest | None) -> Loss | None:
    """What became of the recorded claim; None while it is there, and when none is recorded (`uid` empty)."""
    if not uid:
        return None
    if claim is None:
        return Gone()
    if uid_of(claim) != uid:
        return Replaced(uid_of(claim))
    return Going() if is_terminating(claim) else None
