"""Which Kubernetes the tests meet: one that exists, or the one built here.

A test knows a kubeconfig and nothing else, so every back-end ends in one. A third (kind, where Docker exists) is another
class with these four methods.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from examples.local_cluster import builtin
from examples.local_cluster.home import Home
from examples.local_cluster.oci import Image
from examples.local_cluster.progress import say


@dataclass(frozen=True)
class Wanted:
    """What `up` shall end with. `advertise`: extended resources of the real node, by name."""

    control_plane_only: bool
    fake_nodes: int
    advertise: dict[str, str]


class Backend(Protocol):
    """A way to have a cluster."""

    def up(self, wanted: Wanted) -> Path:
        """Bring it up, or find it up, and return its kubeconfig."""

    def down(self, purge: bool) -> None:
        """Take down what `up` made."""

    def status(self) -> list[str]:
        """One line per part."""

    def load(self, image: Image) -> None:
        """Make an image available to its nodes."""


@dataclass(frozen=True)
class Builtin:
    """The cluster of a home folder."""

    home: Home

    def up(self, wanted: Wanted) -> Path:
        if wanted.control_plane_only:
            return builtin.up_control_plane(self.home, wanted.fake_nodes).kubeconfig
        return builtin.up(self.home, wanted.fake_nodes, wanted.advertise).kubeconfig

    def down(self, purge: bool) -> None:
        builtin.down(self.home, purge)

    def status(self) -> list[str]:
        return builtin.status(self.home)

    def load(self, image: Image) -> None:
        builtin.load(self.home, image)


@dataclass(frozen=True)
class Existing:
    """The cluster of a kubeconfig that somebody gave: looked at, never changed."""

    kubeconfig: Path

    def up(self, wanted: Wanted) -> Path:
        if wanted.fake_nodes or wanted.advertise:
            raise RuntimeError("fake nodes and resources are only made in a cluster of our own: unset KUBECONFIG")
        for line in self.status():
            say(line)
        return self.kubeconfig

    def down(self, purge: bool) -> None:
        say(f"{self.kubeconfig} names a cluster that `up` did not start: nothing to do")

    def status(self) -> list[str]:
        ready = self._kubectl("get", "--raw=/readyz")
        version = self._kubectl("version", "--output=yaml")
        server = version.partition("serverVersion:")[2]
        release = next((line.split()[-1] for line in server.splitlines() if "gitVersion" in line), "unknown")
        return [f"API server: {ready}, {release}", *self._kubectl("get", "nodes", "--no-headers").splitlines()]

    def load(self, image: Image) -> None:
        raise RuntimeError(f"push {image.name} to a registry that the cluster reads: this KUBECONFIG is not ours")

    def _kubectl(self, *arguments: str) -> str:
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", "--request-timeout=10s", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.kubeconfig}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()


def choose(home: Home) -> Backend:
    """A given KUBECONFIG wins, unless it is the one that this home's own `up` wrote."""
    given = os.environ.get("KUBECONFIG")
    if given and Path(given).expanduser().resolve() != home.kubeconfig:
        return Existing(Path(given).expanduser())
    return Builtin(home)
