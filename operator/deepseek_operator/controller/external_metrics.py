"""external.metrics.k8s.io/v1beta1 for the HorizontalPodAutoscaler: one metric, selected by
`<word of the kind>=<name>`.

Only the API server's aggregator may ask: its client certificate must come from the request-header authority and
carry an allowed name, both read from ConfigMap kube-system/extension-apiserver-authentication. No wish is an empty
list, on which the autoscaler holds; it is never zero.
"""

import asyncio
import json
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from deepseek_operator.api.base import rfc3339
from deepseek_operator.controller.doors import EXTERNAL_METRICS, Door
from deepseek_operator.controller.signals import Wish
from deepseek_operator.ports.cluster import ClusterError

log = logging.getLogger(__name__)

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"
REFRESH_S = 60.0
"""How often certificate files and the aggregator's authority are looked at again."""
PAIR = ("tls.crt", "tls.key")
"""Files of a certificate and its key, as a Secret of that type mounts them."""


class Wishes(Protocol):
    """Where the values come from."""

    def wish(self, word: str, namespace: str, name: str) -> Wish | None:
        """The last wish for an owner of the kind of that word; None for none, or an old one."""


@dataclass(frozen=True)
class Aggregator:
    """Whom we believe: `ca` (PEM) signed its certificate, its common name is one of `names` (empty: any)."""

    ca: str
    names: tuple[str, ...]


def aggregator_of(config_map: Mapping[str, str]) -> Aggregator:
    """What the ConfigMap says.

    Raises:
        ValueError: aggregation is not set up in this cluster.
    """
    ca = config_map.get("requestheader-client-ca-file", "")
    if not ca:
        raise ValueError("extension-apiserver-authentication has no requestheader-client-ca-file")
    # No names given is `[]` or `null`, by how the API server was told.
    names = json.loads(config_map.get("requestheader-allowed-names") or "[]") or ()
    return Aggregator(ca, tuple(map(str, names)))


class ExternalMetrics:
    """The TLS server. `read_aggregator` is asked at start and again every `REFRESH_S`, like the certificate's files."""

    def __init__(
        self,
        wishes: Wishes,
        metric: str,
        words: Collection[str],
        read_aggregator: Callable[[], Awaitable[Aggregator]],
        certificate_dir: str | None,
        interval_s: float,
    ) -> None:
        self._wishes = wishes
        self._metric = metric
        self._words = words
        self._read_aggregator = read_aggregator
        self._certificate_dir = certificate_dir
        self._interval_s = interval_s
        self._aggregator: Aggregator | None = None

    async def run(self, host: str, port: int, started: Callable[[int], None] = lambda port: None) -> None:
        """Serves until cancelled; `started` is told the port, once. Waits for what can't be read yet.

        Another authority or certificate is another server: no connection outlives what it was let in by.
        """
        trusted: _Trust | None = None
        async with AsyncExitStack() as stack:
            while True:
                try:
                    trust = await self._trust()
                    context = trust.context() if trust != trusted else None
                except (ClusterError, ValueError, OSError) as error:
                    told = "still with what was read before" if trusted is not None else "not yet"
                    log.warning("external metrics are served %s: %s", told, error)
                else:
                    if context is not None:
                        await stack.aclose()
                        port = await self._serve(stack, host, port, context)
                        if trusted is None:
                            started(port)
                        trusted = trust
                await asyncio.sleep(REFRESH_S)

    async def _trust(self) -> "_Trust":
        self._aggregator = await self._read_aggregator()
        if self._certificate_dir is None:
            return _Trust(self._aggregator.ca)
        folder = Path(self._certificate_dir)
        return _Trust(self._aggregator.ca, folder, tuple((folder / name).read_bytes() for name in PAIR))

    async def _serve(self, stack: AsyncExitStack, host: str, port: int, context: ssl.SSLContext) -> int:
        door = Door("external metrics", self._application(), EXTERNAL_METRICS, context)
        port = await door.open(host, port)
        stack.push_async_callback(door.close)
        return port

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._only_aggregator])
        application.router.add_get(f"/apis/{GROUP_VERSION}", self._discover)
        application.router.add_get(f"/apis/{GROUP_VERSION}/namespaces/{{namespace}}/{{metric}}", self._values)
        return application

    @web.middleware
    async def _only_aggregator(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        names = self._aggregator.names if self._aggregator is not None else ()
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        if not certificate or (names and _common_name(certificate) not in names):
            return _status(403, "Forbidden", "only the API server's aggregator may ask")
        return await handler(request)

    async def _discover(self, request: web.Request) -> web.Response:
        resource = {"name": self._metric, "singularName": "", "namespaced": True}
        resource |= {"kind": "ExternalMetricValueList", "verbs": ["get"]}
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": GROUP_VERSION, "resources": [resource]}
        return web.json_response(body)

    async def _values(self, request: web.Request) -> web.Response:
        if request.match_info["metric"] != self._metric:
            return _status(404, "NotFound", f"there is no metric but {self._metric}")
        word, name = _selected(request.query.get("labelSelector", ""))
        if word not in self._words or not name:
            wanted = " or ".join(f"{word}=<name>" for word in self._words)
            return _status(400, "BadRequest", f"labelSelector must be {wanted}")
        wish = self._wishes.wish(word, request.match_info["namespace"], name)
        return web.json_response(self._list(word, name, wish))

    def _list(self, word: str, name: str, wish: Wish | None) -> dict[str, Any]:
        item = {
            "metricName": self._metric,
            "metricLabels": {word: name},
            "timestamp": rfc3339(wish.at),
            "window": int(self._interval_s),
            "value": str(wish.replicas),
        } if wish is not None else None  # fmt: skip
        items = [item] if item is not None else []
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}


def _selected(selector: str) -> tuple[str, str]:
    """Word and name of one owner; an empty name: it selects something else."""
    word, _, name = selector.partition("=")
    return word, name.removeprefix("=") if "," not in name else ""


def _common_name(certificate: Mapping[str, Any]) -> str:
    pairs = (pair for rdn in certificate.get("subject", ()) for pair in rdn)
    return next((value for key, value in pairs if key == "commonName"), "")


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response(body | {"message": message}, status=code)


@dataclass(frozen=True)
class _Trust:
    """What a server is made of: the authority (PEM) of those who may ask, and the files of its own certificate.

    `pair` is what the files hold, so that another content is another value; without a folder it signs for itself.
    """

    ca: str
    folder: Path | None = None
    pair: tuple[bytes, ...] = ()

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError) when authority, certificate or key are no PEM or do not belong together."""
        from deepseek_operator.controller.certificates import self_signed  # Seven megabytes, for whoever serves them.

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        with tempfile.TemporaryDirectory() as own:  # A key file stays no longer than it takes to read it.
            folder = self.folder or self_signed(Path(own))
            context.load_cert_chain(folder / PAIR[0], folder / PAIR[1])
        return context
