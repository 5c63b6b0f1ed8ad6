"""Ports for servers of tests: nobody else is given one between its choice and its use."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ports

ROOT = Path(__file__).parents[2]


def test_no_port_is_one_that_a_connection_going_out_may_be_given() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert ports.free_port() < first


def test_a_port_is_given_once_among_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    given = ports.free_port()
    monkeypatch.setattr(ports, "PORTS", range(given, given + 1))
    with pytest.raises(RuntimeError, match="no free TCP port"):
        ports.free_port()
    another = f"from tests.support import ports; ports.PORTS = range({given}, {given + 1}); ports.free_port()"
    told = subprocess.run([sys.executable, "-c", another], cwd=ROOT, capture_output=True, text=True)
    assert "no free TCP port" in told.stderr
