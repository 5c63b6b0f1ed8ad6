"""The chart's fence on a real API server, which takes it up within a second, and asks in the name of a pod of the operator."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from json import dumps, loads
from urllib.parse import urlencode, urlsplit

from examples.local_cluster.api import Api, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.operator_process import rendered

ROOT = "/apis/admissionregistration.k8s.io/v1"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def policy_of(system: str, watched: str | None, *values: str) -> list[Manifest]:
    """The policy and its binding, as the chart renders them for a release called as its namespace."""
    return [made for made in rendered(system, watched, "fence.enabled=true", *values) if made["kind"] in PLURALS]


@contextmanager
def fence(cluster: Cluster, system: str, watched: str | None, *values: str) -> Iterator[None]:
    """They are there; the API server may take a second to judge by them. Taken away at the end: others share the server."""
    made = policy_of(system, watched, *values)
    paths = [f"{ROOT}/{PLURALS[one['kind']]}/{one['metadata']['name']}" for one in made]
    try:
        for path, one in zip(paths, made, strict=True):
            cluster.api.apply(path, one)
        yield
    finally:
        for path in reversed(paths):
            cluster.api.delete(path)


@dataclass
class Impostor:
    """Asks as an administrator who impersonates the operator's account, or `user`, in the pod of that name, or in none."""

    api: Api
    user: str

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.api.ca))
        context.load_cert_chain(self.api.certificate, self.api.key)
        target = urlsplit(self.api.url)
        self._connection = HTTPSConnection(target.hostname or "", target.port, timeout=30, context=context)

    def close(self) -> None:
        self._connection.close()

    def ask(self, pod: str | None, verb: str, path: str, body: Manifest | None = None, **query: str) -> tuple[int, str]:
        """The HTTP status, and what the server says where it refuses."""
        headers = {"Impersonate-User": self.user, "Accept": "application/json", "Content-Type": "application/json"}
        if verb == "PATCH":
            headers["Content-Type"] = "application/apply-patch+yaml"
            query = {"fieldManager": "operator", "force": "true", **query}
        if pod is not None:
            headers["Impersonate-Extra-authentication.kubernetes.io%2fpod-name"] = pod
        address = path + (f"?{urlencode(query)}" if query else "")
        self._connection.request(verb, address, dumps(body) if body is not None else None, headers)
        response = self._connection.getresponse()
        content = response.read()
        return response.status, str(loads(content).get("message", "")) if response.status >= 400 else ""
