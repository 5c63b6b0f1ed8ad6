"""external.metrics.k8s.io over TLS: who may ask, and what an autoscaler gets."""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deepseek_operator.controller import external_metrics
from deepseek_operator.controller.certificates import ends_at
from deepseek_operator.controller.external_metrics import Aggregator, ExternalMetrics, aggregator_of
from deepseek_operator.controller.signals import Wish

ROOT = "/apis/external.metrics.k8s.io/v1beta1"
AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Authority:
    """A certificate authority made for one test."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str, folder: Path) -> Path:
        """A file with a certificate of that common name and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed(name, key, self.certificate.subject, self.key, is_ca=False)
        path = folder / f"{name}-{self.certificate.serial_number}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        return path


def authority(name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return Authority(key, signed(name, key, issuer, key, is_ca=True))


def signed(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey, is_ca: bool
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


class Wishes:
    def __init__(self) -> None:
        self.wishes: dict[tuple[str, str], Wish] = {("team", "chat"): Wish(3, AT)}

    def wish(self, word: str, namespace: str, name: str) -> Wish | None:
        return self.wishes.get((namespace, name))


@dataclass(frozen=True)
class Stage:
    url: str
    front: Authority
    folder: Path
    trusted: list[Authority]

    async def get(self, path: str, certificate: Path | None, selector: str | None = None) -> tuple[int, Any]:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            context.load_cert_chain(certificate)
        query = {"labelSelector": selector} if selector is not None else None
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
            session.get(self.url + path, params=query) as response,
        ):
            return response.status, await response.json()

    def aggregator(self) -> Path:
        return self.front.issue("front-proxy-client", self.folder)


@asynccontextmanager
async def serving(folder: Path, certificates: Path | None = None) -> AsyncIterator[Stage]:
    """A server that believes the last of `trusted`, and serves with the files of `certificates`."""
    front = authority("front-proxy-ca")
    trusted = [front]

    async def read() -> Aggregator:
        return Aggregator(trusted[-1].pem, ("front-proxy-client",))

    server = ExternalMetrics(
        Wishes(), "wanted_replicas", ["serving"], read, str(certificates) if certificates else None, 15.0
    )
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.run("127.0.0.1", 0, port.set_result))
    yield Stage(f"https://127.0.0.1:{await port}", front, folder, trusted)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with serving(tmp_path) as stage:
        yield stage


async def test_the_aggregator_discovers_the_metric(stage: Stage) -> None:
    status, body = await stage.get(ROOT, stage.aggregator())
    assert status == 200
    assert body["groupVersion"] == "external.metrics.k8s.io/v1beta1"
    assert [resource["name"] for resource in body["resources"]] == ["wanted_replicas"]


async def test_a_wish_is_one_item(stage: Stage) -> None:
    status, body = await stage.get(f"{ROOT}/namespaces/team/wanted_replicas", stage.aggregator(), "serving=chat")
    item = {"metricName": "wanted_replicas", "metricLabels": {"serving": "chat"}, "window": 15, "value": "3"}
    assert (status, body["items"]) == (200, [{**item, "timestamp": "2026-01-01T00:00:00Z"}])


async def test_no_wish_is_an_empty_list_and_never_zero(stage: Stage) -> None:
    for namespace, name in (("team", "other"), ("elsewhere", "chat")):
        path = f"{ROOT}/namespaces/{namespace}/wanted_replicas"
        assert (await stage.get(path, stage.aggregator(), f"serving={name}"))[1]["items"] == []


async def test_another_metric_or_selector_is_refused_with_a_status(stage: Stage) -> None:
    status, body = await stage.get(f"{ROOT}/namespaces/team/other", stage.aggregator(), "serving=chat")
    assert (status, body["kind"], body["code"]) == (404, "Status", 404)
    for selector in ("", "serving=", "serving in (a,b)", "serving=a,team=b", "app=chat"):
        path = f"{ROOT}/namespaces/team/wanted_replicas"
        assert (await stage.get(path, stage.aggregator(), selector))[0] == 400


async def test_another_common_name_of_the_same_authority_is_refused(stage: Stage) -> None:
    assert (await stage.get(ROOT, stage.front.issue("somebody", stage.folder)))[0] == 403


@pytest.mark.parametrize("which", ["none", "foreign"])
async def test_no_certificate_or_one_of_another_authority_gets_no_connection(stage: Stage, which: str) -> None:
    foreign = authority("front-proxy-ca").issue("front-proxy-client", stage.folder)
    with pytest.raises(REFUSED):
        await stage.get(ROOT, foreign if which == "foreign" else None)


REFUSED = (aiohttp.ClientError, ConnectionError, ssl.SSLError)


async def test_an_authority_that_was_rotated_out_gets_no_connection_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_metrics, "REFRESH_S", 0.01)
    async with serving(tmp_path) as stage:
        assert (await stage.get(ROOT, stage.aggregator()))[0] == 200
        stage.trusted.append(authority("front-proxy-ca"))
        newer = stage.trusted[-1].issue("front-proxy-client", tmp_path)
        async with asyncio.timeout(10):
            while await answer(stage, newer) != 200:  # noqa: ASYNC110 - it polls the server
                await asyncio.sleep(0.01)
        assert await answer(stage, stage.aggregator()) is None


async def answer(stage: Stage, certificate: Path) -> int | None:
    try:
        return (await stage.get(ROOT, certificate))[0]
    except REFUSED:
        return None


async def test_a_certificate_that_can_not_be_read_is_not_taken_and_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(external_metrics, "REFRESH_S", 0.01)
    pair = authority("own").issue("first", tmp_path).read_bytes()
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_bytes(pair)
    async with serving(tmp_path, tmp_path) as stage:
        (tmp_path / "tls.key").write_bytes(authority("own").issue("second", tmp_path).read_bytes())
        async with asyncio.timeout(10):
            while not caplog.messages:  # noqa: ASYNC110 - it polls the server
                await asyncio.sleep(0.01)
        assert "still with what was read before" in caplog.messages[0]
        assert await answer(stage, stage.aggregator()) == 200


def test_when_the_certificate_ends_is_read_from_its_file_and_unknown_without_one(tmp_path: Path) -> None:
    pem = authority("own").issue("first", tmp_path).read_bytes()
    assert isnan(ends_at(str(tmp_path / "none")))
    (tmp_path / "tls.crt").write_bytes(b"no certificate")
    assert isnan(ends_at(str(tmp_path)))
    (tmp_path / "tls.crt").write_bytes(pem)
    assert ends_at(str(tmp_path)) == x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()


async def test_the_private_key_of_a_server_that_signs_for_itself_is_on_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "tmp"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    async with serving(tmp_path) as stage:
        assert (await stage.get(ROOT, stage.aggregator()))[0] == 200
        assert list(own.iterdir()) == []


def test_a_cluster_without_aggregation_is_said_so() -> None:
    with pytest.raises(ValueError, match="requestheader-client-ca-file"):
        aggregator_of({})
    data = {"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": '["a", "b"]'}
    assert aggregator_of(data) == Aggregator("PEM", ("a", "b"))


@pytest.mark.parametrize("names", ["[]", "null", ""])
def test_an_authority_without_names_lets_any_of_its_certificates_in(names: str) -> None:
    data = {"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": names}
    assert aggregator_of(data) == Aggregator("PEM", ())


def test_the_library_of_certificates_is_imported_by_whoever_serves_them_alone() -> None:
    """It takes seven megabytes."""
    code = "import sys, deepseek_operator.controller.handlers; sys.exit('cryptography' in sys.modules)"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=paths).returncode == 0
