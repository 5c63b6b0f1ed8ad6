"""A real Prometheus that a test has started, and what it is asked."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.support.ports import free_port

FOREVER_S = 60.0


def eventually(done: Callable[[], bool]) -> None:
    """Returns once it is so; fails when it is not within a minute."""
    ends_at = time.monotonic() + FOREVER_S
    while not done():
        assert time.monotonic() < ends_at
        time.sleep(0.2)


def is_ready(url: str) -> bool:
    """It answers queries."""
    try:
        with urlopen(f"{url}/-/ready", timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def chosen(expression: str) -> str:
    """A dashboard's query with what both tools put in for All."""
    return re.sub(r"\$\w+", ".*", expression)


@dataclass(frozen=True)
class Store:
    """A Prometheus that is asked."""

    url: str

    def ask(self, path: str, **values: object) -> Any:
        """What it answers under `data`; ValueError with its words where it can't read the query."""
        try:
            with urlopen(f"{self.url}/api/v1/{path}?{urlencode(values)}", timeout=20) as response:
                return json.load(response)["data"]
        except HTTPError as error:
            raise ValueError(json.load(error)["error"]) from None

    def found(self, expression: str) -> list[dict[str, str]]:
        """Labels of the series that have a number now."""
        answer = self.ask("query", query=chosen(expression))
        return [one["metric"] for one in answer["result"] if one["value"][1] != "NaN"]

    def values(self, expression: str) -> list[float]:
        """Of every series now, in no order."""
        return [float(one["value"][1]) for one in self.ask("query", query=chosen(expression))["result"]]

    def since(self, expression: str, began_s: float, step_s: int) -> list[tuple[dict[str, str], list[float]]]:
        """Labels of each series that had a number since then (Unix time), and the times at which it had one."""
        told = self.ask("query_range", query=chosen(expression), start=began_s, end=time.time(), step=step_s)["result"]
        moments = [(one["metric"], [at for at, value in one["values"] if value != "NaN"]) for one in told]
        return [(labels, at) for labels, at in moments if at]

    def snapshot(self, folder: Path, to: Path) -> None:
        """Copies what it has seen until now; `folder` is where it runs."""
        request = Request(f"{self.url}/api/v1/admin/tsdb/snapshot", method="POST")
        with urlopen(request, timeout=60) as response:
            name = json.load(response)["data"]["name"]
        shutil.copytree(folder / "data/snapshots" / name, to)


@contextmanager
def running(folder: Path, configuration: Mapping[str, Any]) -> Iterator[Store]:
    """Debian's Prometheus with that configuration, its log and its numbers in `folder`; it ends with the block."""
    port = free_port()
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    flags = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--web.enable-admin-api")  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["/usr/bin/prometheus", *flags], stdout=log, stderr=log)
    found = Store(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: is_ready(found.url))
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)
