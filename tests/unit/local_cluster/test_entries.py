"""On a new machine every command has all that it starts, and says before it begins what it can't get."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples.local_cluster import control_plane, entries, node, programs
from examples.local_cluster.entries import ENTRIES, Entry, obstacles
from examples.local_cluster.home import Home
from tests.support.output import output_of

TESTS = Path(__file__).parents[2]
DAEMONS = {
    "examples/local_cluster/control_plane.py",
    "examples/local_cluster/node.py",
    "examples/local_cluster/fake_nodes.py",
}
"""The files that start long-lived programs; all of what they start is declared by the entries that bring them up."""


def _calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "programs"
    }


def test_nothing_starts_a_program_by_a_path_that_nobody_ensured() -> None:
    for path in sorted([*TESTS.rglob("*.py"), *(TESTS.parent / "examples").rglob("*.py")]):
        name = path.relative_to(TESTS.parent).as_posix()
        if name.startswith("tests/unit/") or name == "examples/local_cluster/programs.py":
            continue
        bare = _calls(path) & {"path", "folder"}
        allowed = {"path"} if name in DAEMONS | {"examples/local_cluster/entries.py"} else set()
        allowed |= {"folder"} if name == "examples/local_cluster/__main__.py" else set()
        assert bare <= allowed, f"{name} starts a program that may not be built: take programs.built"


def test_every_entry_declares_what_its_daemons_start() -> None:
    server, whole = set(control_plane.PROGRAMS.values()), set(control_plane.PROGRAMS.values()) | set(node.PROGRAMS)
    assert set(ENTRIES["up --only control-plane"].programs) == server
    for name in ("up", "e2e", "examples/run"):
        assert set(ENTRIES[name].programs) >= whole
    for name in ("e2e", "examples/run", "api", "benchmarks"):
        assert "helm" in ENTRIES[name].programs
    assert {program for entry in ENTRIES.values() for program in entry.programs} == set(programs.PACKAGES)
    assert set(programs.EXPECTED_S) == set(programs.PACKAGES)


@pytest.mark.parametrize(
    ("script", "entry"),
    [("examples/run", "examples/run"), ("tests/run", "api"), ("tests/run", "e2e"), ("tests/run", "benchmarks")],
)
def test_the_scripts_ensure_their_entry_before_anything_else_is_started(script: str, entry: str) -> None:
    assert f"examples.local_cluster ensure {entry}" in (TESTS.parent / script).read_text()


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"DEEPSEEK_CACHE": "/a/b", "XDG_CACHE_HOME": "/x"}, "/a/b"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/deepseek-operator"),
        ({"DEEPSEEK_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/deepseek-operator"),
    ],
)
def test_shell_and_python_agree_on_the_cache(environment: dict[str, str], place: str) -> None:
    given = {"HOME": "/home/me", "PATH": "/usr/bin:/bin", **environment}
    shell = ["bash", "-c", '. tests/support/environment.sh; printf "%s" "$CACHE"']
    python = [sys.executable, "-c", "from examples.local_cluster.home import CACHE; print(CACHE, end='')"]
    told = [output_of(command, cwd=TESTS.parent, env=given) for command in (shell, python)]
    assert told == [place, place]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home on a machine whose cache is empty."""
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(entries, "CACHE", tmp_path / "cache")
    return Home(tmp_path / "home")


def test_too_little_room_is_told_before_anything_is_built(bare: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5e9})())
    (found,) = obstacles(Entry(("etcd",), {}, False, 30), bare)
    assert "has 5 GB free, 30 GB are needed" in found
    assert "DEEPSEEK_CACHE" in found


@pytest.mark.parametrize(("version", "told"), [("go1.25.3", "this is go1.25.3"), ("go1.26.8", ""), ("devel", "")])
def test_an_old_go_is_told(bare: Home, monkeypatch: pytest.MonkeyPatch, version: str, told: str) -> None:
    answer = subprocess.CompletedProcess([], 0, stdout=f"{version}\n")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    found = list(obstacles(Entry(("etcd",), {}, False, 0), bare))
    assert (bool(found), told in "".join(found)) == (bool(told), True)


def test_missing_rights_ports_and_networks_are_all_told_at_once(bare: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = "default via 192.0.2.1 dev eth0\n10.0.0.0/8 dev tun0 scope link\n127.0.0.0/8 dev lo\n"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(entries, "BRIDGE", "no-such-bridge")
    monkeypatch.setattr(entries, "is_free", lambda port: port != 9090)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    answer = subprocess.CompletedProcess([], 0, stdout=routes)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: answer)
    found = "\n".join(obstacles(Entry((), {}, True, 0), bare))
    assert "needs root" in found
    assert "port 9090 is in use" in found
    for network in ("10.200.0.1/24", "10.244.0.0/24", "10.96.0.0/16"):
        assert f"the network {network} is in use: there is a route to 10.0.0.0/8" in found


def test_a_given_cluster_needs_helm_and_nothing_of_a_node(bare: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[str] = []
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    monkeypatch.setattr(entries, "_room", lambda free_gb: iter(()))
    monkeypatch.setattr(entries, "_go", lambda: None)
    monkeypatch.setattr(programs, "ensure", lambda *names: wanted.extend(names))
    entries.ensure("e2e", bare)
    assert wanted == ["helm"]
