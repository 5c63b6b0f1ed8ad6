"""The environment of a gate, in a pod and outside."""

from pathlib import Path

import pytest

from deepseek_gate.cluster import Access
from deepseek_gate.settings import Settings

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "DEEPSEEK_GATE_NAMESPACES": "a, b"}
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def test_in_a_pod_it_needs_to_be_told_its_namespaces_alone() -> None:
    settings = Settings.from_environment(POD)
    assert settings == Settings(Access("https://10.96.0.1:443", ACCOUNT / "token", ACCOUNT / "ca.crt"), ("a", "b"))


def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    assert (
        Settings.from_environment({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}).access.server
        == "https://[fd00::1]:443"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "x"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("MAX_BODY_BYTES", "1e9"),
        ("LOG_LEVEL", "loud"),
        ("NAMESPACES", ","),
    ],
)
def test_a_wrong_value_is_told_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"DEEPSEEK_GATE_{name}"):
        Settings.from_environment({**POD, f"DEEPSEEK_GATE_{name}": value})


def test_outside_a_pod_it_needs_a_server() -> None:
    with pytest.raises(ValueError, match="API_SERVER"):
        Settings.from_environment({"DEEPSEEK_GATE_NAMESPACES": "a"})
