"""What the shell needs of a metrics store and of a training's rank 0."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Answer, Signal, Unavailable


class Signals(Protocol):
    """A metrics store that answers instant queries."""

    @property
    def unavailable(self) -> Unavailable | None:
        """Why it could not be asked when that was last tried; None where it answered, or nobody has asked yet."""

    async def read(self, query: str, at: datetime) -> Signal:
        """The value of an expression that yields one number. NaN, infinity and an empty result are NoData;
        every failure, time-outs included, is Unavailable. Never raises."""


class Series(Protocol):
    """A metrics store that answers instant queries with whatever they yield."""

    async def read_all(self, query: str, at: datetime) -> Answer:
        """The values of all series of an expression as they are, NaN and infinity among them; none of an empty result.
        Every failure, time-outs and more series than are read included, is Unavailable. Never raises."""


class Progress(Protocol):
    """The `/progress` of a training's rank 0: untrusted, bounded, display only."""

    async def pull(self, pod: Manifest) -> Mapping[str, object] | Unavailable:
        """What it said (JSON object of known keys), at most 64 KiB within 2 seconds, no redirects. Never raises."""
