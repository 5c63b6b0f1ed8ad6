"""The part of a kubelet that the API server asks for logs: texts by pod and container, over TLS as a kubelet serves it."""

import datetime
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from examples.local_cluster.api import Api


class FakeKubelet:
    """Serves `texts`, by (pod, container, whether it is the log before), on a loopback port. Use it as a context manager.

    A log that is followed gets what `more` holds for the pod after a pause, and ends.
    """

    def __init__(self, folder: Path) -> None:
        self.texts: dict[tuple[str, str, bool], str] = {}
        self.more: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_self_signed(folder))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "FakeKubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def speaks_for(self, api: Api, node: str) -> None:
        """The API server asks here for logs of the node's pods."""
        port = self._server.server_address[1]
        address = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]}
        status = {**address, "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
        api.patch(f"/api/v1/nodes/{node}/status", {"status": status})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """GET /containerLogs/NAMESPACE/POD/CONTAINER."""
                url = urlsplit(self.path)
                _, _, _, pod, container = url.path.split("/")
                asked = parse_qs(url.query)
                text = kubelet.texts.get((pod, container, asked.get("previous") == ["true"]))
                self.send_response(404 if text is None else 200)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                lines = (text or "no such log").splitlines(keepends=True)
                lines = lines[-int(asked["tailLines"][0]) :] if "tailLines" in asked else lines
                self.wfile.write("".join(lines).encode())
                if asked.get("follow") == ["true"]:
                    self.wfile.flush()
                    self.wfile.write(kubelet.more.get(pod, "").encode())

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        return Handler


def _self_signed(folder: Path) -> Path:
    """Key and certificate in one file; the API server checks no kubelet's where it was given no authority for them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubelet")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    path = folder / "kubelet.pem"
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path
