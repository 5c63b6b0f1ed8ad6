"""An identity provider that publishes its keys by HTTPS, and the Envoy that fetches them there: what the operator renders of
`auth.jwt.jwks.uri`, as Envoy Gateway translates it, in a real Envoy with the real gate.
"""

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CONFIG_MAP
from tests.support.envoy import Bed
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.metered import Places, manifests
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.support.tokens import AUDIENCE, ISSUER, Provider
from tests.support.translation import static, translated

HOST, PROVIDER = "tokens.example.com", "login.example.com"
URI = f"https://{PROVIDER}/realms/team/keys"
BACKEND: Mapping[str, Any] = {
    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
    "kind": "Backend",
    "metadata": {"name": "login", "namespace": NAMESPACE},
    "spec": {
        "endpoints": [{"fqdn": {"hostname": PROVIDER, "port": 443}}],
        "tls": {"wellKnownCACertificates": "System", "sni": PROVIDER},
    },
}
FETCHED_EVERY_S = 2
"""In place of five minutes, which are Envoy Gateway's own."""


class Publisher:
    """Answers with `jwks` at the path of `URI`, and with 503 while that is None. `name` is on its certificate.

    Attributes:
        authority: file with the certificate of whoever signed its own.
        met: connections that it has had.
        fetches: requests that it has had, each by its path.
    """

    def __init__(self, folder: Path, jwks: str | None, name: str = PROVIDER) -> None:
        self.jwks = jwks
        self.met = 0
        self.fetches: list[str] = []
        self.authority, chain = folder / "authority.pem", folder / "server.pem"
        _signed(name, self.authority, chain)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._server.server_address[1])

    @contextmanager
    def running(self) -> Iterator["Publisher"]:
        """Until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(30)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def handle(self) -> None:
                publisher.met += 1
                with suppress(OSError):  # Who does not believe the certificate goes.
                    super().handle()

            def do_GET(self) -> None:
                publisher.fetches.append(self.path)
                content = (publisher.jwks or "").encode()
                self.send_response(200 if publisher.jwks is not None and self.path == "/realms/team/keys" else 503)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _signed(name: str, authority: Path, chain: Path) -> None:
    """Writes the certificate of a new authority, and key and certificate of a server of that name signed by it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the tests")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)

    def certificate(of: x509.Name, key: ec.EllipticCurvePrivateKey, is_authority: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(of).issuer_name(issuer).public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )  # fmt: skip
        if not is_authority:
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority.write_bytes(certificate(issuer, keys[0], is_authority=True))
    secret = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(secret + certificate(subject, keys[1], is_authority=False))


class Verified(Bed):
    """A serving for tokens behind Envoy Gateway's Envoy, which fetches the keys of `publisher`."""

    host = HOST

    def __init__(self, folder: Path, publisher: Publisher, api_keys: bool = False, has_backend: bool = True) -> None:
        super().__init__(folder, "jwt", ())
        jwks = {"uri": URI, **({"backendName": BACKEND["metadata"]["name"]} if has_backend else {})}
        jwt = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": jwks}
        parent = {**PUBLIC["parentRef"], "sectionName": "http"}
        gateway = {"parentRef": parent, "hostnames": [HOST], "auth": {"apiKeys": api_keys, "jwt": jwt}}
        life = ServingLife(configuration=Configuration(gate=GATE), gateway=gateway)
        life.run()
        for _ in range(2):
            takes(life)
        self.publisher = publisher
        self.config_maps.append(life.stored(CONFIG_MAP, SERVICE))
        self.manifests = [*manifests(life, is_counted=False), *([BACKEND] if has_backend else [])]
        self.found = translated(self.manifests, folder)

    @contextmanager
    def running(self) -> Iterator["Verified"]:
        for _ in self.run():
            yield self

    def ask(
        self, path: str, body: Any = None, key: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        return super().ask(path, body, key, method, **{"Host": self.host, **headers})

    def configured(self, behind: int) -> Mapping[str, Any]:
        places = Places({GATE.name: self.gate.port, PROVIDER: self.publisher.port}, behind)
        made = static(self.found, self.port, places, self.publisher.authority)
        for provider in providers(made):
            provider["remoteJwks"]["cacheDuration"] = f"{FETCHED_EVERY_S}s"
        return made

    def status(self, issuer: Provider, scope: str = "deepseek:chat", **claims: Any) -> int:
        """Of an answer to a token that it signs."""
        token = issuer.token("carol", scope, **claims)
        return self.ask("/v1/chat/completions", {"model": "chat"}, token)[0]


def providers(configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Whose tokens an Envoy with this configuration verifies."""
    (listener,) = configuration["static_resources"]["listeners"]
    (manager,) = (one["typedConfig"] for one in listener["defaultFilterChain"]["filters"])
    return [
        provider
        for one in manager["httpFilters"]
        if one["typedConfig"]["@type"].endswith("JwtAuthentication")
        for provider in one["typedConfig"]["providers"].values()
    ]
