"""These tests run the vLLM that `tests/run vllm-cluster` installs in pods of a whole cluster; without it they are not collected."""

import os

import pytest

from tests.e2e.conftest import bed, pytest_runtest_makereport
from tests.support.kubectl import Kubectl
from tests.vllm_cluster import image

__all__ = ["bed", "pytest_runtest_makereport", "vllm"]

collect_ignore_glob = [] if "VLLM" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def vllm(bed: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of its image, which is loaded."""
    return image.load(tmp_path_factory.mktemp("vllm"))
