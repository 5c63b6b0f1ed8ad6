"""Which names there are, and which serving answers each: what the operator writes for the gate."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

ENTRY = "models.json"


@dataclass(frozen=True)
class Model:
    """What one name stands for.

    Attributes:
        serving: the one that answers it, by which the gateway's routes go.
        revisions: names of those that a key can be pinned to.
    """

    serving: str
    revisions: frozenset[str] = frozenset()


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
    return Model(serving, frozenset(revisions))
