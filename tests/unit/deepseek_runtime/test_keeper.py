"""How a pod ends, decided from how its workers do."""

import os
import signal
from pathlib import Path

import pytest

from deepseek_runtime.contract import ExitCode
from deepseek_runtime.launcher.keeper import Keeper
from deepseek_runtime.launcher.stall import StallWatch
from deepseek_runtime.launcher.workers import Exit
from deepseek_runtime.rundir import Heartbeat, RunDirectory


class Played:
    """Workers that end by script: at each look, the exits of that moment."""

    def __init__(self, *looks: list[Exit], ranks: int = 2) -> None:
        self._looks = list(looks)
        self._ranks = ranks
        self.exits: list[Exit] = []
        self.signals: list[int] = []
        self.is_killed = False

    @property
    def running(self) -> list[int]:
        gone = {one.rank for one in self.exits}
        return [rank for rank in range(self._ranks) if rank not in gone]

    def look(self) -> list[Exit]:
        fresh = self._looks.pop(0) if self._looks else []
        self.exits += fresh
        return fresh

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.is_killed = True


class Clock:
    """Time passes only in pauses, ten seconds each."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pause(self, _: float) -> None:
        self.now_s += 10.0


def keeper(
    workers: Played,
    run: RunDirectory,
    *,
    stall_s: float | None = None,
    start_s: float | None = None,
    builtin: bool = True,
) -> Keeper:
    clock = Clock()
    return Keeper(
        workers,  # type: ignore[arg-type]
        run,
        stall_timeout_s=stall_s,
        start_timeout_s=start_s,
        grace_s=60,
        builtin=builtin,
        clock=clock,
        pause=clock.pause,
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_pod_is_complete_only_when_all_workers_are(run: RunDirectory) -> None:
    workers = Played([Exit(0, 0)], [], [Exit(1, 0)])
    assert keeper(workers, run).watch().code == ExitCode.COMPLETE


def test_pod_is_preempted_when_its_workers_saved(run: RunDirectory) -> None:
    workers = Played([Exit(0, 75)], [], [Exit(1, 75)])
    assert keeper(workers, run).watch().code == ExitCode.SAVED
    assert workers.running == []


def test_worker_that_an_early_stop_ends_is_no_crash(run: RunDirectory) -> None:
    """It is still being started, and has no handler for the signal that its keeper hands on."""
    watching = keeper(Played([Exit(0, 143), Exit(1, 143)]), run)
    watching.stop()
    verdict = watching.watch()
    assert (verdict.code, verdict.message) == (
        ExitCode.SAVED,
        "stopped before the first step; nothing was there to save",
    )


def test_pod_that_saved_on_one_rank_only_is_not_preempted(run: RunDirectory) -> None:
    assert keeper(Played([Exit(0, 75)], [Exit(1, 1)]), run).watch().code == 1


def test_first_cause_is_the_exit_code_and_the_others_are_killed(run: RunDirectory) -> None:
    workers = Played([], [Exit(1, 137)], [Exit(0, 1)])
    verdict = keeper(workers, run).watch()
    assert (verdict.code, verdict.rank) == (137, 1)
    assert "SIGKILL" in verdict.message
    assert workers.is_killed


def test_bad_configuration_keeps_its_code(run: RunDirectory) -> None:
    assert keeper(Played([Exit(0, 64), Exit(1, 64)]), run).watch().code == ExitCode.INVALID


def test_silence_before_the_first_heartbeat_is_no_stall(run: RunDirectory) -> None:
    workers = Played(*[[] for _ in range(50)], [Exit(0, 0), Exit(1, 0)])
    assert keeper(workers, run, stall_s=30).watch().code == ExitCode.COMPLETE


def test_silence_from_the_start_has_a_limit_of_its_own(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(0)).beat()
    workers = Played()
    verdict = keeper(workers, run, stall_s=1000, start_s=30).watch()
    assert (verdict.code, workers.is_killed) == (ExitCode.STALLED, True)
    assert "not ready to train 30 s after the start: rank 1;" in verdict.message
    assert "failurePolicy.startTimeoutSeconds" in verdict.message
    assert workers.signals == [signal.SIGUSR1, signal.SIGCONT]


def test_limit_of_the_start_is_over_with_the_first_heartbeat_of_every_rank(run: RunDirectory) -> None:
    for rank in (0, 1):
        Heartbeat(run.heartbeat_file(rank)).beat()
    workers = Played(*[[] for _ in range(50)], [Exit(0, 0), Exit(1, 0)])
    assert keeper(workers, run, start_s=30).watch().code == ExitCode.COMPLETE


class Preparing(Played):
    """Rank 0 prepares data for so many looks, and rank 1 waits for it; then nothing is heard of them any more."""

    def __init__(self, run: RunDirectory, looks: int, then: list[list[Exit]]) -> None:
        super().__init__(*[[] for _ in range(looks)], *then)
        self._ranks_of = [Heartbeat(run.heartbeat_file(rank)) for rank in (0, 1)]
        self._left = looks

    def look(self) -> list[Exit]:
        self._left -= 1
        for rank in self._ranks_of if self._left >= 0 else ():
            rank.prepare()
        return super().look()


def test_data_is_prepared_for_as_long_as_it_takes(run: RunDirectory) -> None:
    """Beyond both limits: it counts as no heartbeat, after which a model that loads for long would be a stall."""
    workers = Preparing(run, 50, [[], [Exit(0, 0), Exit(1, 0)]])
    assert keeper(workers, run, stall_s=30, start_s=30).watch().code == ExitCode.COMPLETE
    assert run.beats() == {}


def test_preparing_that_stops_moving_ends_after_the_limit_of_the_start(run: RunDirectory) -> None:
    workers = Preparing(run, 50, [[] for _ in range(50)])
    verdict = keeper(workers, run, stall_s=1000, start_s=30).watch()
    assert verdict.code == ExitCode.STALLED
    assert "not ready to train 30 s after the last sign of preparing data: rank 0, rank 1;" in verdict.message


def test_sigterm_while_data_is_prepared_ends_at_once_with_nothing_to_save(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(0)).prepare()
    watcher = keeper(Played(), run)
    watcher.stop()
    assert watcher.watch().code == ExitCode.SAVED


def test_foreign_script_owes_no_first_heartbeat(run: RunDirectory) -> None:
    workers = Played(*[[] for _ in range(50)], [Exit(0, 0), Exit(1, 0)])
    assert keeper(workers, run, start_s=30, builtin=False).watch().code == ExitCode.COMPLETE


def test_silence_after_a_heartbeat_is_a_stall_with_stacks(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(1)).beat()
    workers = Played()
    verdict = keeper(workers, run, stall_s=30).watch()
    assert verdict.code == ExitCode.STALLED
    assert "rank 1 for 40 s" in verdict.message
    assert workers.signals == [signal.SIGUSR1, signal.SIGCONT]
    assert workers.is_killed


def test_foreign_script_is_asked_for_stacks_by_the_signal_that_python_answers(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(0)).beat()
    workers = Played()
    keeper(workers, run, stall_s=30, builtin=False).watch()
    assert workers.signals[0] == signal.SIGABRT


def test_finished_rank_is_not_stalled(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(0)).beat()
    workers = Played([Exit(0, 0)], *[[] for _ in range(20)], [Exit(1, 0)])
    assert keeper(workers, run, stall_s=30).watch().code == ExitCode.COMPLETE


def test_changing_heartbeat_is_never_a_stall() -> None:
    watch = StallWatch(30)
    assert all(watch.stalled({"heartbeat-0": str(second)}, float(second)) == {} for second in range(0, 200, 20))
    assert watch.stalled({"heartbeat-0": "180"}, 211.0) == {"heartbeat-0": 31.0}


def test_ranks_that_a_hanging_one_has_silenced_are_told_with_it_whoever_passes_the_limit_first() -> None:
    watch = StallWatch(30)
    watch.stalled({"heartbeat-0": "8", "heartbeat-1": "7", "heartbeat-2": "8"}, 0.0)
    watch.stalled({"heartbeat-0": "8", "heartbeat-1": "8", "heartbeat-2": "8"}, 0.1)
    watch.stalled({"heartbeat-0": "8", "heartbeat-1": "8", "heartbeat-2": "9"}, 20.0)
    beats = {"heartbeat-0": "8", "heartbeat-1": "8", "heartbeat-2": "9"}
    assert watch.stalled(beats, 30.0) == {}
    assert watch.stalled(beats, 30.05) == {"heartbeat-0": 30.05, "heartbeat-1": pytest.approx(29.95)}


def test_sigterm_before_the_first_heartbeat_ends_at_once_with_nothing_to_save(run: RunDirectory) -> None:
    workers = Played()
    watched = keeper(workers, run)
    watched.stop()
    verdict = watched.watch()
    assert (verdict.code, workers.signals, workers.is_killed) == (ExitCode.SAVED, [signal.SIGTERM], True)


def test_sigterm_waits_for_the_save_but_not_beyond_the_grace_period(run: RunDirectory) -> None:
    Heartbeat(run.heartbeat_file(0)).beat()
    saved = keeper(Played([], [], [Exit(0, 75), Exit(1, 75)]), run)
    saved.stop()
    assert saved.watch().code == ExitCode.SAVED
    hung = keeper(Played(), run)
    hung.stop()
    verdict = hung.watch()
    assert verdict.code == 143
    assert "did not save within 58 s" in verdict.message


def test_sigterm_is_forwarded_once(run: RunDirectory) -> None:
    workers = Played([Exit(0, 75), Exit(1, 75)])
    watched = keeper(workers, run)
    watched.stop()
    watched.stop()
    assert workers.signals == [signal.SIGTERM]


def test_script_that_puts_pipes_and_nonsense_in_the_run_directory_is_watched_all_the_same(run: RunDirectory) -> None:
    os.mkfifo(run.path / "heartbeat-0")
    os.mkfifo(run.path / "progress.json")
    (run.path / "heartbeat-1").write_bytes(b"\xff")
    (run.path / "result-0.json").write_text("[" * 100_000)
    (run.path / "result-1.json").symlink_to("/dev/zero")
    assert (run.progress(), run.result(0), run.result(1)) == ({}, {}, {})
    assert keeper(Played([], [Exit(0, 0), Exit(1, 0)]), run, builtin=False).watch().code == ExitCode.COMPLETE
