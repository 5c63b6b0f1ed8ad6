"""external.metrics.k8s.io/v1beta1 for the HorizontalPodAutoscaler: one metric, selected by `serving=<name>`.

Only the API server's aggregator may ask: its client certificate must come from the request-header authority and
carry an allowed name, both read from ConfigMap kube-system/extension-apiserver-authentication. No wish is an empty
list, on which the autoscaler holds; it is never zero.
"""

import asyncio
import json
import logging
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deepseek_operator.api.base import rfc3339
from deepseek_operator.ports.cluster import ClusterError
from deepseek_operator.runtime.signals import Wish

log = logging.getLogger(__name__)

GROUP_VERSION = "external.metrics.k8s.io/v1beta1"
REFRESH_S = 60.0
"""How often certificate files and the aggregator's authority are looked at again."""
_SELF_SIGNED_DAYS = 3650


class Wishes(Protocol):
    """Where the values come from."""

    def wish(self, namespace: str, name: str) -> Wish | None:
        """The last wish for a serving; None for none, or an old one."""


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
    names = json.loads(config_map.get("requestheader-allowed-names") or "[]")
    return Aggregator(ca, tuple(map(str, names)))


class ExternalMetrics:
    """The TLS server. `read_aggregator` is asked at start and again every `REFRESH_S`."""

    def __init__(
        self,
        wishes: Wishes,
        metric: str,
        read_aggregator: Callable[[], Awaitable[Aggregator]],
        certificate_dir: str | None,
        interval_s: float,
    ) -> None:
        self._wishes = wishes
        self._metric = metric
        self._read_aggregator = read_aggregator
        self._certificate_dir = certificate_dir
        self._interval_s = interval_s
        self._aggregator: Aggregator | None = None

    async def run(self, host: str, port: int, started: Callable[[int], None] = lambda port: None) -> None:
        """Serves until cancelled; `started` is told the port. Waits for the authority if it is not there yet."""
        while (aggregator := await self._refreshed()) is None:  # noqa: ASYNC110 - it polls the API server
            await asyncio.sleep(REFRESH_S)
        with tempfile.TemporaryDirectory() as folder:
            certificates = Path(self._certificate_dir or _self_signed(Path(folder)))
            context = _context(certificates, aggregator)
            runner = web.AppRunner(self._application(), access_log=None)
            await runner.setup()
            try:
                site = web.TCPSite(runner, host or None, port, ssl_context=context)
                await site.start()
                started(runner.addresses[0][1])
                await self._refresh(context, certificates)
            finally:
                await runner.cleanup()

    async def _refresh(self, context: ssl.SSLContext, certificates: Path) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            context.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
            if (aggregator := await self._refreshed()) is not None:
                context.load_verify_locations(cadata=aggregator.ca)

    async def _refreshed(self) -> Aggregator | None:
        try:
            self._aggregator = await self._read_aggregator()
        except (ClusterError, ValueError) as error:
            log.warning("the aggregator's authority can't be read: %s", error)
            return None
        return self._aggregator

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
        name = _serving(request.query.get("labelSelector", ""))
        if name is None:
            return _status(400, "BadRequest", "labelSelector must be serving=<name>")
        wish = self._wishes.wish(request.match_info["namespace"], name)
        return web.json_response(self._list(name, wish))

    def _list(self, name: str, wish: Wish | None) -> dict[str, Any]:
        item = {
            "metricName": self._metric,
            "metricLabels": {"serving": name},
            "timestamp": rfc3339(wish.at),
            "window": int(self._interval_s),
            "value": str(wish.replicas),
        } if wish is not None else None  # fmt: skip
        items = [item] if item is not None else []
        return {"kind": "ExternalMetricValueList", "apiVersion": GROUP_VERSION, "metadata": {}, "items": items}


def _serving(selector: str) -> str | None:
    key, _, name = selector.partition("=")
    return name.removeprefix("=") if key == "serving" and name and "," not in name else None


def _common_name(certificate: Mapping[str, Any]) -> str:
    pairs = (pair for rdn in certificate.get("subject", ()) for pair in rdn)
    return next((value for key, value in pairs if key == "commonName"), "")


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response(body | {"message": message}, status=code)


def _context(certificates: Path, aggregator: Aggregator) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=aggregator.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
    return context


def _self_signed(folder: Path) -> Path:
    """A key pair for a cluster whose APIService does not verify us (`insecureSkipTLSVerify`)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "deepseek-operator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("deepseek-operator")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    return folder
