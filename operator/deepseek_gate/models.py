"""Which names there are, and which serving answers each: what the operator writes for the gate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

import orjson

ENTRY = "models.json"
LONGEST_HOLD_S = 3600


@dataclass(frozen=True)
class Model:
    """What one name stands for.

    Attributes:
        serving: the one that answers it, by which the gateway's routes go.
        revisions: names of those that a key can be pinned to.
        only: the one revision that answers it, whatever the weights of the route; None: it goes by them.
        ways: as the policy of its route asks; None: it is known however the gate is asked.
        ready: its replicas that are; None: nothing is said of them, and nobody waits.
        hold_s: how long a request is held while it has none.
        is_counted: tokens of its answers are counted by client, so that every answer must tell them.
    """

    serving: str
    revisions: frozenset[str] = frozenset()
    only: str | None = None
    ways: str | None = None
    ready: int | None = None
    hold_s: float = 0.0
    is_counted: bool = False

    @property
    def is_asleep(self) -> bool:
        """Nobody is there to answer."""
        return self.ready == 0


def models_of(text: str) -> Mapping[str, Model]:
    """The models of one ConfigMap. A field that is not known here is a newer operator's, and passed over.

    Raises:
        ValueError: it can't be believed as a whole.
    """
    try:
        models = orjson.loads(text)["models"]
        return {name: _model(entry) for name, entry in models.items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is not of the form that is known: {type(error).__name__}") from None


def _model(entry: Mapping[str, object]) -> Model:
    serving, revisions = entry["serving"], entry.get("revisions", {})
    if not isinstance(serving, str) or not serving or not isinstance(revisions, dict):
        raise TypeError
    ways, only = entry.get("ways"), entry.get("only")
    if not (ways is None or isinstance(ways, str)) or not (only is None or (isinstance(only, str) and only)):
        raise TypeError
    ready, hold_s = entry.get("ready"), entry.get("holdSeconds", 0)
    if not (ready is None or _is_count(ready)) or not _is_count(hold_s):
        raise TypeError
    is_counted = entry.get("counted", False)
    if not isinstance(is_counted, bool):
        raise TypeError
    return Model(serving, frozenset(revisions), only, ways, ready, min(hold_s, LONGEST_HOLD_S), is_counted)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
