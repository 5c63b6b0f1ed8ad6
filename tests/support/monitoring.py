"""The local cluster's Prometheus, as a test kills it."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from examples.local_cluster import daemon
from examples.local_cluster.home import Home, default_root


@dataclass
class Monitoring:
    """The cluster's Prometheus; `kill` is SIGKILL."""

    home: Home

    def kill(self) -> None:
        daemon.send(self.home, "prometheus", signal.SIGKILL)

    def restart(self) -> None:
        daemon.restart(self.home, "prometheus")


@pytest.fixture
def monitoring() -> Iterator[Monitoring]:
    """Prometheus, if it is ours to kill; it runs again afterwards whatever happened."""
    found = Monitoring(Home(default_root()))
    if daemon.read_record(found.home, "prometheus") is None:
        pytest.skip("Prometheus of a cluster that is not ours is left alone")
    yield found
    record = daemon.read_record(found.home, "prometheus")
    if record is None or not record.is_alive():
        found.restart()
