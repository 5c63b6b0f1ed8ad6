"""Tokens per client and minute, with all that takes part in it: what the operator renders of a serving, as Envoy Gateway
translates it, in a real Envoy, with the real gate, Envoy's rate limit service and Redis.

$REDIS is a folder with Redis and its libraries, which `need_redis` of environment.sh makes.
"""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import (
    BACKEND_TRAFFIC_POLICY,
    CONFIG_MAP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    HTTP_ROUTE_FILTER,
    SECURITY_POLICY,
)
from examples.local_cluster.progress import wait_for
from tests.support.debian import command
from tests.support.envoy import EXAMPLES, Bed
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.go_programs import RATE_LIMIT_SERVICE, built
from tests.support.ports import free_port
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.support.translation import RATE_LIMIT, Manifest, static, translated

HOSTS = ("chat.example.com", "llm.example.com")
ROUTES = (HTTP_ROUTE, GRPC_ROUTE)
MOST = 50
"""Tokens per client; an answer of the backend has 18."""


def serving(**limits: Any) -> ServingLife:
    """One under two host names, whose route is open."""
    parent = {**PUBLIC["parentRef"], "sectionName": "http"}
    gateway = {"parentRef": parent, "hostnames": list(HOSTS), "auth": {"apiKeys": True}, "limits": limits}
    made = ServingLife(configuration=Configuration(gate=GATE), gateway=gateway)
    made.run()
    for _ in range(2):
        takes(made)
    return made


def manifests(life: ServingLife, is_counted: bool = True) -> list[Manifest]:
    """The operator's, and the administrator's: all of both examples, but a listener without TLS. `is_counted`: tokens.yaml
    is among them."""
    files = ("administrator.yaml", *(("tokens.yaml",) if is_counted else ()))
    found = [one for name in files for one in yaml.safe_load_all((EXAMPLES / name).read_text()) if one]
    by_kind = {one["kind"]: one for one in found}
    by_kind["Gateway"]["spec"]["listeners"] = [
        {"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "All"}}}
    ]
    del by_kind["ClientTrafficPolicy"]["spec"]["tls"]
    resources = (*ROUTES, BACKEND_TRAFFIC_POLICY, SECURITY_POLICY, HTTP_ROUTE_FILTER)
    ours = [one for resource in resources for one in life.cluster.all(resource, NAMESPACE)]
    spaces = [_named("v1", "Namespace", name) for name in (NAMESPACE, GATE.namespace, "gateways")]
    rules = [rule for one in ours for rule in one["spec"].get("rules", ())]
    services: dict[tuple[str, str], set[int]] = {}
    for backend in (one for rule in rules for one in rule.get("backendRefs", ())):
        services.setdefault((backend.get("namespace", NAMESPACE), backend["name"]), set()).add(backend["port"])
    return [
        *spaces, *found, *(_applied(one) for one in ours), _grant(),
        *(_service(namespace, name, sorted(ports)) for (namespace, name), ports in services.items()),
    ]  # fmt: skip


def _named(api_version: str, kind: str, name: str, namespace: str | None = None, **more: Any) -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace is not None else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def _applied(live: Manifest) -> Manifest:
    metadata = {name: live["metadata"][name] for name in ("name", "namespace")}
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}


def _service(namespace: str, name: str, ports: Sequence[int]) -> Manifest:
    told = [{"name": f"port-{port}", "port": port, "targetPort": port, "protocol": "TCP"} for port in ports]
    return _named("v1", "Service", name, namespace, spec={"clusterIP": "127.0.0.1", "ports": told})


def _grant() -> Manifest:
    """As the chart has it."""
    group = "gateway.networking.k8s.io"
    kinds = ((group, HTTP_ROUTE.kind), (SECURITY_POLICY.group, SECURITY_POLICY.kind))
    may = [{"group": of, "kind": kind, "namespace": NAMESPACE} for of, kind in kinds]
    spec = {"from": may, "to": [{"group": "", "kind": "Service"}]}
    return _named(f"{group}/v1beta1", "ReferenceGrant", "gate", GATE.namespace, spec=spec)


