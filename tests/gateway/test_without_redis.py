"""What Envoy Gateway itself says of a limit of tokens where nobody has set up global rate limits, and what a user reads then.

Its controller runs by itself here, with manifests from a file and no cluster; statuses stand in its log.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.core.conditions import find
from deepseek_operator.core.resources import BACKEND_TRAFFIC_POLICY
from examples.local_cluster.progress import wait_for
from tests.support.gateway_bed import controller
from tests.support.metered import MOST, manifests, serving
from tests.support.serving_life import SERVICE
from tests.support.servings import NAMESPACE


def configuration(folder: Path) -> Mapping[str, Any]:
    """Of a controller without `rateLimit`, whose folders are below that one."""
    host = {name: str(folder / name) for name in ("configHome", "dataHome", "stateHome", "runtimeDir")}
    resource = {"type": "File", "file": {"paths": [str(folder / "manifests")]}}
    custom = {"resource": resource, "infrastructure": {"type": "Host", "host": host}}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "extensionApis": {"enableLua": True},
        "provider": {"type": "Custom", "custom": custom},
        "logging": {"level": {"default": "info"}},
    }


def status_in(log: str) -> Mapping[str, Any] | None:
    """What it has said of the policy; None: nothing yet."""
    found = re.search(r"Got new status for BackendTrafficPolicy\n(.*?)\n\t\{", log, re.DOTALL)
    told: Mapping[str, Any] | None = yaml.safe_load(found[1]) if found is not None else None
    return told


def has_said(running: "subprocess.Popen[bytes]", log: Path) -> bool:
    assert running.poll() is None, log.read_text()[-4000:]
    return status_in(log.read_text()) is not None


def test_a_limit_of_tokens_without_a_redis_is_refused_in_words_that_the_user_reads(tmp_path: Path) -> None:
    life = serving(tokensPerMinute=MOST)
    (tmp_path / "manifests").mkdir()
    read = manifests(life)
    for rule in next(one for one in read if one["kind"] == BACKEND_TRAFFIC_POLICY.kind)["spec"]["rateLimit"]["global"][
        "rules"
    ]:
        rule.pop("cost", None)  # From a file its controller reads no numbers of 64 bits (1.9.1): it panics.
    (tmp_path / "manifests/all.yaml").write_text(yaml.safe_dump_all(read))
    (tmp_path / "controller.yaml").write_text(yaml.safe_dump(configuration(tmp_path)))
    program = str(controller())
    certificates = [program, "certgen", "--local", "--config-home", str(tmp_path / "configHome")]
    subprocess.run(certificates, capture_output=True, check=True, timeout=60)
    with (tmp_path / "log").open("wb") as log:
        command = [program, "server", "--config-path", str(tmp_path / "controller.yaml")]
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for("it says what it thinks", lambda: has_said(running, tmp_path / "log"), timeout_s=90)
    finally:
        running.terminate()
        running.wait(60)
    text = (tmp_path / "log").read_text()
    assert "setting 500 direct response in routes due to errors in BackendTrafficPolicy" in text
    said = status_in(text)
    life.cluster.edit(BACKEND_TRAFFIC_POLICY, NAMESPACE, SERVICE, lambda live: live.update(status=said))
    life.operator.settle()
    told = find(life.status.conditions, "PolicyReady")
    assert told is not None
    assert (told.status, told.reason) == ("False", "PolicyRefused")
    assert "enable Ratelimit in the EnvoyGateway config to configure global rateLimit" in told.message
    assert "the gateway answers all requests with 500 meanwhile" in told.message
    assert "with a Redis" in told.message
