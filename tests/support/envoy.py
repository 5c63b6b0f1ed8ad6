"""A real Envoy before a small backend, with the real gate beside it. What stands in for the cluster is a list of ConfigMaps.

Its access log and what reads tokens off answers are those that an administrator is shown.

$ENVOY is the environment with Envoy's wheel, which `need_envoy` of environment.sh makes.
"""

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import certifi
import yaml
from aiohttp import web

from examples.local_cluster.progress import wait_for
from tests.support.gate import KEY, GateProcess, config_map, entry, told
from tests.support.ports import free_port

UNJUDGED = "/unjudged"
"""Begins the paths about which the gate is not asked."""
MOST = 32 * 1024 * 1024
ANSWER_S = 15
INTERNAL = tuple(f"x-deepseek-{what}" for what in ("client", "model", "revision", "limits", "route"))
CLAIMS = ("x-deepseek-jwt-sub", "x-deepseek-jwt-scopes")
ASKED = ("x-api-key", "content-type", "content-encoding", *CLAIMS)
EXAMPLES = Path(__file__).parents[2] / "examples/gateway"
BEHIND = "chat-serve-975abe8e9a"
"""The Service that the backend stands for."""
USAGE = {"prompt_tokens": 11, "total_tokens": 18, "completion_tokens": 7}


class Served:
    """Some aiohttp application in a thread of its own, at `port`."""

    def __init__(self, application: web.Application) -> None:
        self._application = application
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),), daemon=True)

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = int(runner.addresses[0][1])
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()


def api_server(config_maps: Sequence[Mapping[str, Any]]) -> web.Application:
    """Lists what `config_maps` holds at the moment."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"kind": "ConfigMapList", "metadata": {}, "items": list(config_maps)})

    application = web.Application()
    application.router.add_get("/api/v1/namespaces/{namespace}/configmaps", answer)
    return application


def backend(go_on: threading.Event) -> web.Application:
    """Says what reached it; `/v1/completions` is a stream whose second half comes once `go_on` is set. Both tell tokens as
    engines do: of a stream only who asks is told. `/v1/embeddings` answers with what was sent."""

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {k.lower(): v for k, v in request.headers.items()}
        return web.json_response({"headers": headers, "bytes": len(body), "usage": USAGE})

    async def mirror(request: web.Request) -> web.Response:
        return web.json_response((await request.json())["answer"])

    async def stream(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        await asyncio.to_thread(go_on.wait, 60)
        await response.write(b"data: second\n\n")
        if body.get("stream_options"):
            await response.write(f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\n".encode())
            await response.write(b"data: [DONE]\n\n")
        return response

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_post("/v1/completions", stream)
    application.router.add_post("/v1/embeddings", mirror)
    application.router.add_route("*", "/{path:.*}", echo)
    return application


def _exact(*names: str) -> Mapping[str, Any]:
    return {"patterns": [{"exact": name} for name in names]}


def _cluster(name: str, port: int, service: str = "") -> Mapping[str, Any]:
    """`service`: whose endpoints they are, as Envoy Gateway says it of a backend of a route."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    told = {"filter_metadata": {"envoy-gateway": {"resources": [{"kind": "Service", "name": service}]}}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}], **({"metadata": told} if service else {})}]
    return {
        "name": name,
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _filter(name: str, kind: str, **settings: Any) -> Mapping[str, Any]:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **settings}}


def _authorizer(way: str) -> Mapping[str, Any]:
    """`ext_authz` as Envoy Gateway 1.9 writes it for SecurityPolicy `extAuth.http`."""
    return _filter(
        "envoy.filters.http.ext_authz",
        "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        clear_route_cache=True,
        with_request_body={"max_request_bytes": MOST},
        allowed_headers=_exact("authorization", *ASKED),
        http_service={
            "server_uri": {"uri": "http://gate", "cluster": "gate", "timeout": f"{ANSWER_S}s"},
            "path_prefix": f"/authorize/team/{way}",
            "authorization_response": {"allowed_upstream_headers": _exact(*INTERNAL)},
        },
    )


def _stripped(*names: str) -> Mapping[str, Any]:
    """As ClientTrafficPolicy `headers.earlyRequestHeaders.remove` does it."""
    return _filter(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove": name} for name in names],
    )


def _routes(gate_way: str) -> list[Mapping[str, Any]]:
    def of(serving: str) -> Mapping[str, Any]:
        match = {"prefix": "/v1/", "headers": [{"name": "x-deepseek-model", "string_match": {"exact": serving}}]}
        added = [{"header": {"key": "x-reached", "value": serving}}]
        name, action = f"httproute/team/{serving}-serve/rule/0/match/0", {"cluster": "backend", "timeout": "0s"}
        return {"name": name, "match": match, "route": action, "request_headers_to_add": added}

    listing = {"cluster": "gate", "prefix_rewrite": f"/models/team/{gate_way}"}
    off = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "disabled": True,
    }
    unjudged = {"cluster": "backend", "prefix_rewrite": "/"}
    per_filter = {"envoy.filters.http.ext_authz": off}
    return [
        {"match": {"prefix": f"{UNJUDGED}/"}, "route": unjudged, "typed_per_filter_config": per_filter},
        {"match": {"prefix": "/v1/models"}, "route": listing},
        of("chat"),
        of("r1"),
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]


