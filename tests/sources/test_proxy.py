"""Sources by a proxy, by the pod's own command: of every kind, over TLS and without, and by no way but it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sources.fetches import FILES, Place
from tests.sources.servers import KINDS, Kind, authority, certificate
from tests.support.forward_proxy import ForwardProxy

HOST = "sources.example.test"
"""Only the proxy knows it."""


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=KINDS)
def asked(request: pytest.FixtureRequest, tmp_path: Path, scheme: str) -> Iterator[tuple[Place, ForwardProxy]]:
    """A claim, and a source at a name that the proxy alone knows."""
    kind: Kind = request.param
    folder, claim, files = tmp_path / "tls", tmp_path / "claim", None
    told = {}
    claim.mkdir()
    if scheme == "https":
        files, told = certificate(folder, HOST), {"DEEPSEEK_SOURCE_AUTHORITIES": authority(folder)}
    with ExitStack() as stack:
        server = stack.enter_context(kind(tmp_path, files, HOST))
        proxy = stack.enter_context(ForwardProxy({HOST: server.port}).serving())
        at = f"{scheme}://{HOST}:{server.port}"
        yield Place(claim, server.uri(at), {**told, **server.told(at)}), proxy


def test_a_source_is_asked_by_the_proxy(asked: tuple[Place, ForwardProxy], scheme: str) -> None:
    place, proxy = asked
    fetch = place.fetch(HTTPS_PROXY=proxy.url, HTTP_PROXY=proxy.url)
    assert fetch.ended() == 0, fetch.log.read_text()
    assert place.folder(fetch.said) == FILES
    ways = {"https": {f"{HOST} CONNECT"}, "http": {f"{HOST} GET", f"{HOST} HEAD"}}[scheme]
    assert set(proxy.asked) <= ways
    assert proxy.asked


@pytest.mark.parametrize("spared", [HOST, "example.test", "test"])
def test_a_host_that_is_spared_is_asked_without_it(asked: tuple[Place, ForwardProxy], spared: str) -> None:
    place, proxy = asked
    fetch = place.fetch(HTTPS_PROXY=proxy.url, HTTP_PROXY=proxy.url, NO_PROXY=f"svc,{spared}")
    assert fetch.ended() == 69, fetch.log.read_text()
    assert proxy.asked == [], "nobody else knows that name"
