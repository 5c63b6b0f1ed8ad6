"""Processes: which one is ours, when it must be another, and that all of them are found again."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster import daemon
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import Home
from examples.local_cluster.progress import wait_for

SLEEP = Daemon("sleep", ("/bin/sleep", "60"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    daemon.sweep(home)


def test_a_changed_configuration_file_asks_for_another_process(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("1")
    wanted = Daemon("part", ("run",), inputs=(config,))
    before = wanted.digest()
    config.write_text("2")
    assert wanted.digest() != before


@pytest.mark.parametrize("changed", [{"argv": ("run", "--more")}, {"env": {"A": "1"}}])
def test_changed_arguments_and_environment_ask_for_another_process(changed: dict[str, Any]) -> None:
    assert replace(Daemon("part", ("run",)), **changed).digest() != Daemon("part", ("run",)).digest()


def test_the_same_daemon_is_started_once(home: Home) -> None:
    assert daemon.ensure(home, SLEEP)
    first = daemon.read_record(home, "sleep")
    assert not daemon.ensure(home, SLEEP)
    assert daemon.read_record(home, "sleep") == first


def test_a_changed_daemon_replaces_the_running_one(home: Home) -> None:
    daemon.start(home, SLEEP)
    before = daemon.read_record(home, "sleep")
    assert before
    assert daemon.ensure(home, replace(SLEEP, argv=("/bin/sleep", "61")))
    assert not before.is_alive()


def test_another_process_with_the_recorded_pid_is_not_ours(home: Home) -> None:
    daemon.start(home, SLEEP)
    record = daemon.read_record(home, "sleep")
    assert record
    assert record.is_alive()
    assert not replace(record, start_ticks=record.start_ticks - 1).is_alive()
    assert not replace(record, argv=("/bin/sleep", "61")).is_alive()
    assert not replace(record, pid=os.getpid()).is_alive()


def test_a_paused_daemon_goes_on_so_that_it_can_end_in_order(home: Home) -> None:
    script = 'trap "touch ended; exit" TERM; touch ready; while :; do sleep 0.01; done'
    daemon.start(home, Daemon("shell", ("/bin/sh", "-c", script)))
    wait_for("the shell", (home.root / "ready").exists, timeout_s=5, every_s=0.01)
    daemon.send(home, "shell", signal.SIGSTOP)
    daemon.stop(home, "shell", grace_s=2)
    assert (home.root / "ended").exists()
    assert daemon.read_record(home, "shell") is None


def test_a_killed_daemon_restarts_as_it_was(home: Home) -> None:
    daemon.start(home, SLEEP)
    before = daemon.read_record(home, "sleep")
    daemon.send(home, "sleep", signal.SIGKILL)
    daemon.restart(home, "sleep")
    after = daemon.read_record(home, "sleep")
    assert before
    assert after
    assert after.is_alive()
    assert replace(after, pid=0, start_ticks=0) == replace(before, pid=0, start_ticks=0)


def test_a_process_whose_record_was_lost_is_swept(home: Home) -> None:
    daemon.start(home, SLEEP)
    record = daemon.read_record(home, "sleep")
    (home.run / "sleep.json").unlink()
    assert daemon.sweep(home) == ["/bin/sleep 60"]
    assert record
    assert not record.is_alive()


def test_a_process_whose_record_was_lost_is_replaced_rather_than_doubled(home: Home) -> None:
    daemon.start(home, SLEEP)
    lost = daemon.read_record(home, "sleep")
    (home.run / "sleep.json").unlink()
    assert daemon.ensure(home, SLEEP)
    assert lost
    assert not lost.is_alive()


def test_a_sweep_spares_the_processes_of_another_home(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.root.mkdir()
    daemon.start(other, SLEEP)
    try:
        assert daemon.sweep(home) == []
    finally:
        assert daemon.sweep(other) == ["/bin/sleep 60"]


def test_a_signal_to_a_part_that_does_not_run_is_an_error(home: Home) -> None:
    with pytest.raises(ProcessLookupError):
        daemon.send(home, "sleep", signal.SIGCONT)