def _shown(name: str, kind: str) -> Mapping[str, Any]:
    """The spec of what an administrator is shown."""
    documents = yaml.safe_load_all((EXAMPLES / name).read_text())
    return next(one["spec"] for one in documents if one["kind"] == kind)


def configuration(port: int, gate: int, behind: int, way: str, stripped: Sequence[str]) -> Mapping[str, Any]:
    """Envoy's whole configuration: one listener."""
    manager = _filter(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        codec_type="AUTO",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT",
        early_header_mutation_extensions=[_stripped(*stripped)] if stripped else [],
        access_log=[
            _filter(
                "envoy.access_loggers.stdout", "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                log_format={"json_format": _shown("administrator.yaml", "EnvoyProxy")["telemetry"]["accessLog"]["settings"][0]["format"]["json"]},
            )
        ],
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _routes(way)}]},
        http_filters=[
            _authorizer(way),
            _filter(
                "envoy.filters.http.lua", "envoy.extensions.filters.http.lua.v3.Lua",
                default_source_code={"inline_string": _shown("tokens.yaml", "EnvoyExtensionPolicy")["lua"][0]["inline"]},
            ),
            _filter("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router"),
        ],
    )  # fmt: skip
    listener = {
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "per_connection_buffer_limit_bytes": 32768,
        "filter_chains": [{"filters": [manager]}],
    }
    return {
        "static_resources": {
            "listeners": [listener],
            "clusters": [_cluster("gate", gate), _cluster("backend", behind, BEHIND)],
        }
    }


class Bed:
    """Envoy, gate and backend, which run while it is entered.

    Attributes:
        config_maps: what the cluster holds; change it and the gate hears.
        go_on: lets the backend's streams end.
        port: of Envoy; gate: the process.
        host: that clients ask for.
        at_first: what whoever has no key is answered once Envoy listens.
    """

    host = "a"
    at_first = 401

    def __init__(self, folder: Path, way: str, stripped: Sequence[str]) -> None:
        self._folder, self._way, self._stripped = folder, way, stripped
        self.config_maps: list[Mapping[str, Any]] = []
        self.go_on = threading.Event()
        self.port = free_port()
        self.log = folder / "envoy.log"

    def run(self) -> Iterator["Bed"]:
        """Yields itself once Envoy listens."""
        token = self._folder / "token"
        token.write_text("t")
        with Served(api_server(self.config_maps)) as server, Served(backend(self.go_on)) as behind:
            url = f"http://127.0.0.1:{server.port}"
            with GateProcess(self._folder, url, token, Path(certifi.where()), ["team"]) as self.gate:
                wait_for("the gate is ready", lambda: self.gate.health("/readyz")[0] == 200, timeout_s=30)
                yield from self._proxied(behind.port)

    def configured(self, behind: int) -> Mapping[str, Any]:
        """Envoy's configuration before a backend at that port."""
        return configuration(self.port, self.gate.port, behind, self._way, self._stripped)

    def _proxied(self, behind: int) -> Iterator["Bed"]:
        written = self._folder / "envoy.yaml"
        written.write_text(yaml.safe_dump(self.configured(behind)))
        program = Path(os.environ["ENVOY"]) / "bin" / "python"
        find = "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')"
        binary = subprocess.run([program, "-c", find], capture_output=True, text=True, check=True).stdout.strip()
        with self.log.open("ab") as log:
            envoy = subprocess.Popen(
                [
                    binary,
                    "-c",
                    str(written),
                    "--concurrency",
                    "1",
                    "--use-dynamic-base-id",
                    "--file-flush-interval-msec",
                    "100",
                ],
                stdout=log,
                stderr=log,
            )
        try:
            wait_for("Envoy listens", lambda: self._listens(envoy), timeout_s=60)
            yield self
        finally:
            envoy.terminate()
            envoy.wait(30)

    def _listens(self, envoy: "subprocess.Popen[bytes]") -> bool:
        assert envoy.poll() is None, self.log.read_text()[-2000:]
        try:
            return self.ask("/v1/models", method="GET")[0] == self.at_first
        except OSError:
            return False

    def ask(
        self, path: str, body: Any = None, key: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """What a client gets; `headers` with underscores for dashes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        return told(self.url(path), data, sent, method)

    def streamed(self, key: str = KEY, is_left: bool = False, **more: Any) -> tuple[bytes, bytes]:
        """What a client hears of a stream while the backend holds back its second half, and all that it hears. `is_left`: it
        goes before that."""
        self.go_on.clear()
        body = json.dumps({"model": "chat", "stream": True, **more}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {self.host}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        with socket.create_connection(("127.0.0.1", self.port), 30) as client:
            client.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            first = b""
            while b"data: first" not in first:
                first += client.recv(4096)
            if is_left:
                return first, first
            self.go_on.set()
            heard = first
            while piece := client.recv(4096):
                heard += piece
        return first, heard

    def logged(self) -> list[dict[str, Any]]:
        """Lines of the access log until now."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def url(self, path: str) -> str:
        """Of Envoy."""
        return f"http://127.0.0.1:{self.port}{path}"


def keys_of(**more: str) -> Mapping[str, Any]:
    """The ConfigMap of keys: alice, and those that are given by their entries."""
    return config_map("keys", {"alice": entry(KEY, "chat", limits="gold"), **more})
