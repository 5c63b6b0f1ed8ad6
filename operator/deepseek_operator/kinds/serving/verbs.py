"""What a person asks for by an annotation whose value names a revision, so that one that was left behind asks for nothing.

A value is the revision's name; what follows a slash makes it another one, for whoever asks for the same again.
"""

from dataclasses import dataclass

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.resources import GROUP

ROLLBACK = f"{GROUP}/rollback"
"""Runs a kept revision in place of the one that the spec asks for."""

PROMOTE = f"{GROUP}/promote"
"""Ends the present step of the canary run of that revision; another value ends the next one."""

PAUSE = f"{GROUP}/pause"
"""Keeps the canary run of that revision at its step."""

_LONGEST = 80
"""Characters of a value that are looked at: a revision, a slash and a word. Anybody may write a longer one."""


@dataclass(frozen=True)
class Verb:
    """A wish about one revision. `token`: the whole value, by which it is told from an earlier wish."""

    revision: str
    token: str


def verb(owner: DeepSeekServing, annotation: str) -> Verb | None:
    """What the annotation asks for; None without it."""
    token = owner.metadata.annotations.get(annotation, "").strip()[:_LONGEST]
    return Verb(token.partition("/")[0], token) if token else None
