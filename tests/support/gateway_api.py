"""The definitions of Gateway API and of Envoy Gateway, as their modules publish them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster.api import Api, Manifest
from tests.support.kubectl import until
from tests.support.our_kinds import DEFINITIONS

MODULE = Path(__file__).with_name("envoy_gateway")
GATEWAY_API, ENVOY_GATEWAY = "sigs.k8s.io/gateway-api", "github.com/envoyproxy/gateway"
_ENVOY_GATEWAY_CRDS = "charts/gateway-helm/charts/crds/crds/generated"

COLLECTIONS = {
    "GatewayClass": "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
    "Gateway": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/gateways",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "GRPCRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/grpcroutes",
    "BackendTrafficPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/backendtrafficpolicies",
    "SecurityPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/securitypolicies",
    "HTTPRouteFilter": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/httproutefilters",
    "ClientTrafficPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/clienttrafficpolicies",
    "EnvoyProxy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/envoyproxies",
    "EnvoyExtensionPolicy": "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{}/envoyextensionpolicies",
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


def install(api: Api, definitions: list[Manifest]) -> None:
    """Makes them, and waits until they are served."""
    for definition in definitions:
        api.apply(f"{DEFINITIONS}/{definition['metadata']['name']}", definition)
    for definition in definitions:
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        (version,) = [v["name"] for v in definition["spec"]["versions"] if v["storage"]]
        path = f"/apis/{group}/{version}/{plural}"
        until(f"{plural} are served", partial(api.is_served, path), timeout_s=120)


def uninstall(api: Api, definitions: list[Manifest]) -> None:
    """Takes them away with all their objects, and waits until they are gone."""
    for definition in definitions:
        api.delete(f"{DEFINITIONS}/{definition['metadata']['name']}")
    for definition in definitions:
        path = f"{DEFINITIONS}/{definition['metadata']['name']}"
        until(f"no {path}", partial(_is_gone, api, path), timeout_s=120)


def _is_gone(api: Api, path: str) -> bool:
    return not api.exists(path)


@contextmanager
def served(api: Api, *sets: list[Manifest]) -> Iterator[None]:
    """The definitions while it lasts."""
    every = [definition for found in sets for definition in found]
    install(api, every)
    try:
        yield
    finally:
        uninstall(api, every)
