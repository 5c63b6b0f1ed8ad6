"""What Envoy Gateway makes of manifests, by its own translator and without a cluster (`egctl experimental translate`), and that
as a configuration which Envoy reads from a file.

The translator takes global rate limits to be set up, and leaves out where the rate limit service is, which the controller
adds from a Secret of its own.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.support.go_programs import EGCTL, built

Manifest = Mapping[str, Any]
RATE_LIMIT = "ratelimit_cluster"
"""Its name for where the rate limit service is."""
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
"""Whom Envoy's image trusts."""
CREDENTIAL = "credential_injector/credential/httproutefilter/"
"""Begins the name of what requests are given before they come to a backend."""
PATIENCE = "10s"
"""In place of 20 ms, after which it lets requests in: what a controller takes from `rateLimit.timeout`, and a busy machine needs."""


def translated(manifests: Sequence[Manifest], folder: Path) -> Mapping[str, Any]:
    """What it prints: each kind with statuses, and under `xds` Envoy's configuration for each Gateway."""
    written = folder / "manifests.yaml"
    written.write_text(yaml.safe_dump_all(manifests))
    command = [str(built(EGCTL)), "x", "translate", "--to=gateway-api,xds", "--type=all", "--output=json"]
    done = subprocess.run([*command, f"--file={written}"], capture_output=True, text=True, timeout=60, check=True)
    found: Mapping[str, Any] = json.loads(done.stdout)
    return found


def statuses(found: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    """Type and status of each condition that it tells of these, in order."""
    told = (one for item in found.get(kind, ()) for one in item["status"].get("ancestors") or item["status"]["parents"])
    return [(one["type"], one["status"]) for answer in told for one in answer["conditions"]]


def static(
    found: Mapping[str, Any],
    port: int,
    places: Mapping[str, int],
    authority: Path | None = None,
    credentials: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Any]:
    """Its only Gateway's configuration, with all that Envoy would be told later on written down, listening at `port` of this
    machine. `places`: the port here of each Service by its name, or by name and port where its ports lead to several, of each
    host outside by its own, and of the rate limit service, if there is one, by `RATE_LIMIT`. `authority`: whom it trusts in
    place of those of Envoy's image. `credentials`: by HTTPRouteFilter, as namespace/name, what it gives to requests, of which
    the translator prints nothing."""
    (whole,) = found["xds"].values()
    dumps = {one["@type"].rpartition(".")[2]: one for one in whole["configs"]}
    routes = {
        one["routeConfig"]["name"]: one["routeConfig"] for one in dumps["RoutesConfigDump"]["dynamicRouteConfigs"]
    }
    endpoints = {
        one["endpointConfig"]["clusterName"]: one["endpointConfig"]
        for one in dumps["EndpointsConfigDump"]["dynamicEndpointConfigs"]
    }
    listeners = [one["activeState"]["listener"] for one in dumps["ListenersConfigDump"]["dynamicListeners"]]
    (listener,) = [one for one in listeners if "defaultFilterChain" in one]
    (manager,) = [one["typedConfig"] for one in listener["defaultFilterChain"]["filters"]]
    manager["routeConfig"] = _plain(routes[manager.pop("rds")["routeConfigName"]])
    for one in manager["httpFilters"]:
        if one["typedConfig"]["@type"].endswith("ratelimit.v3.RateLimit"):
            one["typedConfig"]["timeout"] = PATIENCE
    listener["address"] = _address(port)
    clusters = [one["cluster"] for one in dumps["ClustersConfigDump"]["dynamicActiveClusters"]]
    made = [
        _cluster(one, endpoints[one["name"]], places) if one["name"] in endpoints else _outside(one, places, authority)
        for one in clusters
    ]
    if RATE_LIMIT in places:
        made.append(_rate_limit_service(places[RATE_LIMIT]))
    secrets = [
        {"name": f"{CREDENTIAL}{name}", "generic_secret": {"secret": {"inline_string": value}}}
        for name, value in credentials.items()
    ]
    written = {"listeners": [_plain(listener)], "clusters": [_plain(_read_here(one)) for one in made]}
    return {"static_resources": {**written, **({"secrets": secrets} if secrets else {})}}


def _read_here(found: Any) -> Any:
    """With each credential among the static secrets: as it comes it is asked for later on."""
    if isinstance(found, list):
        return [_read_here(one) for one in found]
    if not isinstance(found, dict):
        return found
    read = {name: _read_here(value) for name, value in found.items()}
    return read if not read.get("name", "").startswith(CREDENTIAL) else {"name": read["name"]}


def _cluster(cluster: dict[str, Any], told: dict[str, Any], places: Mapping[str, int]) -> dict[str, Any]:
    """Its endpoints here, and nothing else of it changed."""
    for locality in told["endpoints"]:
        (resource,) = locality["metadata"]["filterMetadata"]["envoy-gateway"]["resources"]
        for endpoint in locality["lbEndpoints"]:
            one = f"{resource['name']}:{resource['sectionName']}"
            endpoint["endpoint"] = {"address": _address(places[one if one in places else resource["name"]])}
    rest = {name: value for name, value in cluster.items() if name not in ("edsClusterConfig", "dnsLookupFamily")}
    return {**rest, "type": "STATIC", "loadAssignment": _plain(told)}


def _outside(cluster: dict[str, Any], places: Mapping[str, int], authority: Path | None) -> dict[str, Any]:
    """A host that is no Service: here, and nothing else of it changed but whom Envoy trusts."""
    for locality in cluster["loadAssignment"]["endpoints"]:
        for endpoint in locality["lbEndpoints"]:
            name = endpoint["endpoint"]["address"]["socketAddress"]["address"]
            endpoint["endpoint"]["address"] = _address(places[name])
    for match in (cluster, *cluster.get("transportSocketMatches", ())):
        _trust(match["transportSocket"]["typedConfig"]["commonTlsContext"], authority)
    rest = {name: value for name, value in cluster.items() if name not in ("clusterType", "dnsLookupFamily")}
    return {**rest, "type": "STATIC"}


def _trust(tls: dict[str, Any], authority: Path | None) -> None:
    """In place of the authorities of Envoy's image, whether their file is named or told by the controller."""
    if (combined := tls.pop("combinedValidationContext", None)) is not None:
        assert combined["validationContextSdsSecretConfig"]["name"] == "system_ca_certificates"
        trusted = {"trustedCa": {"filename": SYSTEM}}
        tls["validationContext"] = {**combined["defaultValidationContext"], **trusted}
    if "validationContext" in tls:
        assert tls["validationContext"]["trustedCa"] == {"filename": SYSTEM}
        tls["validationContext"]["trustedCa"] = {"filename": str(authority)}


def _rate_limit_service(port: int) -> dict[str, Any]:
    """Asked by gRPC, and without TLS."""
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicitHttpConfig": {"http2ProtocolOptions": {}},
    }
    endpoints = [{"lbEndpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {
        "name": RATE_LIMIT,
        "type": "STATIC",
        "connectTimeout": "10s",
        "loadAssignment": {"clusterName": RATE_LIMIT, "endpoints": endpoints},
        "typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socketAddress": {"address": "127.0.0.1", "portValue": port}}


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Without the type that a dump writes beside each message."""
    return {name: value for name, value in message.items() if name != "@type"}
