"""A cluster whose processes were killed is taken down by the next command; one that lives is let alone."""

import os
import socket
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from examples.local_cluster import builtin, host, leftover
from examples.local_cluster.home import Home

ADDRESS = str(IPv4Address("127.128.0.0") + os.getpid())
"""Of this process alone: on one that they shared, tests of another would listen while these expect silence."""


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was taken down on a machine with a bridge of a cluster of which nobody listens."""
    done: list[str] = []
    monkeypatch.setattr(leftover, "NODE_ADDRESS", ADDRESS)
    monkeypatch.setattr(host, "has_bridge", lambda: True)
    monkeypatch.setattr(host, "owner", lambda: None)
    monkeypatch.setattr(host, "kill_pods", lambda: done.append("pods"))
    monkeypatch.setattr(host, "remove_networks", lambda: done.append("networks"))
    monkeypatch.setattr(builtin, "down", lambda home, purge: done.append(str(home.root)))
    return done


def test_a_bridge_that_nobody_listens_behind_is_taken_away(done: list[str], tmp_path: Path) -> None:
    leftover.clear(Home(tmp_path), wait_s=0)
    assert done == ["pods", "networks"]


def test_a_home_that_the_bridge_names_is_taken_down_as_a_whole(
    done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "host.json").write_text("{}")
    monkeypatch.setattr(host, "owner", lambda: tmp_path / "dead")
    leftover.clear(Home(tmp_path / "mine"), wait_s=0)
    assert done == [str(tmp_path / "dead")]


def test_a_home_that_this_process_can_not_see_leaves_its_networks_to_be_removed(
    done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "owner", lambda: tmp_path / "elsewhere")
    leftover.clear(Home(tmp_path / "mine"), wait_s=0)
    assert done == ["pods", "networks"]


def test_a_cluster_that_listens_is_let_alone(done: list[str], tmp_path: Path) -> None:
    with socket.create_server((ADDRESS, 0)):
        leftover.clear(Home(tmp_path), wait_s=0)
    assert done == []


def test_a_home_of_ones_own_is_left_to_up_and_down(done: list[str], tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text("{}")
    leftover.clear(Home(tmp_path), wait_s=0)
    assert done == []


def test_no_bridge_is_nothing_to_do(done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "has_bridge", lambda: False)
    leftover.clear(Home(tmp_path), wait_s=0)
    assert done == []
