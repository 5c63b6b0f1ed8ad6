"""A constant load on a Gateway or a Service: small requests, each on a connection of its own or kept alive, every answer counted."""

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

TIMEOUT_S = 60


@dataclass
class Answer:
    """What one request came back with; status 0 for one that broke off, with the error as its body."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


def ask(
    address: str,
    host: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    port: int = 80,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
    try:
        return _asked(connection, host, path, body, headers or {})
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, repr(error))
    finally:
        connection.close()


def _asked(
    connection: http.client.HTTPConnection, host: str, path: str, body: bytes | None, headers: dict[str, str]
) -> Answer:
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request("POST" if body is not None else "GET", path, body, {"Host": host, **kind, **headers})
    response = connection.getresponse()
    return Answer(response.status, response.read().decode(errors="replace"), dict(response.headers))


def completion(**more: object) -> bytes:
    """A request that any engine answers at once."""
    return json.dumps({"model": "chat", "prompt": "hello=", "max_tokens": 1, "temperature": 0, **more}).encode()


def version_of(answer: Answer) -> str:
    """Which version of the tests' engine gave it; empty where it does not say so."""
    return str(json.loads(answer.body).get("system_fingerprint", ""))


class Load:
    """Clients that ask without pause until it ends; every second one keeps its connection.

    Attributes:
        statuses: how often each status came; 0: no whole answer.
        versions: how often each version answered, by the fingerprint that the tests' engine gives.
        failures: when (seconds since the start) what other than 200 came.
    """

    def __init__(
        self,
        address: str,
        host: str,
        clients: int = 4,
        pause_s: float = 0.02,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        port: int = 80,
    ) -> None:
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.failures: list[tuple[float, Answer]] = []
        self._address, self._port, self._host, self._pause_s = address, port, host, pause_s
        self._headers, self._body = headers or {}, body or completion()
        self._ended, self._began = threading.Event(), time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(number % 2 == 0,)) for number in range(clients)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(TIMEOUT_S + 10)

    def _run(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection(self._address, self._port, timeout=TIMEOUT_S)
        while not self._ended.wait(self._pause_s):
            try:
                answer = _asked(connection, self._host, "/v1/completions", self._body, self._headers)
            except (OSError, http.client.HTTPException) as error:
                answer = Answer(0, repr(error))
                connection.close()
            self.statuses[answer.status] += 1
            if answer.status == 200:
                self.versions[version_of(answer)] += 1
            else:
                self.failures.append((time.monotonic() - self._began, answer))
            if not keeps:
                connection.close()
        connection.close()
