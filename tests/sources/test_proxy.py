"""Sources by a proxy, by the pod's own command: of every kind, over TLS and without, and by no way but it."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from examples.local_cluster.pki import Identity, ensure_authority, ensure_certificate
from tests.sources.fetches import FILES, Place
from tests.support.forward_proxy import ForwardProxy
from tests.support.mirror import Mirror
from tests.support.s3 import serving
from tests.support.site import Site

HOST = "sources.example.test"
"""Only the proxy knows it."""


@dataclass(frozen=True)
class Server:
    """The port of one that runs; `uri` and `told`: of a source of it, at whatever address it is asked."""

    port: int
    uri: Callable[[str], str]
    told: Callable[[str], Mapping[str, str]]


Certificate = tuple[Path, Path] | None


def tls(files: Certificate) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@contextmanager
def hub(_: Path, files: Certificate) -> Iterator[Server]:
    with Mirror(tls=tls(files), elsewhere=HOST).serving() as mirror:
        mirror.push("deepseek-ai/tiny", FILES)
        yield Server(mirror.port, lambda _: "hf://deepseek-ai/tiny@main", lambda at: {"HF_ENDPOINT": at})


@contextmanager
def bucket(root: Path, files: Certificate) -> Iterator[Server]:
    with serving(root / "s3", tls=files) as s3:
        s3.put("models", "lite", FILES)
        port = urlsplit(s3.url).port
        assert port is not None
        yield Server(port, lambda _: "s3://models/lite", lambda at: {**s3.variables, "AWS_ENDPOINT_URL": at})


@contextmanager
def web(_: Path, files: Certificate) -> Iterator[Server]:
    with Site(tls=tls(files)).serving() as site:
        site.put("models/lite", FILES)
        yield Server(site.port, lambda at: f"{at}/models/lite/", lambda at: {"DEEPSEEK_SOURCE_ALLOWED": at})


Kind = Callable[[Path, Certificate], AbstractContextManager[Server]]


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[hub, bucket, web])
def asked(request: pytest.FixtureRequest, tmp_path: Path, scheme: str) -> Iterator[tuple[Place, ForwardProxy]]:
    """A claim, and a source at a name that the proxy alone knows."""
    kind: Kind = request.param
    folder, claim, files = tmp_path / "tls", tmp_path / "claim", None
    told = {}
    claim.mkdir()
    if scheme == "https":
        ensure_authority(folder, "ca", "company")
        ensure_certificate(folder, Identity("server", "server", names=(HOST,)))
        files = (folder / "server.crt", folder / "server.key")
        told = {"DEEPSEEK_SOURCE_AUTHORITIES": (folder / "ca.crt").read_text()}
    with ExitStack() as stack:
        server = stack.enter_context(kind(tmp_path, files))
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
