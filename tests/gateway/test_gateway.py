"""Servings behind a real Envoy by a real Envoy Gateway: reached by host name, rolled out by requests, limited.

`fleet` is an engine of the tests that starts in a second, for many rollouts; `chat` is the built-in one.
"""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway.load import Load, ask, completion
from tests.gateway.servings import ENGINE, ENGINE_IMAGE, LIMIT_S, PARENT, TINY, available, serving, status
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.gateway_api import standard
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
ROLLOUTS = 4
FLEET, CHAT = "fleet.example.com", "chat.example.com"


def fleet(version: int, **gateway: Any) -> str:
    """Two replicas; each version is another revision."""
    engine = {
        "type": "custom", "image": ENGINE_IMAGE, "command": ["python3", "/app/engine.py", "8000", "0.02"],
        "env": [{"name": "LOG_LEVEL", "value": f"v{version}"}], "resources": TINY,
    }  # fmt: skip
    routed = {"parentRef": PARENT, "hostnames": [FLEET], **gateway}
    model = {"source": {"uri": "pvc://models"}}
    return serving("fleet", model, engine=engine, replicas=2, gateway=routed, pod={"terminationGracePeriodSeconds": 20})


@pytest.fixture(scope="module")
def team(kubectl: Kubectl, say: Callable[[str], None]) -> Iterator[Kubectl]:
    """A training of three steps, and both servings, available."""
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, "--file", f"{ENGINE}=/app/engine.py")
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    training = yaml.safe_load((ROOT / "examples/quickstart/training.yaml").read_text())
    spec = {
        "model": training["spec"]["model"],
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"globalBatchSize": 8, "sequenceLength": 24, "maxSteps": 3, "precision": "fp32", "seed": 1},
        "trainer": {"resources": {"cpu": "100m", "memory": "2Gi"}},
        "checkpoints": {"everySteps": 3, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
    }
    kubectl.apply(json.dumps(claim))
    kubectl.apply(json.dumps({**training, "metadata": {"name": "tune"}, "spec": spec}))
    kubectl.apply(fleet(0))
    engine = {"resources": {"cpu": "50m", "memory": "1Gi"}}
    chat = {
        "parentRef": {"name": "public", "namespace": "gateways"},
        "hostnames": [CHAT],
        "limits": {"maxBodySize": "1Mi"},
    }
    kubectl.apply(serving("chat", {"fromTraining": {"name": "tune"}}, engine=engine, gateway=chat))
    for name in ("fleet", "chat"):
        kubectl.run("wait", "--for=condition=RouteReady", f"deepseekserving/{name}", f"--timeout={LIMIT_S:.0f}s",
                    timeout_s=LIMIT_S + 10)  # fmt: skip
        available(kubectl, name)
        say(f"{name} is available")
    yield kubectl
    kubectl.run("delete", "deepseekserving", "fleet", "chat")


@pytest.fixture(scope="module")
def address(team: Kubectl) -> str:
    found = gateway_bed.address(team)
    until("it answers", lambda: ask(found, FLEET, "/v1/completions", completion()).status == 200, timeout_s=LIMIT_S)
    return found


def is_rolled_out(kubectl: Kubectl, before: str | None) -> bool:
    """Whether another revision than `before` is."""
    return status(kubectl, "fleet").get("stable") not in (None, "", before)


def told(kubectl: Kubectl, name: str, type_: str) -> tuple[str, str]:
    found: dict[str, str] = next((c for c in status(kubectl, name).get("conditions", ()) if c["type"] == type_), {})
    return found.get("status", ""), found.get("reason", "")


def test_a_host_name_leads_to_its_serving_and_no_path_but_v1_does(team: Kubectl, address: str) -> None:
    for host, name in ((FLEET, "fleet"), (CHAT, "chat")):
        assert told(team, name, "RouteReady") == ("True", "RouteAccepted")
        assert told(team, name, "PolicyReady") == ("True", "PolicyAccepted")
        answer = ask(address, host, "/v1/completions", completion())
        assert answer.status == 200, answer
    assert ask(address, "other.example.com", "/v1/completions", completion()).status == 404
    assert [ask(address, CHAT, path).status for path in ("/metrics", "/health", "/v1x")] == [404, 404, 404]
    assert "uppercase" in ask(address, CHAT, "/v1/models").body or "chat" in ask(address, CHAT, "/v1/models").body


