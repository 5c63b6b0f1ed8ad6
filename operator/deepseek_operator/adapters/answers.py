"""What an answer of the API server says: JSON as plain dicts, whatever its depth, or the refusal that it is."""

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from deepseek_operator.core.kept import slim
from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.ports.cluster import (
    ClusterError,
    Conflict,
    Fenced,
    Forbidden,
    Listing,
    NotServed,
    Outdated,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)

_DEPTH = 200
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""Brackets, and strings so that those within them don't count."""
_LARGE = 64 * 1024
_MESSAGE_LENGTH = 1024
FENCED = "denied request: fenced: "
"""In what the API server says where the chart's ValidatingAdmissionPolicy refuses: its own words, and the first of ours."""


def page_of(answer: Manifest, resource: Resource) -> tuple[Listing, str]:
    """One page of a list, and the token of the next one; empty: it was the last.

    Raises:
        Unreachable: it does not look like a list of that resource; who answered was no API server.
    """
    match answer:
        case {"metadata": {"resourceVersion": str(version), **metadata}, "items": list() | None as items} if (
            version.isdigit() and all(is_stored(item) for item in items or ())
        ):
            identity = {"apiVersion": resource.api_version, "kind": resource.kind}
            return Listing(version, [{**item, **identity} for item in items or ()]), str(metadata.get("continue") or "")
    raise Unreachable(f"the answer is no list of {resource.plural}")


def as_stored(answer: Manifest) -> Manifest:
    """The object that was answered. Raises Unreachable: it is none that an API server keeps."""
    if not is_stored(answer):
        raise Unreachable("the answer is no object that an API server keeps")
    return answer


def is_stored(item: object) -> bool:
    """It has all that the mirror relies on in an object, each of the right type."""
    match item:
        case {
            "metadata": {
                "name": str(name),
                "namespace": str(namespace),
                "uid": str(uid),
                "resourceVersion": str(version),
                **metadata,
            }
        }:
            maps = (metadata.get(key) or {} for key in ("labels", "annotations"))
            return bool(name and namespace and uid) and version.isdigit() and all(isinstance(m, dict) for m in maps)
    return False


def decoded(content: bytes) -> Any:
    """JSON as values, of a large text each of our objects as `core.kept` has it; what none needs, values nested deeper than `_DEPTH`, may come as null.

    One object that is nested deeper than the interpreter reads (about 1,000) must not hide the others of its list.

    Raises:
        ValueError: it is no JSON.
    """
    if len(content) <= _LARGE:  # So much becomes little, whatever it says.
        with suppress(orjson.JSONDecodeError):  # It refuses what is nested too deeply, and what others let in: NaN.
            return orjson.loads(content)
    try:
        with _uncollected(content):
            return json.loads(content, object_hook=slim)
    except RecursionError:
        return json.loads(_flattened(content), object_hook=slim)


@contextmanager
def _uncollected(content: bytes) -> Iterator[None]:
    """While a large text is read nothing becomes garbage, but each few hundred values have it searched for: of 300,000
    empty lists that was 230 of 250 ms, in which the event loop stood still."""
    pauses = len(content) > _LARGE and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        yield
    finally:
        if pauses:
            gc.enable()


def _flattened(content: bytes) -> bytes:
    """The same text with null in the place of every value that is nested deeper than `_DEPTH`."""
    kept: list[bytes] = []
    depth = start = 0
    for token in _STRUCTURE.finditer(content):
        if token[0] in {b"[", b"{"}:
            depth += 1
            if depth == _DEPTH + 1:
                kept += content[start : token.start()], b"null"
        elif token[0] in {b"]", b"}"}:
            if depth == _DEPTH + 1:
                start = token.end()
            depth -= 1
    return b"".join((*kept, content[start:]))


def answer(status: int, content: bytes, retry_after: str | None) -> Manifest | None:
    """The JSON object of an answer; None for a 404.

    Raises:
        ClusterError: any other refusal, or something that is no JSON object.
    """
    if status == 404:
        return None
    if status >= 300:
        raise refusal(status, _message(content), retry_after)
    try:
        answer: Any = decoded(content)
    except ValueError as error:
        raise Unreachable(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise Unreachable("the answer is not a JSON object")
    return answer


def refusal(status: int, message: str, retry_after: str | None) -> ClusterError:
    """What an answer, or an ERROR of a watch, with that status code means."""
    match status:
        case 409:
            return Conflict(message)
        case 403 if "exceeded quota" in message or "usage per" in message:
            return QuotaExceeded(message)
        case 403 if FENCED in message:
            return Fenced(message)
        case 403:
            return Forbidden(message)
        case 400 | 405 | 413 | 415 | 422:
            return Rejected(message)
        case 410:
            return Outdated(message)
        case 429:
            return Throttled(message, float(retry_after) if retry_after and retry_after.isdigit() else 0.0)
        case _:
            return Unreachable(f"HTTP {status}: {message}")


def not_served(resource: Resource) -> NotServed:
    """What a 404 for a whole resource means."""
    remedy = f": install {resource.installed_by}" if resource.is_optional else ""
    return NotServed(f"{resource.api_version} has no {resource.plural}{remedy}")


def _message(content: bytes) -> str:
    try:
        return str(decoded(content)["message"])[:_MESSAGE_LENGTH]
    except (ValueError, KeyError, TypeError):
        return content[:_MESSAGE_LENGTH].decode(errors="replace")
