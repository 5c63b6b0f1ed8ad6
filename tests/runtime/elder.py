"""Pickles as Python before 3.11.4 writes them, Debian 12's among them: a member of an enumeration is a call of `getattr`."""

import io
import pickle
from enum import Enum
from typing import Any


class _ElderPickler(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:
        return (getattr, (type(value), value.name)) if isinstance(value, Enum) else NotImplemented


def elder_pickle(value: object) -> bytes:
    """The value, pickled as there."""
    stream = io.BytesIO()
    _ElderPickler(stream).dump(value)
    return stream.getvalue()
