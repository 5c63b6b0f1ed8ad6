"""A real nginx before a small backend, configured as the operator configures it before a revision.

$NGINX is a folder with nginx, njs and their libraries, which `need_nginx` of environment.sh makes.
"""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

from deepseek_operator.domain.programs.answer_cache.configuration import (
    CONFIGURATION,
    FOLDER,
    HEALTH_PORT,
    MEMORY,
    PORT,
    SCRIPT,
    Cached,
    configuration,
    script,
)
from examples.local_cluster.progress import wait_for
from tests.support.debian import command
from tests.support.ports import free_port

MODULES = "/usr/lib/nginx/modules"
MI = 1024 * 1024
CACHED = Cached("chat-1", "127.0.0.1", 0, 3, 32 * MI, 300, 64 * MI, 60)
"""Before what the backend's port is written into."""


class Nginx:
    """One nginx, whose files are in `folder`: memory in its own, and what it logs in `log`."""

    def __init__(self, folder: Path, cached: Cached) -> None:
        self.memory, self.log, self._folder = folder / "memory", folder / "nginx.log", folder
        self.port, self.health_port = free_port(), free_port()
        self.memory.mkdir(parents=True, exist_ok=True)
        text, places = configuration(cached), self._places()
        assert all(there in text for there in places)
        # In one go: a folder of this machine may be named like one of a pod.
        there = re.compile("|".join(map(re.escape, places)))
        (folder / CONFIGURATION).write_text(there.sub(lambda found: places[found[0]], text))
        (folder / SCRIPT).write_text(script())

    def _places(self) -> Mapping[str, str]:
        """Where this machine has what a pod has."""
        return {
            MODULES: f"{os.environ['NGINX']}{MODULES}",
            FOLDER: str(self._folder),
            MEMORY + "/": f"{self.memory}/",
            f"listen {PORT};": f"listen 127.0.0.1:{self.port};",
            f"listen {HEALTH_PORT};": f"listen 127.0.0.1:{self.health_port};",
        }

    @contextmanager
    def running(self) -> Iterator["Nginx"]:
        """Until the end of the block."""
        with self.log.open("ab") as log:
            # nginx takes $NGINX for the sockets that one before it has handed on.
            its = {name: value for name, value in os.environ.items() if name != "NGINX"}
            arguments = [*_program(), "-c", str(self._folder / CONFIGURATION)]
            process = subprocess.Popen(arguments, stderr=log, stdout=log, env=its)
        self._process = process
        try:
            wait_for("nginx answers", lambda: self._is_up(process), timeout_s=30)
            yield self
        finally:
            process.terminate()
            process.wait(30)

    def _is_up(self, process: "subprocess.Popen[bytes]") -> bool:
        assert process.poll() is None, self.log.read_text()
        try:
            return self.health("/ready") is not None
        except OSError:
            return False

    def quit(self) -> None:
        """As the pod's `preStop` asks it to end: with what runs."""
        self._process.send_signal(signal.SIGQUIT)

    def is_open(self) -> bool:
        """Whether it takes new connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except ConnectionRefusedError:
            return False
        return True

    def health(self, path: str) -> str:
        """What the kubelet and Prometheus are told. OSError: nothing, or no 200."""
        with urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def ask(
        self,
        body: bytes,
        client: str | None = "alice",
        path: str = "/v1/completions",
        method: str = "POST",
        **headers: str,
    ) -> tuple[int, str, bytes]:
        """Status, what the cache says of it, and the answer. Headers are written with `_` for `-`."""
        said = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if client is not None:
            said["X-DeepSeek-Client"] = client
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, said, encode_chunked="Transfer-Encoding" in said)
            answer = connection.getresponse()
            return answer.status, answer.getheader("X-DeepSeek-Cache", ""), answer.read()
        finally:
            connection.close()

    def stored(self) -> list[bytes]:
        """Contents of all files below the memory, names of the folders excepted."""
        return [path.read_bytes() for path in self.memory.rglob("*") if path.is_file()]


def _program() -> list[str]:
    return [*command(Path(os.environ["NGINX"]), "usr/sbin/nginx"), "-g", "user root;"]
