"""Sources from servers whose certificates are of an authority of one's own, by the pod's own command: of every kind."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from examples.local_cluster.pki import Identity, ensure_authority, ensure_certificate
from tests.sources.fetches import FILES, Fetch, Place
from tests.support.mirror import Mirror
from tests.support.s3 import serving
from tests.support.site import Site

HERE = ("127.0.0.1", "localhost")


def authority(folder: Path) -> str:
    """One that is made there, in PEM."""
    ensure_authority(folder, "ca", folder.name)
    return (folder / "ca.crt").read_text()


def of(folder: Path, *names: str) -> tuple[Path, Path]:
    """Files of a certificate for those names by that authority, and of its key."""
    authority(folder)
    ensure_certificate(folder, Identity("server", "server", names=names))
    return folder / "server.crt", folder / "server.key"


def tls(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@contextmanager
def hub(_: Path, files: tuple[Path, Path]) -> Iterator[tuple[str, Mapping[str, str]]]:
    with Mirror(tls=tls(files)).serving() as mirror:
        mirror.push("deepseek-ai/tiny", FILES)
        yield "hf://deepseek-ai/tiny@main", {"HF_ENDPOINT": mirror.url}


@contextmanager
def bucket(root: Path, files: tuple[Path, Path]) -> Iterator[tuple[str, Mapping[str, str]]]:
    with serving(root / "s3", tls=files) as s3:
        s3.put("models", "lite", FILES)
        yield "s3://models/lite", s3.variables


@contextmanager
def web(_: Path, files: tuple[Path, Path]) -> Iterator[tuple[str, Mapping[str, str]]]:
    with Site(tls=tls(files)).serving() as site:
        site.put("models/lite", FILES)
        yield f"{site.url}/models/lite/", {"DEEPSEEK_SOURCE_ALLOWED": site.url}


Server = Callable[[Path, tuple[Path, Path]], AbstractContextManager[tuple[str, Mapping[str, str]]]]
every_kind = pytest.mark.parametrize("server", [hub, bucket, web])


def fetched(root: Path, place: tuple[str, Mapping[str, str]], **variables: str) -> tuple[Fetch, Place]:
    claim = root / "claim"
    claim.mkdir(exist_ok=True)
    uri, told = place
    made = Place(claim, uri, told, begun=len(list(root.glob("words-*"))))
    return made.fetch(**variables), made


@every_kind
def test_an_authority_of_ones_own_is_believed_beside_those_of_the_image(tmp_path: Path, server: Server) -> None:
    own, image = authority(tmp_path / "own"), tmp_path / "image" / "ca.crt"
    authority(image.parent)
    for issuer in ("own", "image"):
        root = tmp_path / f"by-{issuer}"
        root.mkdir()
        with server(root, of(tmp_path / issuer, *HERE)) as place:
            fetch, made = fetched(root, place, DEEPSEEK_SOURCE_AUTHORITIES=own, SSL_CERT_FILE=str(image))
            assert fetch.ended() == 0, fetch.log.read_text()
            assert made.folder(fetch.said) == FILES


@every_kind
def test_a_certificate_that_nobody_believes_is_refused_with_what_an_administrator_can_do(
    tmp_path: Path, server: Server
) -> None:
    other = authority(tmp_path / "other")
    with server(tmp_path, of(tmp_path / "own", *HERE)) as place:
        for believed in ("", other):
            fetch, _ = fetched(tmp_path, place, DEEPSEEK_SOURCE_AUTHORITIES=believed)
            assert fetch.ended() == 69, fetch.log.read_text()
            assert "names the authority of that certificate in sources.authorities" in str(fetch.said["message"])


@every_kind
def test_an_authority_of_ones_own_is_believed_for_the_names_in_its_certificates_alone(
    tmp_path: Path, server: Server
) -> None:
    own = authority(tmp_path / "own")
    with server(tmp_path, of(tmp_path / "own", "hub.example.com")) as place:
        fetch, made = fetched(tmp_path, place, DEEPSEEK_SOURCE_AUTHORITIES=own)
        assert fetch.ended() == 69, fetch.log.read_text()
        assert "sources.authorities" not in str(fetch.said["message"]), "it would not help"
        assert not list(made.claim.rglob("config.json"))


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    for text in ("ca.crt", "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----", "é"):
        fetch, _ = fetched(tmp_path, ("hf://deepseek-ai/tiny@main", {}), DEEPSEEK_SOURCE_AUTHORITIES=text)
        assert fetch.ended() == 64, fetch.log.read_text()
        assert "DEEPSEEK_SOURCE_AUTHORITIES is no certificate" in str(fetch.said["message"])
