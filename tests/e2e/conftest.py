"""A whole cluster with the operator of this tree on it, and a namespace of its own for every test.

The report of a failed test carries what `kubectl describe` says of its namespace and the operator's last lines.
"""

from collections.abc import Generator, Iterator
from hashlib import sha256

import pytest

from tests.support import bed as beds
from tests.support.kubectl import CommandFailed, Kubectl
from tests.support.monitoring import monitoring
from tests.support.release import NAME, NAMESPACE

__all__ = ["monitoring"]

DESCRIBED = "deepseektrainings,deepseekservings,jobs,deployments,pods"
LOG_LINES = 60


@pytest.fixture(scope="session")
def bed() -> Kubectl:
    """kubectl for the cluster, its operator ready."""
    return beds.ready()


@pytest.fixture
def kubectl(bed: Kubectl, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a fresh namespace under the restricted Pod Security Standard, which goes with the test."""
    module = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    name = f"e2e-{module}-{sha256(request.node.nodeid.encode()).hexdigest()[:6]}"
    beds.fresh_namespace(bed, name)
    yield bed.within(name)
    bed.run("delete", "namespace", name, "--wait=false")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    kubectl = item.funcargs.get("kubectl")
    if report.failed and report.when == "call" and isinstance(kubectl, Kubectl):
        operator = kubectl.within(NAMESPACE)
        logs = ("logs", f"deployment/{NAME}", f"--tail={LOG_LINES}")
        report.sections.append((f"namespace {kubectl.namespace}", _said(kubectl, "describe", DESCRIBED)))
        report.sections.append(("operator", _said(operator, *logs)))
    return report


def _said(kubectl: Kubectl, *arguments: str) -> str:
    try:
        return kubectl.run(*arguments)
    except CommandFailed as error:
        return str(error)
