"""Programs of others that tests run, built from their published Go modules into the cache, once for a go.sum."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path

from examples.local_cluster.home import CACHE, locked
from examples.local_cluster.progress import step

HERE = Path(__file__).parent
ENVOY_GATEWAY = "github.com/envoyproxy/gateway/cmd/envoy-gateway"
EGCTL = "github.com/envoyproxy/gateway/cmd/egctl"
RATE_LIMIT_SERVICE = "github.com/envoyproxy/ratelimit/src/service_cmd"
LEADER_WORKER_SET = "sigs.k8s.io/lws/cmd"
S3_SERVER = "github.com/versity/versitygw/cmd/versitygw"
KUBE_SCORE = "github.com/zegl/kube-score/cmd/kube-score"
KEDA_OPERATOR = "github.com/kedacore/keda/v2/cmd/operator"
KEDA_METRICS = "github.com/kedacore/keda/v2/cmd/adapter"
NETWORK_POLICIES = "sigs.k8s.io/kube-network-policies/cmd"
MODULES = {
    ENVOY_GATEWAY: HERE / "envoy_gateway",
    EGCTL: HERE / "egctl",
    RATE_LIMIT_SERVICE: HERE / "rate_limit_service",
    LEADER_WORKER_SET: HERE / "leader_worker_set",
    S3_SERVER: HERE / "versitygw",
    KUBE_SCORE: HERE / "kube_score",
    KEDA_OPERATOR: HERE / "keda",
    KEDA_METRICS: HERE / "keda",
    NETWORK_POLICIES: HERE / "kube_network_policies",
}
"""Whose go.mod and go.sum pin each; one for each project, so that another version of one builds no other anew."""
_MINUTES = {
    ENVOY_GATEWAY: 5,
    EGCTL: 2,
    RATE_LIMIT_SERVICE: 1,
    LEADER_WORKER_SET: 3,
    S3_SERVER: 2,
    KUBE_SCORE: 1,
    KEDA_OPERATOR: 9,
    KEDA_METRICS: 1,
    NETWORK_POLICIES: 2,
}
"""About, for whoever waits."""


def needed_by_api() -> None:
    """Builds what tests/api_server runs of them, so that no test's time limit counts it."""
    for program in (KUBE_SCORE, LEADER_WORKER_SET):
        built(program)


def needed_by_gate() -> None:
    """The same for tests/gate."""
    for program in (EGCTL, RATE_LIMIT_SERVICE):
        built(program)


def needed_by_sources() -> None:
    """The same for tests/sources."""
    built(S3_SERVER)


def needed_by_keda() -> None:
    """The same for tests/keda."""
    for program in (KEDA_OPERATOR, KEDA_METRICS):
        built(program)


def needed_by_replicas() -> None:
    """The same for tests/replicas."""
    for program in (LEADER_WORKER_SET, S3_SERVER):
        built(program)


def needed_by_network() -> None:
    """The same for tests/network."""
    built(NETWORK_POLICIES)


def built(program: str) -> Path:
    """The program, built where it is not there."""
    module, name = MODULES[program], program.rpartition("/")[2]
    key = sha256(b"".join((module / part).read_bytes() for part in ("go.mod", "go.sum"))).hexdigest()[:16]
    found = CACHE / "bin" / key / name
    found.parent.mkdir(parents=True, exist_ok=True)
    with locked(found.with_suffix(".lock")):
        if not found.exists():
            with step(f"build {name} ({_MINUTES[program]} min of one core)"):
                options = ["-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", f"{found}.new"]
                environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
                subprocess.run(["go", "build", *options, program], cwd=module, env=environment, check=True)
                Path(f"{found}.new").replace(found)
    return found
