"""A server of every kind that sources are fetched from, each with `FILES`, over TLS or without."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from examples.local_cluster.pki import Identity, ensure_authority, ensure_certificate
from tests.sources.fetches import FILES
from tests.support.mirror import Mirror
from tests.support.s3 import serving
from tests.support.site import Site

Certificate = tuple[Path, Path] | None
"""Files of one and of its key; None: without TLS."""


@dataclass(frozen=True)
class Server:
    """The port of one that runs; `uri` and `told`: of a source of it, at whatever address it is asked."""

    port: int
    uri: Callable[[str], str]
    told: Callable[[str], Mapping[str, str]]


Kind = Callable[[Path, Certificate, str], AbstractContextManager[Server]]
"""Of a folder of its own, its certificate, and the name by which a hub sends readers to its large files."""


@contextmanager
def hub(_: Path, files: Certificate, elsewhere: str) -> Iterator[Server]:
    with Mirror(tls=_tls(files), elsewhere=elsewhere).serving() as mirror:
        mirror.push("deepseek-ai/tiny", FILES)
        yield Server(mirror.port, lambda _: "hf://deepseek-ai/tiny@main", lambda at: {"HF_ENDPOINT": at})


@contextmanager
def bucket(root: Path, files: Certificate, _: str) -> Iterator[Server]:
    with serving(root / "s3", tls=files) as s3:
        s3.put("models", "lite", FILES)
        port = urlsplit(s3.url).port
        assert port is not None
        yield Server(port, lambda _: "s3://models/lite", lambda at: {**s3.variables, "AWS_ENDPOINT_URL": at})


@contextmanager
def web(_: Path, files: Certificate, __: str) -> Iterator[Server]:
    with Site(tls=_tls(files)).serving() as site:
        site.put("models/lite", FILES)
        yield Server(site.port, lambda at: f"{at}/models/lite/", lambda at: {"DEEPSEEK_SOURCE_ALLOWED": at})


KINDS: tuple[Kind, ...] = (hub, bucket, web)


def authority(folder: Path) -> str:
    """One that is made there, in PEM."""
    ensure_authority(folder, "ca", folder.name)
    return (folder / "ca.crt").read_text()


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """One for those names by the authority there."""
    authority(folder)
    ensure_certificate(folder, Identity("server", "server", names=names))
    return folder / "server.crt", folder / "server.key"


def _tls(files: Certificate) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
