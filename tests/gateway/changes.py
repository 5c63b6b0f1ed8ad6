"""Every change of one kind in a namespace, by kubectl's watch: nothing between two looks is missed."""

import json
import threading
import time
from typing import Any

from tests.support.kubectl import Kubectl, lines_of


class Changes:
    """The events of objects with that label, from its beginning to its end, as a context.

    Attributes:
        at_s: when each came, by this machine's monotonic clock.
    """

    def __init__(self, kubectl: Kubectl, kind: str, serving: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.at_s: list[float] = []
        selector = f"--selector=deepseek-operator.io/serving={serving}"
        self._command = ("get", kind, selector, "--watch", "--output-watch-events", "--output=json")
        self._kubectl = kubectl

    def __enter__(self) -> "Changes":
        self._process = self._kubectl.follow(*self._command)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.poll() is None, "the watch ended: what it has not told proves nothing"
        self._process.terminate()
        self._process.wait(5)
        self._thread.join(5)

    def _read(self) -> None:
        for line in lines_of(self._process):
            self.at_s.append(time.monotonic())
            self.events.append(json.loads(line))
