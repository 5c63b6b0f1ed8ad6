"""A whole cluster that a Prometheus observes, by the chart's own jobs and rules; see `scene.py` for what runs on it.

OBSERVED_NUMBERS names a folder that gets what Prometheus has seen, for pictures of the dashboards.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.conftest import bed, pytest_runtest_makereport
from tests.gateway.conftest import gateways, say
from tests.observed.causes import put_back
from tests.observed.exporter import exporting
from tests.observed.scene import VOLUME, Scene, a_room, asked, cards, set_up
from tests.observed.scraping import access, configuration, discovering
from tests.observed.values import values
from tests.support import bed as beds
from tests.support.kubectl import Kubectl
from tests.support.nginx_image import load_nginx
from tests.support.prometheus import running

__all__ = ["bed", "gateways", "pytest_runtest_makereport", "say"]

TEAM = "observed"
BASELINE_S = 75
"""How long all is well before anything is provoked: the least window that a rule compares with, and some scrapes."""


@pytest.fixture(scope="session")
def kubectl(gateways: Kubectl) -> Iterator[Kubectl]:
    """A namespace whose routes the Gateway lets in."""
    beds.fresh_namespace(gateways, TEAM)
    gateways.run("label", "namespace", TEAM, "gateway=public")
    yield gateways.within(TEAM)
    gateways.run("delete", "namespace", TEAM, "--wait=false")


@pytest.fixture(scope="session")
def scene(
    gateways: Kubectl, kubectl: Kubectl, say: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Everything runs and has been well for a while."""
    folder = tmp_path_factory.mktemp("prometheus")
    load_nginx()
    beds.release(gateways).install(*values(TEAM))
    with ExitStack() as stack:
        stack.callback(put_back, gateways)
        exporter = stack.enter_context(exporting())
        room = stack.enter_context(a_room(tmp_path_factory.mktemp("room") / "small"))
        stack.callback(gateways.run, "delete", "persistentvolume", VOLUME, "--ignore-not-found", "--wait=false")
        stack.callback(kubectl.run, "delete", "dss,dst", "--all", "--wait=true", timeout_s=120)
        stack.enter_context(cards(gateways))
        pods = stack.enter_context(discovering(access(gateways, folder)))
        store = stack.enter_context(running(folder, configuration(gateways, exporter.port, pods, folder)))
        found = Scene(kubectl, gateways, store, exporter, room)
        set_up(kubectl, room)
        say("everything runs")
        stack.enter_context(asked(kubectl))
        exporter.busy.update({(TEAM, found.pod("card")["metadata"]["name"]): 50, (TEAM, found.steady.pods(1)[0]): 80})
        found.began_s = time.time()
        time.sleep(BASELINE_S)
        say("and has for a while")
        yield found
        if found.load is not None:
            found.load.stop()
        if kept := os.environ.get("OBSERVED_NUMBERS"):
            store.snapshot(folder, Path(kept))
