"""The built-in cluster with a network that enforces policies; it enforces none before and behind these tests."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.local_cluster import control_plane
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.home import Home, default_root
from tests.support import bed as beds
from tests.support.enforcing import enforced
from tests.support.kubectl import Kubectl


@pytest.fixture(scope="session")
def say() -> Callable[[str], None]:
    """Prints what is done, with the seconds since the start."""
    began = time.monotonic()
    return lambda words: print(f"[{time.monotonic() - began:4.0f} s] {words}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of this machine, whose network is ours to change; whatever KUBECONFIG names is left alone."""
    beds.tests_cluster("ensure", "e2e")
    beds.tests_cluster("up")
    return control_plane.find(Home(default_root()))


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, say: Callable[[str], None]) -> Iterator[Kubectl]:
    """kubectl of that cluster, whose network enforces."""
    found = Kubectl(Path(cluster.kubeconfig))
    with enforced(found):
        say("policies are enforced")
        yield found
