"""nginx before a backend, each pair for the tests of a file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.answering import Backend
from tests.support.nginx import CACHED, Nginx


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with Backend() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def nginx(folder: Path, backend: Backend) -> Iterator[Nginx]:
    """Before the revision chat-1."""
    with Nginx(folder / "one", replace(CACHED, port=backend.port)).running() as running:
        yield running


@pytest.fixture(scope="module")
def other(folder: Path, backend: Backend) -> Iterator[Nginx]:
    """Before another revision, over the same backend, for two seconds each answer."""
    cached = replace(CACHED, revision="chat-2", port=backend.port, ttl_s=2)
    with Nginx(folder / "two", cached).running() as running:
        yield running
