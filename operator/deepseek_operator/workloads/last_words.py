"""What a container said at its end: the document of our contract, or the tail of a foreign program's log.

The kubelet keeps either as the container's termination message. Both are a stranger's: bounded, and only ever shown.
"""

import json
import re
from collections.abc import Mapping

LIMIT_BYTES = 4096
"""The kubelet's own limit of a termination message."""

_CUT = re.compile(r'\s*\{"formatVersion".*?(?:"message": ?"((?:[^"\\]|\\.)*)|$)', re.DOTALL)
"""The kubelet shortens the messages of a pod with many containers: what is left of our document is no JSON any more."""

_LINES = 10
_CHARACTERS = 1024


def document(text: str) -> Mapping[str, object] | None:
    """The JSON object that the pods of this project leave; None for anything else."""
    if not text.lstrip().startswith("{"):
        return None  # Most are empty, and Python takes long to say that this is no JSON.
    try:
        said = json.loads(text) if len(text.encode()) <= LIMIT_BYTES else None
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def words(text: str) -> str:
    """The sentence in our document, else the end of what a foreign program wrote; at most ten lines."""
    said = document(text)
    return tail(text if said is None else str(said.get("message") or ""))


def tail(text: str) -> str:
    """The last ten lines, 1,024 characters, without control characters; of a document that was cut, its sentence."""
    text = _uncut(text)
    lines = [line for raw in text[-LIMIT_BYTES:].splitlines() if (line := _printable(raw).rstrip())]
    return "\n".join(lines[-_LINES:])[-_CHARACTERS:]


def _uncut(text: str) -> str:
    if document(text) is not None or (found := _CUT.match(text)) is None:
        return text
    return (found[1] or "").replace("\\n", "\n").replace('\\"', '"')


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