def test_tls_1_3_is_served_and_1_2_refused(team: Kubectl, address: str) -> None:
    def version(most: ssl.TLSVersion) -> int:
        context = gateway_bed.client_tls(most)
        connection = http.client.HTTPSConnection(address, 443, timeout=30, context=context)
        connection.request("POST", "/v1/completions", completion(), {"Host": CHAT, "Content-Type": "application/json"})
        return connection.getresponse().status

    assert version(ssl.TLSVersion.TLSv1_3) == 200
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        version(ssl.TLSVersion.TLSv1_2)


def test_an_answer_is_streamed_as_it_is_made(team: Kubectl, address: str) -> None:
    connection = http.client.HTTPConnection(address, 80, timeout=60)
    body = completion(model="chat", max_tokens=400, ignore_eos=True, stream=True)
    connection.request("POST", "/v1/completions", body, {"Host": CHAT, "Content-Type": "application/json"})
    began, response = time.monotonic(), connection.getresponse()
    assert response.status == 200
    at_s = [time.monotonic() - began for line in response if line.startswith(b"data: ")]
    print(f"{len(at_s)} pieces, the first after {at_s[0]:.2f} s, the last after {at_s[-1]:.2f} s")
    assert len(at_s) > 100
    assert at_s[0] < at_s[-1] / 2


def test_a_body_beyond_the_limit_is_answered_with_413_and_one_below_it_reaches_the_engine(
    team: Kubectl, address: str
) -> None:
    assert ask(address, CHAT, "/v1/completions", completion(prompt="x" * (1100 * 1024))).status == 413
    assert ask(address, CHAT, "/v1/completions", completion(prompt="x" * (900 * 1024))).status in (200, 400)
    assert ask(address, FLEET, "/v1/completions", completion(prompt="x" * (8 * 1024 * 1024))).status == 200


def test_no_request_fails_while_versions_are_rolled_out(
    team: Kubectl, address: str, say: Callable[[str], None]
) -> None:
    with Load(address, FLEET) as load:
        for version in range(1, ROLLOUTS + 1):
            before = status(team, "fleet").get("stable")
            team.apply(fleet(version))
            until("another version", partial(is_rolled_out, team, before), timeout_s=LIMIT_S)
            available(team, "fleet")
            say(f"version {version} is rolled out, {sum(load.statuses.values())} requests, {len(load.failures)} failed")
    route = team.json("get", "httproute", "fleet-serve")
    assert [one["weight"] for one in route["spec"]["rules"][0]["backendRefs"] if one["weight"]] == [1]
    assert load.failures == []
    assert load.statuses[200] > 100


def test_a_client_beyond_its_requests_per_minute_is_answered_with_429(team: Kubectl, address: str) -> None:
    team.apply(fleet(ROLLOUTS, limits={"requestsPerMinute": 20}))

    def limited() -> bool:
        return ask(address, FLEET, "/v1/completions", completion()).status == 429

    until("429", limited, timeout_s=60, every_s=0.05)
    assert ask(address, CHAT, "/v1/completions", completion()).status == 200
    team.apply(fleet(ROLLOUTS))
    until("200", lambda: not limited(), timeout_s=90, every_s=0.5)


def test_gateway_api_is_taken_away_and_comes_back_under_the_running_operator(
    team: Kubectl, gateways: Kubectl, address: str, say: Callable[[str], None]
) -> None:
    routes = [one for one in standard() if one["metadata"]["name"].startswith("httproutes.")]
    gateway_bed.remove_definitions(gateways, routes)
    until("it waits", lambda: told(team, "fleet", "Reconciling")[1] == "WaitingForAPI", timeout_s=LIMIT_S)
    ready = told(team, "fleet", "Ready")
    assert ready[0] == "True"
    say("without HTTPRoutes it is told, and serves inside")
    gateway_bed.install_definitions(gateways, routes)
    until("a route is made again", lambda: team.get("httproute", "fleet-serve") is not None, timeout_s=LIMIT_S)
    # Envoy Gateway looks for the APIs that there are once, when it starts, and again when told.
    gateways.within(gateway_bed.SYSTEM).run("rollout", "restart", "deployment/envoy-gateway")
    until(
        "it answers again",
        lambda: ask(address, FLEET, "/v1/completions", completion()).status == 200,
        timeout_s=LIMIT_S,
    )
    until("it is told", lambda: told(team, "fleet", "RouteReady") == ("True", "RouteAccepted"), timeout_s=LIMIT_S)
