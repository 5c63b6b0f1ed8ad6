"""What this machine has no hardware for: a server of metrics under the names of NVIDIA's exporter and of the node exporter.

The names are those of their documentation; the numbers are what a test writes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.pages import METRICS, serving

DISK = 'device="sda"'
EACH_SECOND = 10
"""Writes of the disk."""


@dataclass
class Exporter:
    """What is told next.

    Attributes:
        busy: percent of each pod's device, by namespace and name of the pod.
        write_s: seconds that each write takes from now on.
    """

    port: int = 0
    busy: dict[tuple[str, str], int] = field(default_factory=dict)
    write_s: float = 0.001
    _began_s: float = field(default_factory=time.monotonic)
    _writes: float = 0.0
    _wrote_s: float = 0.0

    def page(self) -> str:
        writes = (time.monotonic() - self._began_s) * EACH_SECOND
        self._wrote_s += (writes - self._writes) * self.write_s
        self._writes = writes
        devices = [
            f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",namespace="{namespace}",pod="{pod}"}} {percent}'
            for (namespace, pod), percent in self.busy.items()
        ]
        disk = (
            f"node_disk_reads_completed_total{{{DISK}}} 0",
            f"node_disk_read_time_seconds_total{{{DISK}}} 0",
            f"node_disk_writes_completed_total{{{DISK}}} {self._writes}",
            f"node_disk_write_time_seconds_total{{{DISK}}} {self._wrote_s}",
        )
        return "\n".join((*devices, *disk, ""))


@contextmanager
def exporting() -> Iterator[Exporter]:
    """One on a port of this machine's loopback."""
    told = Exporter()
    with serving(lambda _: told.page().encode(), METRICS) as told.port:
        yield told
