"""Programs are built once, whoever asks for them at the same time."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.local_cluster import programs

# Writes the file after -o, as `go build` does, and notes that it was called. The pause lets another caller come.
COMPILER = """#!/bin/sh
echo built >> "$CALLS"
sleep 0.2
while [ "$1" != -o ]; do shift; done
echo program > "$2"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiler = tmp_path / "path" / "go"
    compiler.parent.mkdir()
    compiler.write_text(COMPILER)
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{compiler.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")
    return tmp_path / "calls"


def test_of_two_that_want_a_program_one_builds_and_the_other_waits(calls: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        for asked in [pool.submit(programs.ensure, "etcd") for _ in range(2)]:
            asked.result()
    assert calls.read_text().splitlines() == ["built"]
    assert Path(programs.path("etcd")).read_text() == "program\n"


def test_program_that_is_there_is_not_built_again(calls: Path) -> None:
    programs.ensure("etcd")
    programs.ensure("etcd", "kwok")
    assert calls.read_text().splitlines() == ["built", "built"]
