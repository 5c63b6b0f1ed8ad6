"""These tests run the pod's program with the libraries of its image; without them they are not collected."""

from importlib.util import find_spec

import pytest

PATIENCE_S = 600
"""Of a test that hangs: no test here is judged by this clock."""

collect_ignore_glob = [] if find_spec("huggingface_hub") and find_spec("obstore") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this layer has the same patience."""
    for item in items:
        if "tests/sources" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(PATIENCE_S))
