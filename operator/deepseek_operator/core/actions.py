"""What a plan may ask of the world. The executor interprets these; nothing here touches it.

Order matters and is kept: the executor stops at the first failure, and the next pass plans anew from what is then
true. A `record` ends the round: what can't be observed is written to status before anything relies on it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, TypeAlias, TypeVar

from deepseek_operator.core.resources import Manifest, Ref

StatusT = TypeVar("StatusT")
Propagation: TypeAlias = Literal["Background", "Foreground"]


@dataclass(frozen=True)
class Create:
    """POST a write-once object (Job, PVC, ControllerRevision). An object of that name is left as it is."""

    manifest: Manifest


@dataclass(frozen=True)
class Apply:
    """Server-side apply of exactly the fields named. `uid` (when the object lives) guards against a successor."""

    manifest: Manifest
    uid: str | None = None


@dataclass(frozen=True)
class Delete:
    """Delete the object with that uid and no other; `because` is said in the log.

    `propagation` is never left out: a raw DELETE of a Job orphans its running pods.
    """

    ref: Ref
    uid: str
    because: str
    propagation: Propagation = "Background"


Action: TypeAlias = Create | Apply | Delete


@dataclass(frozen=True)
class Plan(Generic[StatusT]):
    """What to do now.

    Attributes:
        record: the whole status to write before anything else; it ends the round (the actions are then empty).
        actions: in order; `Create` and `Delete` are irreversible and need a `live` Seen.
        requeue_after: when to look again if nothing happens; None: at the next event or resync.
        confirm: the record itself declares something final (verdict, lost, complete) and needs a `live` Seen.
    """

    record: StatusT | None = None
    actions: tuple[Action, ...] = ()
    requeue_after: timedelta | None = None
    confirm: bool = False

    @property
    def is_irreversible(self) -> bool:
        """True when a decision taken from a stale mirror could not be taken back."""
        return self.confirm or any(isinstance(action, Create | Delete) for action in self.actions)


Reason: TypeAlias = Literal["Conflict", "Forbidden", "Rejected", "NotServed", "Quota", "Throttled", "Failed"]


@dataclass(frozen=True)
class Failure:
    """An action that the API server refused, that got no answer, or that can't be sent because its API is not served.

    Attributes:
        reason: Conflict 409 · Forbidden 403 · Quota 403 with "exceeded quota" · Rejected 400/422 · NotServed: the whole
            resource is missing · Throttled 429 · Failed: anything else, time-outs included.
        message: the server's words, at most 1,024 characters.
        retry_after_s: the server's wish with a 429, in seconds; 0 when it named none.
    """

    action: Action
    reason: Reason
    message: str
    retry_after_s: float = 0.0


@dataclass(frozen=True)
class Done:
    """What became of a plan's actions: all were carried out, or one failed and the rest were not tried."""

    failure: Failure | None = None
