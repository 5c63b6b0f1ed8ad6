"""A cluster with the operator and Envoy Gateway on it, for the tests of this folder; the Gateway goes with them."""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import bed, monitoring, pytest_runtest_makereport
from tests.gateway.fleet import CLAIM
from tests.gateway.servings import ENGINE, ENGINE_IMAGE
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl

NAMESPACE = "gateway-team"

__all__ = ["bed", "monitoring", "pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def say() -> object:
    """Prints what is done, with the seconds since the start."""
    began = time.monotonic()
    return lambda words: print(f"[{time.monotonic() - began:4.0f} s] {words}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def gateways(bed: Kubectl, say: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    """The cluster with a Gateway `public`."""
    try:
        gateway_bed.install(bed, tmp_path_factory.mktemp("envoy-gateway"), say)  # type: ignore[arg-type]
        yield bed
    finally:
        gateway_bed.uninstall(bed)


@pytest.fixture(scope="session")
def kubectl(gateways: Kubectl) -> Iterator[Kubectl]:
    """A namespace whose routes the Gateway lets in."""
    beds.fresh_namespace(gateways, NAMESPACE)
    gateways.run("label", "namespace", NAMESPACE, "gateway=public")
    yield gateways.within(NAMESPACE)
    gateways.run("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session")
def engines(kubectl: Kubectl) -> Kubectl:
    """The namespace with all that the tests' engine needs: its image, and a claim that it mounts."""
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, "--file", f"{ENGINE}=/app/engine.py")
    kubectl.apply(json.dumps(CLAIM))
    return kubectl
