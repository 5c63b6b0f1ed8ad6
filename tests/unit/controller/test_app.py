"""The whole process but its frame, on a small API server of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from deepseek_operator.adapters.api_server import CONNECTIONS, WRITE_TIMEOUT_S
from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller import app as app_module
from deepseek_operator.controller import audit as audit_module
from deepseek_operator.controller import lease as lease_module
from deepseek_operator.controller import stream as stream_module
from deepseek_operator.controller.app import App
from deepseek_operator.controller.ending import END_LIMIT_S
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.settings import Settings
from deepseek_operator.core.resources import GROUP
from deepseek_operator.kinds.registry import KINDS
from tests.support.posters import BOARD, POSTER, WITH_POSTERS, a_poster
from tests.support.tiny import tiny

SETTINGS = Settings(identity="a", bind_host="127.0.0.1", health_port=0, metrics_port=0, workers=CONNECTIONS + 8)


@dataclass
class Server:
    """Answers every list with nothing, tells nothing, keeps one Lease, and never answers who asks for one object.

    Attributes:
        plurals: what it serves of our group and of others' that not every cluster has; hanging: objects that are asked for; renewals: writes of the Lease;
        missed: requests for what it does not serve; refusal: the status of its answer to those; hangs: it answers nothing any more.
    """

    plurals: set[str] = field(default_factory=lambda: {TRAINING.plural, SERVING.plural})
    hanging: int = 0
    renewals: int = 0
    missed: int = 0
    refusal: int = 404
    lease: dict[str, Any] | None = None
    hangs: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await self.ended.wait()
        if "/leases" in request.path and "/namespaces/" in request.path:
            return await self._lease(request)
        if (GROUP in request.path or BOARD.group in request.path) and self.plurals.isdisjoint(request.path.split("/")):
            self.missed += 1
            return web.json_response({"message": "no"}, status=self.refusal, headers={"Retry-After": "60"})
        if "watch" in request.query:
            stream = web.StreamResponse()
            await stream.prepare(request)
            await self.ended.wait()
            return stream
        if "/namespaces/" in request.path:
            self.hanging += 1
            await self.ended.wait()
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async def _lease(self, request: web.Request) -> web.Response:
        if request.method in ("POST", "PUT"):
            self.renewals += 1
            lease = await request.json()
            given = {"uid": "lease", "resourceVersion": str(self.renewals)}
            self.lease = {**lease, "metadata": {**lease["metadata"], **given}}
        return web.json_response(self.lease or {}, status=200 if self.lease else 404)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Credentials]]:
    state = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", state.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    loaded = SimpleNamespace(
        host=f"http://127.0.0.1:{runner.addresses[0][1]}", ssl_ca_cert=None, cert_file=None, key_file=None,
        verify_ssl=True, auth_settings=dict,
    )  # fmt: skip
    yield state, Credentials(loaded)
    state.ended.set()
    await runner.cleanup()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the server runs in this loop
            await asyncio.sleep(0.01)


async def test_a_renewal_of_the_lease_never_waits_behind_reads_that_the_server_does_not_answer(
    server: tuple[Server, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, credentials = server
    monkeypatch.setattr(lease_module, "RETRY_S", 0.01)
    app = App(SETTINGS, credentials, KINDS)
    await app.start()
    try:
        await until(lambda: state.renewals > 0)
        for number in range(SETTINGS.workers):
            team = f"team-{number % 2}"  # Of one alone not all workers look.
            metadata = {"name": f"t{number}", "namespace": team, "uid": f"uid-{number}", "resourceVersion": "5"}
            app.told(TRAINING, "ADDED", {**tiny(f"t{number}"), "metadata": metadata})
        await until(lambda: state.hanging >= CONNECTIONS)
        renewals = state.renewals
        await until(lambda: state.renewals > renewals + 2, WRITE_TIMEOUT_S - 1)
    finally:
        await app.stop()


async def test_nothing_is_led_before_the_definitions_are_served_and_one_line_and_the_probe_say_so(
    server: tuple[Server, Credentials], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state, credentials = server
    state.plurals = {TRAINING.plural}
    monkeypatch.setattr(audit_module, "RETRY_S", 0.05)
    monkeypatch.setattr(audit_module, "FIRST_SETTLE_S", 0.05)
    monkeypatch.setattr(app_module, "UNREADY_AFTER_S", 0.1)
    app = App(replace(SETTINGS, workers=1), credentials, KINDS)
    await app.start()
    try:
        await asyncio.sleep(0.5)
        async with ClientSession() as session:
            for path, said in (("healthz", "ok"), ("readyz", f"{GROUP}/v1alpha1 has no deepseekservings")):
                async with session.get(f"http://127.0.0.1:{app.ports[0]}/{path}") as answer:
                    assert said in await answer.text()
        assert state.renewals == 0
        told = [record.getMessage() for record in caplog.records if record.name.endswith("stream")]
        assert told == [f"the watch of deepseekservings: NotServed: {GROUP}/v1alpha1 has no deepseekservings"]
        state.plurals = {TRAINING.plural, SERVING.plural}
        await until(lambda: state.renewals > 0)
    finally:
        await app.stop()


async def test_the_page_tells_of_objects_once_the_process_leads(
    server: tuple[Server, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, credentials = server
    monkeypatch.setattr(lease_module, "RETRY_S", 0.01)
    app = App(replace(SETTINGS, workers=1), credentials, KINDS)
    metadata = {"name": "t", "namespace": "team", "uid": "u", "resourceVersion": "5"}
    await app.start()
    try:
        app.told(TRAINING, "ADDED", {**tiny("t"), "metadata": metadata})
        async with ClientSession() as session:

            async def page() -> str:
                async with session.get(f"http://127.0.0.1:{app.ports[1]}/metrics") as answer:
                    return await answer.text()

            first = await page()
            await until(lambda: state.renewals > 0)
            assert 'deepseek_operator_mirror_objects{resource="deepseektrainings"} 1.0' in first
            assert 'deepseek_operator_training_info{namespace="team",name="t",' in await page()
            assert "deepseek_operator_training_info" not in first
    finally:
        await app.stop()


async def test_the_page_tells_when_the_certificate_that_is_served_with_ends(server: tuple[Server, Credentials]) -> None:
    served = replace(SETTINGS, external_metrics=True, certificate_dir="/nowhere")
    asked = 'deepseek_operator_certificate_expiry_timestamp_seconds{use="external-metrics"} NaN'
    assert asked in (await App(served, server[1], KINDS)._exposition()).decode()
    assert asked not in (await App(SETTINGS, server[1], KINDS)._exposition()).decode()


@pytest.mark.parametrize("status", [404, 403, 500, 429], ids=["missing", "forbidden", "broken", "busy"])
async def test_an_optional_api_that_can_not_be_had_costs_neither_readiness_nor_anybody_s_passes(
    server: tuple[Server, Credentials], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    state, credentials = server
    state.plurals = {*(entry.resource.plural for entry in WITH_POSTERS)}
    state.refusal = status
    monkeypatch.setattr(stream_module, "DOUBT_S", 0.05)
    monkeypatch.setattr(stream_module, "OWN_TROUBLE_S", 0.2)
    monkeypatch.setattr(audit_module, "PATIENT_ROUNDS", 3)
    monkeypatch.setattr(app_module, "UNREADY_AFTER_S", 0.3)
    app = App(replace(SETTINGS, workers=1), credentials, WITH_POSTERS)
    await app.start()
    try:
        await until(lambda: state.renewals > 0)
        await asyncio.sleep(0.5)
        missed = state.missed
        await asyncio.sleep(1)
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{app.ports[0]}/readyz") as answer:
            assert await answer.text() == "ok\n"
        assert state.missed == missed
    finally:
        await app.stop()


async def test_whoever_uses_an_optional_api_looks_again_when_it_comes_and_goes_where_it_does(
    server: tuple[Server, Credentials], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(replace(SETTINGS, workers=1), server[1], WITH_POSTERS)
    woken: list[Key] = []
    monkeypatch.setattr(app, "_wake", lambda keys: woken.extend(keys))
    for namespace in ("a", "b"):
        metadata = {"name": "x", "namespace": namespace, "uid": f"u-{namespace}", "resourceVersion": "5"}
        app.told(POSTER, None, {**a_poster("x"), "metadata": metadata})
        app.told(TRAINING, None, {**tiny("x"), "metadata": {**metadata, "uid": f"t-{namespace}"}})
    woken.clear()
    for scope, why in ((None, "gone"), (None, "gone"), ("a", "gone"), ("a", None), ("a", None), (None, None)):
        app.missing(BOARD, scope, why)
    a, b = Key(POSTER, "a", "x"), Key(POSTER, "b", "x")
    assert woken == [a, b, a, a, a, b]
    woken.clear()
    app._mirror.turn_away(BOARD, b)
    for scope in ("a", None, None):
        app.missing(BOARD, scope, None)
    assert woken == [b]


async def test_a_process_ends_soon_though_the_server_answers_nothing_any_more(
    server: tuple[Server, Credentials],
) -> None:
    state, credentials = server
    app = App(replace(SETTINGS, workers=1), credentials, KINDS)
    await app.start()
    await until(lambda: state.renewals > 0)
    state.hangs = True
    async with asyncio.timeout(END_LIMIT_S):
        await app.stop()
