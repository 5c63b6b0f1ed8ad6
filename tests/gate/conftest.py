"""Envoy, gate and backend, each pair for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.support.envoy import CLAIMS, INTERNAL, Bed, keys_of
from tests.support.gate import entry, models_map


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """By keys; all internal headers are stripped from what clients send."""
    made = Bed(tmp_path_factory.mktemp("keys"), "keys", (*INTERNAL, *CLAIMS))
    made.config_maps += [keys_of(), models_map()]
    yield from made.run()


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """By keys; nothing is stripped from what clients send."""
    made = Bed(tmp_path_factory.mktemp("careless"), "keys", ())
    made.config_maps += [keys_of(bob=entry("sk-ds-bob", "chat")), models_map()]
    yield from made.run()


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """By tokens, whose claims the gateway has written: here the client plays that part."""
    made = Bed(tmp_path_factory.mktemp("jwt"), "jwt", INTERNAL)
    made.config_maps += [keys_of(), models_map()]
    yield from made.run()
