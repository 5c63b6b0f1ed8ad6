"""Sources from servers whose certificates are of an authority of one's own, by the pod's own command: of every kind."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sources.fetches import FILES, Fetch, Place
from tests.sources.servers import KINDS, Kind, authority, certificate

HERE = ("127.0.0.1", "localhost")
every_kind = pytest.mark.parametrize("kind", KINDS)
Source = tuple[str, Mapping[str, str]]


@contextmanager
def offered(kind: Kind, root: Path, folder: Path, *names: str) -> Iterator[Source]:
    """By a server with a certificate for those names, of the authority in that folder."""
    with kind(root, certificate(folder, *names), "localhost") as server:
        at = f"https://127.0.0.1:{server.port}"
        yield server.uri(at), server.told(at)


def fetched(root: Path, source: Source, **variables: str) -> tuple[Fetch, Place]:
    claim = root / "claim"
    claim.mkdir(exist_ok=True)
    made = Place(claim, *source, begun=len(list(root.glob("words-*"))))
    return made.fetch(**variables), made


@every_kind
def test_an_authority_of_ones_own_is_believed_beside_those_of_the_image(tmp_path: Path, kind: Kind) -> None:
    own, image = authority(tmp_path / "own"), tmp_path / "image" / "ca.crt"
    authority(image.parent)
    for issuer in ("own", "image"):
        root = tmp_path / f"by-{issuer}"
        root.mkdir()
        with offered(kind, root, tmp_path / issuer, *HERE) as source:
            fetch, made = fetched(root, source, DEEPSEEK_SOURCE_AUTHORITIES=own, SSL_CERT_FILE=str(image))
            assert fetch.ended() == 0, fetch.log.read_text()
            assert made.folder(fetch.said) == FILES


@every_kind
def test_a_certificate_that_nobody_believes_is_refused_with_what_an_administrator_can_do(
    tmp_path: Path, kind: Kind
) -> None:
    other = authority(tmp_path / "other")
    with offered(kind, tmp_path, tmp_path / "own", *HERE) as source:
        for believed in ("", other):
            fetch, _ = fetched(tmp_path, source, DEEPSEEK_SOURCE_AUTHORITIES=believed)
            assert fetch.ended() == 69, fetch.log.read_text()
            assert "names the authority of that certificate in sources.authorities" in str(fetch.said["message"])


@every_kind
def test_an_authority_of_ones_own_is_believed_for_the_names_in_its_certificates_alone(
    tmp_path: Path, kind: Kind
) -> None:
    own = authority(tmp_path / "own")
    with offered(kind, tmp_path, tmp_path / "own", "hub.example.com") as source:
        fetch, made = fetched(tmp_path, source, DEEPSEEK_SOURCE_AUTHORITIES=own)
        assert fetch.ended() == 69, fetch.log.read_text()
        assert "sources.authorities" not in str(fetch.said["message"]), "it would not help"
        assert not list(made.claim.rglob("config.json"))


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    for text in ("ca.crt", "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----", "é"):
        fetch, _ = fetched(tmp_path, ("hf://deepseek-ai/tiny@main", {}), DEEPSEEK_SOURCE_AUTHORITIES=text)
        assert fetch.ended() == 64, fetch.log.read_text()
        assert "DEEPSEEK_SOURCE_AUTHORITIES is no certificate" in str(fetch.said["message"])
