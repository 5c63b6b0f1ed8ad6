"""The command `ui`: pages on this machine's loopback that show what `status` and `plot` do. Nothing can be written by them.

A page of somebody else's that a browser on this machine has open must neither read these nor pass for them: only loopback is
listened on, only GET is answered, a request that names another host than this one is refused (a name that was made to point
here sends its own), and the pages' policy lets no script run and nothing be framed or loaded from elsewhere.
"""

import asyncio
import signal
from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.plot import learnt
from deepseek_operator.cli.shown import page, story, tables
from deepseek_operator.cli.shown.naming import kinds_of, wanted
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import uid_of
from deepseek_operator.ports.cluster import ClusterError, Forbidden

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def answer(options: Namespace, kinds: Kinds) -> int:
    """Serves until it is interrupted or told to end. The exit status.

    Raises:
        ValueError, ConfigException: there is no such context, or no kubeconfig.
        OSError: the port is taken.
    """
    place = None if options.all_namespaces else namespace_of(options)
    async with api_server(options) as server:
        runner = web.AppRunner(application(Reader(server, place), kinds), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, options.port)
            await site.start()
            print(f"http://{HOST}:{runner.addresses[0][1]}/  (Ctrl-C ends it)", flush=True)
            await _told_to_end()
        finally:
            await runner.cleanup()
    return 0


async def _told_to_end() -> None:
    """Waits for SIGINT, which a shell lets what it runs in the background ignore, or SIGTERM."""
    ended = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(one, ended.set)
    await ended.wait()


def application(reader: Reader, kinds: Kinds) -> web.Application:
    """The pages, of what `reader` reads."""
    pages = _Pages(reader, kinds)
    made = web.Application(middlewares=[_guarded])
    made.router.add_get("/", pages.overview)
    made.router.add_get("/style.css", pages.style)
    made.router.add_get("/{namespace}/{kind}/{name}", pages.one)
    return made


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses other hosts, and turns what went wrong into a page that says so."""
    try:
        if not _is_ours(request):
            response: web.StreamResponse = _page("Not this host", 421, "This page is at 127.0.0.1 and localhost alone.")
        else:
            response = await handler(request)
    except web.HTTPException as error:
        response = _page(error.reason, error.status, "There is nothing to see here.")
    except Forbidden as error:
        response = _page("You may not read this", 403, str(error))
    except ClusterError as error:
        response = _page("The cluster does not answer", 502, str(error))
    except ValueError as error:
        response = _page("Not found", 404, str(error))
    response.headers.update(HEADERS)
    return response


def _is_ours(request: web.Request) -> bool:
    """Whether its Host is this server's address and port."""
    address = request.transport.get_extra_info("sockname") if request.transport is not None else None
    port = address[1] if address is not None else 0
    return request.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")


@dataclass(frozen=True)
class _Pages:
    """What is shown at each path."""

    reader: Reader
    kinds: Kinds

    async def overview(self, request: web.Request) -> web.StreamResponse:
        """All objects."""
        found = await self.reader.every(kinds_of(self.kinds))
        where = self.reader.namespace or "all namespaces"
        return _html(page.overview(tables.overview(found, datetime.now(UTC)), where))

    async def style(self, request: web.Request) -> web.StreamResponse:
        """The one style sheet."""
        return web.Response(text=page.STYLE, content_type="text/css")

    async def one(self, request: web.Request) -> web.StreamResponse:
        """One object."""
        namespace, name = request.match_info["namespace"], f"{request.match_info['kind']}/{request.match_info['name']}"
        reader = Reader(self.reader.server, namespace)
        entry, manifest = await reader.find(wanted(name, kinds_of(self.kinds)))
        assert entry.told is not None
        mine = await reader.belonging(entry, manifest)
        uids = frozenset({uid_of(manifest), *map(uid_of, mine.objects)})
        events = await reader.warnings(namespace, uids)
        unread = [*mine.unread, *events.unread]
        curve = None
        if entry.told.lives is not None:
            try:
                curve = await learnt(reader, entry, manifest)
            except Forbidden as error:
                unread.append(f"the loss is not shown: {error}")
        told = story.story(entry, manifest, mine.objects, events.objects, unread)
        return _html(page.object_page(told, datetime.now(UTC), curve, entry.told.revisions(manifest)))


def _page(title: str, status: int, words: str) -> web.Response:
    return _html(page.message(title, words), status)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")
