"""What an API server may answer, and that half of a list is no list."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import certifi
import pytest
from aiohttp import web

from deepseek_gate.cluster import Access, Cluster, Forbidden, Unread, Untold

Handler = Callable[[web.Request], web.Response]
Ask = Callable[[Handler], Awaitable[list[str]]]


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Ask]:
    """Lists once from a server with the given handler; gives the names that were found."""
    runners: list[web.AppRunner] = []
    (tmp_path / "token").write_text("secret-token\n")

    async def listed(handler: Handler) -> list[str]:
        async def answer(request: web.Request) -> web.Response:
            return handler(request)

        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        access = Access(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path / "token", Path(certifi.where()))
        async with Cluster(access) as cluster:
            return [one["metadata"]["name"] for one in await cluster.list_config_maps("team")]

    yield listed
    for runner in runners:
        await runner.cleanup()


def page(*names: str, rest: str = "") -> web.Response:
    return web.json_response(
        {"metadata": {"continue": rest}, "items": [{"metadata": {"name": name}} for name in names]}
    )


async def test_a_list_is_read_to_its_last_page_as_whom_the_token_says(ask: Ask) -> None:
    def answer(request: web.Request) -> web.Response:
        assert request.path == "/api/v1/namespaces/team/configmaps"
        assert request.headers["Authorization"] == "Bearer secret-token"
        assert request.query["labelSelector"] == "deepseek-operator.io/gate in (keys,models)"
        return page("b") if request.query.get("continue") == "more" else page("a", rest="more")

    assert await ask(answer) == ["a", "b"]


def _second_is(response: web.Response) -> Handler:
    return lambda request: response if "continue" in request.query else page("a", rest="more")


@pytest.mark.parametrize(
    "handler",
    [
        lambda request: web.Response(status=500, text="secret-token"),
        lambda request: web.Response(status=404),
        lambda request: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda request: web.Response(text="no JSON"),
        lambda request: web.json_response([]),
        lambda request: web.json_response({}),
        lambda request: web.json_response({"items": None}),
        _second_is(web.Response(status=410)),
        _second_is(web.Response(text="{")),
    ],
)
async def test_what_is_no_whole_list_is_unread(ask: Ask, handler: Handler) -> None:
    with pytest.raises(Unread) as refused:
        await ask(handler)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refusal_is_told_apart(ask: Ask, status: int) -> None:
    with pytest.raises(Forbidden, match=str(status)):
        await ask(lambda request: web.Response(status=status))


async def test_nobody_there_and_no_token_are_unread(tmp_path: Path) -> None:
    async with Cluster(Access("http://127.0.0.1:1", tmp_path / "none", Path(certifi.where()))) as cluster:
        with pytest.raises(Unread):
            await cluster.list_config_maps("team")
        (tmp_path / "none").write_text("t")
        with pytest.raises(Unread):
            await cluster.list_config_maps("team")


Mark = Callable[[web.Response], Awaitable[web.Request]]


@pytest.fixture
async def mark(tmp_path: Path) -> AsyncIterator[Mark]:
    """Marks a Lease once at a server that answers so; gives what it was asked."""
    runners: list[web.AppRunner] = []
    (tmp_path / "token").write_text("secret-token\n")

    async def marked(response: web.Response) -> web.Request:
        seen: list[web.Request] = []

        async def answer(request: web.Request) -> web.Response:
            await request.read()
            seen.append(request)
            return response

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        runners.append(runner)
        access = Access(f"http://127.0.0.1:{runner.addresses[0][1]}", tmp_path / "token", Path(certifi.where()))
        async with Cluster(access) as cluster:
            await cluster.mark_lease("team", "chat-serve", {"spec": {"renewTime": "now"}})
        return seen[0]

    yield marked
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("status", [200, 404])
async def test_a_lease_is_merged_into_where_there_is_one(mark: Mark, status: int) -> None:
    request = await mark(web.json_response({}, status=status))
    assert (request.method, request.path) == ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/team/leases/chat-serve")
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert await request.json() == {"spec": {"renewTime": "now"}}


@pytest.mark.parametrize("status", [302, 401, 403, 409, 500])
async def test_a_lease_that_was_not_marked_is_said_to_be_so(mark: Mark, status: int) -> None:
    with pytest.raises(Untold, match=str(status)):
        await mark(web.Response(status=status, text="secret-token"))
