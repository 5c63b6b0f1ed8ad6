"""The definitions of Gateway API and of Envoy Gateway, as their modules publish them."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MODULE = Path(__file__).with_name("envoy_gateway")
GATEWAY_API, ENVOY_GATEWAY = "sigs.k8s.io/gateway-api", "github.com/envoyproxy/gateway"
_ENVOY_GATEWAY_CRDS = "charts/gateway-helm/charts/crds/crds/generated"

COLLECTIONS = {
    "GatewayClass": "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
    "Gateway": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/gateways",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "BackendTrafficPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/backendtrafficpolicies",
    "ClientTrafficPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/clienttrafficpolicies",
    "EnvoyProxy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/envoyproxies",
}
"""Paths of their collections, by kind."""


@cache
def folder(module: str) -> Path:
    """Where the source of one of the modules lies, fetched first where it is not there."""
    command = ["go", "mod", "download", "-json", module]
    told = subprocess.run(command, cwd=MODULE, env={**os.environ, "GOWORK": "off"}, check=True, capture_output=True)
    return Path(json.loads(told.stdout)["Dir"])


def standard() -> list[dict[str, Any]]:
    """Gateway API's own, of the standard channel."""
    return _documents(folder(GATEWAY_API) / "config/crd/standard")


def dialect() -> list[dict[str, Any]]:
    """Those of Envoy Gateway."""
    return _documents(folder(ENVOY_GATEWAY) / _ENVOY_GATEWAY_CRDS)


def _documents(place: Path) -> list[dict[str, Any]]:
    found = (document for path in sorted(place.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text()))
    return [document for document in found if document and document["kind"] == "CustomResourceDefinition"]
