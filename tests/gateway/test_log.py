"""What a Gateway's access log says of a real request, by the examples as Envoy Gateway takes them."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.gateway.load import ask, completion
from tests.gateway.servings import ENGINE, ENGINE_IMAGE, LIMIT_S, PARENT, TINY, available, serving, status
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(600)

HOST = "logged.example.com"


def logged(version: int) -> str:
    engine = {
        "type": "custom", "image": ENGINE_IMAGE, "command": ["python3", "/app/engine.py", "8000", "0.02"],
        "env": [{"name": "LOG_LEVEL", "value": f"v{version}"}], "resources": TINY,
    }  # fmt: skip
    gateway = {"parentRef": PARENT, "hostnames": [HOST]}
    return serving("logged", {"source": {"uri": "pvc://weights"}}, engine=engine, replicas=1, gateway=gateway)


@pytest.fixture(scope="module")
def address(kubectl: Kubectl) -> Iterator[str]:
    """Where a serving `logged` answers."""
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, "--file", f"{ENGINE}=/app/engine.py")
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "weights"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    kubectl.apply(json.dumps(claim))
    kubectl.apply(logged(0))
    available(kubectl, "logged")
    found = gateway_bed.address(kubectl)
    until("it answers", lambda: asked(found, "first") == 200, timeout_s=LIMIT_S)
    yield found
    kubectl.run("delete", "deepseekserving", "logged")


def asked(address: str, prompt: str) -> int:
    """The answer's status; the log knows the request by the length of its body."""
    return ask(address, HOST, "/v1/completions?key=sk-ds-in-a-query", completion(prompt=prompt)).status


def lines(kubectl: Kubectl) -> list[dict[str, Any]]:
    """Of requests to this serving, all that the Gateway's proxies have logged."""
    proxies = kubectl.within(gateway_bed.SYSTEM)
    text = proxies.run(
        "logs", "--selector=gateway.envoyproxy.io/owning-gateway-name=public", "--container=envoy", "--tail=-1"
    )
    found = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return [line for line in found if line.get("host") == HOST]


def by_length(kubectl: Kubectl, length: int) -> dict[str, Any] | None:
    return next((line for line in lines(kubectl) if line["received"] == length), None)


def test_the_log_names_the_revision_that_answered_and_its_tokens_and_has_no_prompt(
    kubectl: Kubectl, address: str, say: Callable[[str], None]
) -> None:
    served = []
    for version in (0, 1):
        before = status(kubectl, "logged").get("stable")
        if version:
            kubectl.apply(logged(version))
            until("another version", partial(_is_another, kubectl, before), timeout_s=LIMIT_S)
            available(kubectl, "logged")
        prompt = "the secret of the company " * (version + 1)
        assert asked(address, prompt) == 200
        line = until("it is logged", partial(by_length, kubectl, len(completion(prompt=prompt))), timeout_s=30)
        say(f"logged: {line}")
        served.append(status(kubectl, "logged")["stable"])
        assert line["revision"] == f"logged-serve-{served[-1]}"
        assert (line["status"], line["path"], line["prompt_tokens"], line["completion_tokens"]) == (
            200, "/v1/completions", 3, 1,
        )  # fmt: skip
        assert line["route"].startswith(f"httproute/{kubectl.namespace}/logged-serve/")
    assert len(set(served)) == 2
    text = json.dumps(lines(kubectl))
    assert not [word for word in ("secret", "sk-ds") if word in text]


def _is_another(kubectl: Kubectl, before: str | None) -> bool:
    return status(kubectl, "logged").get("stable") not in (None, "", before)