def descriptors(policy: Manifest) -> Mapping[str, Any]:
    """What the rate limit service is told of the policy, in the form in which Envoy Gateway tells it (`BuildRateLimitService`
    `Config`), with a year in place of a minute: no test may stand at the minute's end."""
    own = f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
    told = []
    for index, rule in enumerate(policy["spec"]["rateLimit"]["global"]["rules"]):
        key, (header,) = f"rule-{index}-match-0", rule["clientSelectors"][0]["headers"]
        value = {} if header["type"] == "Distinct" else {"value": key}
        limit = {"unit": "year", "requests_per_unit": rule["limit"]["requests"]}
        name = f"{own}/rule/{index}"
        told.append({"key": name, "value": name, "descriptors": [{"key": key, **value, "rate_limit": limit}]})
    return {"domain": own, "descriptors": told}


class Service:
    """Envoy's rate limit service with a Redis of its own, at `port`."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self._folder = folder
        self.port, self._health, self._debug, self._redis = free_port(), free_port(), free_port(), free_port()
        (folder / "limits/config").mkdir(parents=True)
        (folder / "limits/config/all.yaml").write_text(yaml.safe_dump(configuration))

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """Until the end of the block, or until `stop`."""
        options = ["--port", str(self._redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)]
        with self._started("redis", [*command(Path(os.environ["REDIS"]), "usr/bin/redis-server"), *options]):
            wait_for("Redis listens", lambda: _listens(self._redis), timeout_s=60)
            environment = {
                "RUNTIME_ROOT": str(self._folder), "RUNTIME_SUBDIRECTORY": "limits", "RUNTIME_WATCH_ROOT": "false",
                "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{self._redis}", "DISABLE_STATS": "true",
                "HOST": "127.0.0.1", "PORT": str(self._health), "GRPC_HOST": "127.0.0.1", "GRPC_PORT": str(self.port),
                "DEBUG_HOST": "127.0.0.1", "DEBUG_PORT": str(self._debug), "LOG_LEVEL": "info",
            }  # fmt: skip
            with self._started("service", [str(built(RATE_LIMIT_SERVICE))], environment) as self._process:
                wait_for("the rate limit service is ready", self._is_ready, timeout_s=60)
                yield self

    def stop(self) -> None:
        """Ends it before its time."""
        self._process.terminate()
        self._process.wait(30)

    @contextmanager
    def _started(
        self, name: str, line: Sequence[str], environment: Mapping[str, str] = {}
    ) -> "Iterator[subprocess.Popen[bytes]]":
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(line, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "service.log").read_text()
        connection = HTTPConnection("127.0.0.1", self._health, timeout=5)
        try:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


class Metered(Bed):
    """A serving with a limit of tokens behind Envoy Gateway's Envoy."""

    host = HOSTS[0]

    def __init__(self, folder: Path, is_counted: bool = True, **limits: Any) -> None:
        super().__init__(folder, "keys", ())
        life = serving(**limits)
        self.config_maps.append(life.stored(CONFIG_MAP, SERVICE))
        self.found = translated(manifests(life, is_counted), folder)
        self.service = Service(folder, descriptors(life.stored(BACKEND_TRAFFIC_POLICY, SERVICE)))

    def run(self) -> Iterator["Metered"]:
        with self.service.running():
            for _ in super().run():
                yield self

    running = contextmanager(run)

    def ask(
        self, path: str, body: Any = None, key: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        return super().ask(path, body, key, method, **{"Host": self.host, **headers})

    def configured(self, behind: int) -> Mapping[str, Any]:
        return static(self.found, self.port, Places({GATE.name: self.gate.port, RATE_LIMIT: self.service.port}, behind))


class Places(dict[str, int]):
    """All Services that are not named are the backend."""

    def __init__(self, named: Mapping[str, int], behind: int) -> None:
        super().__init__(named)
        self._behind = behind

    def __missing__(self, _: str) -> int:
        return self._behind
