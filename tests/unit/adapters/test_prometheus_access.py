"""A Prometheus that asks who asks, behind a certificate of a company's own."""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from deepseek_operator.adapters.prometheus import TENANT_HEADER, Manner, Prometheus
from deepseek_operator.core.seen import Sample, Signal, Unavailable
from examples.local_cluster.pki import Identity, ensure_authority, ensure_certificate
from tests.support.forward_proxy import ForwardProxy

AT = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = Sample(7.0, AT)
NAME = "prometheus.example.test"


class Guarded:
    """A server that lets in who shows `expected`, and answers 7."""

    def __init__(self) -> None:
        self.expected, self.tenants, self.url = "", list[str](), ""

    async def answer(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "") != self.expected:
            return web.Response(status=401, text="Unauthorized")
        self.tenants.append(request.headers.get(TENANT_HEADER, ""))
        result = [{"metric": {}, "value": [AT.timestamp(), "7"]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Guarded]:
    guarded, application = Guarded(), web.Application()
    application.router.add_get("/api/v1/query", guarded.answer)
    ensure_authority(tmp_path, "ca", "company")
    ensure_certificate(tmp_path, Identity("server", "server", names=("127.0.0.1", NAME)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    guarded.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    yield guarded
    await runner.cleanup()


@pytest.fixture
def authority(tmp_path: Path, server: Guarded) -> str:
    return (tmp_path / "ca.crt").read_text()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    return folder


async def read(server: Guarded, manner: Manner) -> Signal:
    store = Prometheus(server.url, manner=manner)
    try:
        return await store.read("up", AT)
    finally:
        store.close()


async def test_an_authority_that_is_named_is_believed_and_no_other(
    server: Guarded, authority: str, tmp_path: Path
) -> None:
    assert await read(server, Manner(authority)) == FOUND
    ensure_authority(tmp_path / "other", "ca", "other")
    for believed in ("", (tmp_path / "other" / "ca.crt").read_text()):
        told = await read(server, Manner(believed))
        assert isinstance(told, Unavailable)
        assert "certificate" in told.reason


async def test_it_is_believed_by_a_proxy_too(server: Guarded, authority: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(server.url.rpartition(":")[2])
    with ForwardProxy({NAME: port}).serving() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        server.url = f"https://{NAME}:{port}"
        assert await read(server, Manner(authority)) == FOUND
        assert proxy.asked == [f"{NAME} CONNECT"]


async def test_a_token_is_shown_as_it_is_now(server: Guarded, authority: str, secret: Path) -> None:
    store = Prometheus(server.url, manner=Manner(authority, str(secret)))
    for token in ("first", "renewed"):
        (secret / "token").write_text(f"{token}\n")
        server.expected = f"Bearer {token}"
        assert await store.read("up", AT) == FOUND
    server.expected = "Bearer another"
    told = await store.read("up", AT)
    assert isinstance(told, Unavailable)
    assert "401" in told.reason
    assert "renewed" not in told.reason
    store.close()


async def test_a_name_and_its_password_are_shown(server: Guarded, authority: str, secret: Path) -> None:
    (secret / "username").write_text("größer")
    (secret / "password").write_text("p:w\n")
    server.expected = f"Basic {b64encode('größer:p:w'.encode()).decode()}"
    assert await read(server, Manner(authority, str(secret))) == FOUND


async def test_the_tenant_is_named(server: Guarded, authority: str) -> None:
    await read(server, Manner(authority))
    await read(server, Manner(authority, tenant="team-a"))
    assert server.tenants == ["", "team-a"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no entry token, and none username with password beside it"),
        ({"username": b"sesame"}, "has no entry token, and none username with password beside it"),
        ({"password": b"sesame"}, "has no entry token, and none username with password beside it"),
        ({"token": b"sesame\nsesame"}, "can't be read, or is no line of text"),
        ({"token": "sesamé".encode()}, "can't be read, or is no line of text"),
        ({"token": b"sesame\xff"}, "can't be read, or is no line of text"),
        ({"username": b"sesame\nX: y", "password": b"sesame"}, "can't be read, or is no line of text"),
    ],
)
async def test_what_can_not_be_shown_is_told_without_it(
    server: Guarded, authority: str, secret: Path, files: dict[str, bytes], said: str
) -> None:
    for name, content in files.items():
        (secret / name).write_bytes(content)
    told = await read(server, Manner(authority, str(secret)))
    assert isinstance(told, Unavailable)
    assert said in told.reason
    assert "sesam" not in told.reason
