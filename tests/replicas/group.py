"""An engine of the tests over several pods, whose leader answers nothing without its workers.

    python3 group.py PORT SECONDS

The same command in every pod of a replica; LeaderWorkerSet tells each who it is. A worker connects to its leader, once, and
ends when that connection does. A leader has every worker compute a part of each answer. One that is gone, or silent for two
seconds, is never taken back: health and requests are answered 503 until the replica is made anew. Each answer is a
connection's last. What it answers beside that: tests/e2e/engine.py, which lies beside it under that name. Standard library only.
"""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from io import BufferedRWPair

from tests.e2e import engine

JOIN_PORT = 8001
SILENCE_S = 2.0
FORGOTTEN_S = 60.0
"""A leader looks after its workers whenever it is asked for its health."""
HEALTH = "/health"


class Workers:
    """Those of this leader, by rank."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._joined: dict[int, BufferedRWPair] = {}
        self._is_broken = False
        self._lock = threading.Lock()

    def wait_for_them(self) -> None:
        """Takes in whoever is the first of its rank, for ever."""
        with socket.create_server(("", JOIN_PORT)) as server:
            while True:
                connection, _ = server.accept()
                connection.settimeout(SILENCE_S)
                file = connection.makefile("rwb")
                try:
                    self._join(int(file.readline()), file)
                except (OSError, ValueError):
                    file.close()
                connection.close()  # the file keeps it open

    def _join(self, rank: int, file: BufferedRWPair) -> None:
        with self._lock:
            if rank in self._joined or self._is_broken:
                raise ValueError(f"rank {rank} was here before")
            self._joined[rank] = file

    def compute(self) -> bool:
        """Whether all of them did their part."""
        with self._lock:
            if self._is_broken or len(self._joined) < self._count:
                return False
            try:
                for file in self._joined.values():
                    file.write(b"part\n")
                    file.flush()
                    if file.readline() != b"part\n":
                        raise OSError("a worker is gone")
            except OSError as error:
                print(f"not whole any more: {error}", flush=True)
                self._is_broken = True
                for file in self._joined.values():
                    with suppress(OSError):
                        file.close()
            return not self._is_broken


class Leader(engine.Handler):
    """What clients ask."""

    workers: Workers

    def do_GET(self) -> None:  # noqa: N802
        if self.path == HEALTH and not self.workers.compute():
            self.answer("not all workers are there", "text/plain", 503)
        else:
            super().do_GET()

    def do_POST(self) -> None:  # noqa: N802
        if self.workers.compute():
            super().do_POST()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer("not all workers are there", "text/plain", 503)

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        super().end_headers()


def lead(port: int, count: int) -> None:
    Leader.workers = Workers(count)
    threading.Thread(target=Leader.workers.wait_for_them, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=engine.leave).start())
    engine.Server(("", port), Leader).serve_forever()


def work(leader: str, rank: int) -> int:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    connection: socket.socket | None = None
    while connection is None:
        try:
            connection = socket.create_connection((leader, JOIN_PORT), timeout=FORGOTTEN_S)
        except OSError:
            time.sleep(0.2)
    with connection, connection.makefile("rwb") as file:
        file.write(f"{rank}\n".encode())
        file.flush()
        while line := file.readline():
            file.write(line)
            file.flush()
    return 1


if __name__ == "__main__":
    rank = int(os.environ["LWS_WORKER_INDEX"])
    if rank == 0:
        lead(int(sys.argv[1]), int(os.environ["LWS_GROUP_SIZE"]) - 1)
    else:
        sys.exit(work(os.environ["LWS_LEADER_ADDRESS"], rank))
