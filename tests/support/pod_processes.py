"""Processes of pods on the one real node, which is this machine: to stop and to kill them as nothing inside of Kubernetes does."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from examples.local_cluster.api import Manifest


def signalled(pod: Manifest, program: str, number: signal.Signals) -> int:
    """Sends a signal to those processes of a pod that are Python with this script or module; how many they were."""
    found = [pid for pid, words in processes(pod) if program in _programs(words)]
    for pid in found:
        os.kill(pid, number)
    return len(found)


def processes(pod: Manifest) -> Iterator[tuple[int, list[str]]]:
    """Each process of a pod by its number on this machine, with its command line."""
    mark = f"/pod{pod['metadata']['uid']}/"
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It may have ended meanwhile.
            if mark in (folder / "cgroup").read_text():
                yield int(folder.name), (folder / "cmdline").read_text().split("\0")


def _programs(words: list[str]) -> list[str]:
    """Not what stands behind them: a program that starts another has that one's words too."""
    return words[2:3] if words[1:2] == ["-m"] else words[1:2]
