"""What an engine tells of itself: the sums of named series on its page of metrics, in Prometheus' text format."""

import http.client
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deepseek_runtime.watchdog.judging import Told

HOST = "127.0.0.1"
LONGEST_ANSWER_S = 10.0
"""An engine under full load answers slowly."""
LARGEST_PAGE = 16 << 20

_NAME = re.compile(r"([^{]+)(?:\{(.*)\})?")
_SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?[0-9]+)?")


@dataclass(frozen=True)
class Names:
    """By which names an engine tells its requests, running and waiting, and a count that moves with every token. A name may
    bring labels in braces, which a series must have."""

    running: str
    waiting: str
    tokens: str


def ask(port: int, path: str, names: Names) -> Told | None:
    """What the engine of this pod tells now; None where it does not answer, or not with its metrics."""
    connection = http.client.HTTPConnection(HOST, port, timeout=LONGEST_ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        page = answer.read(LARGEST_PAGE)
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return read(page.decode(errors="replace"), names) if answer.status == 200 else None


def read(page: str, names: Names) -> Told:
    """What a page tells. A series that is not there, or is no number, counts as 0: an engine that tells of no work is
    left alone."""
    running, waiting, tokens = (_sum(page, name) for name in (names.running, names.waiting, names.tokens))
    return Told(running, waiting, tokens)


def _sum(page: str, name: str) -> float:
    found = _NAME.fullmatch(name)
    wanted, labels = (found[1], (found[2] or "").split(",")) if found is not None else (name, [])
    return math.fsum(_values(page, wanted, [label for label in labels if label]))


def _values(page: str, name: str, labels: Sequence[str]) -> Iterator[float]:
    for line in page.splitlines():
        if not line.startswith(name) or (series := _SERIES.fullmatch(line.strip())) is None or series[1] != name:
            continue
        if all(label in (series[2] or "") for label in labels) and math.isfinite(value := _number(series[3])):
            yield value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
