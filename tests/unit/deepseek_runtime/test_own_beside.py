"""The trainer's side of a measure in a container of its own, and the loop that runs there, in real shells."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from deepseek_operator.domain.programs.measuring import LOOP
from deepseek_runtime.trainer.own_beside import TAIL, Beside

LIMIT_S = 60.0
SHELLS = {"sh": ("/bin/sh",), "bash": ("bash", "--posix"), "busybox": ("busybox", "sh")}


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not look():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


@dataclass
class Container:
    """What runs the loop, with its program, and a folder."""

    folder: Path
    shell: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None

    def start(self, *program: str, node_rank: int = 0) -> "Container":
        environment = {
            **os.environ,
            "DEEPSEEK_EVALUATION": str(self.folder),
            "DEEPSEEK_NODE_RANK": str(node_rank),
        }
        self.process = subprocess.Popen(
            [*self.shell, "-c", LOOP, "evaluation", *program], env=environment, start_new_session=True
        )
        return self

    def python(self, script: str) -> "Container":
        return self.start(sys.executable, "-c", script)

    def asked(self, timeout_s: int = 600, step: int = 7) -> Beside:
        told = {"DEEPSEEK_STEP": str(step), "DEEPSEEK_MODEL": "/a model", "DEEPSEEK_HELDOUT": json.dumps(["/a\\b 'c'"])}
        return Beside(self.folder, told, timeout_s)

    def measured(self) -> Beside:
        measure = self.asked()
        until(lambda: measure.is_over)
        return measure

    def end(self, how: signal.Signals = signal.SIGKILL) -> int:
        """Ends it with all that it started, as the end of a container does."""
        assert self.process is not None
        if how is signal.SIGKILL:
            os.killpg(self.process.pid, how)
        else:
            self.process.send_signal(how)
        code = self.process.wait(LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return code


@pytest.fixture(params=SHELLS)
def container(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Container]:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {request.param} here")
    made = Container(tmp_path, shell)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end()


TELL = "import json, os; print(json.dumps([os.environ['DEEPSEEK_' + name] for name in ('STEP', 'MODEL', 'HELDOUT')]))"


def test_it_is_told_the_step_the_model_and_the_heldout_files_each_time(container: Container) -> None:
    container.python(TELL)
    for step in (7, 14):
        measure = container.asked(step=step)
        until(lambda measure=measure: measure.is_over)  # type: ignore[misc]
        assert measure.code() == 0
        assert json.loads(measure.said()) == [str(step), "/a model", json.dumps(["/a\\b 'c'"])]
        measure.end()
    until(lambda: not list(container.folder.iterdir()))


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (("sh", "-c", "exit 3"), 3),
        (("sh", "-c", "kill -SEGV $$"), -signal.SIGSEGV),
        (("/nowhere/bleu",), 127),
    ],
    ids=["fails", "dies", "is not there"],
)
def test_how_it_ended_is_known(container: Container, program: tuple[str, ...], code: int) -> None:
    measure = container.start(*program).measured()
    assert measure.code() == code


def test_words_of_the_command_are_what_was_written(container: Container) -> None:
    words = ["$HOME", "a  b", "*", "it's", '"', "$(touch x)", ""]
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(container.start(sys.executable, "-c", script, *words).measured().said()) == words


def test_of_ten_megabytes_the_end_is_read(container: Container) -> None:
    container.python("print('x' * 10_000_000); print('{}')")
    said = container.measured().said()
    assert (len(said), said[-4:]) == (TAIL, b"\n{}\n")


def test_one_that_is_stopped_is_killed_and_the_next_is_run(container: Container) -> None:
    mark = container.folder.parent / f"{container.folder.name}-mark"
    script = (
        f"import os, pathlib, time; pathlib.Path({str(mark)!r}).touch(); "
        "os.environ['DEEPSEEK_STEP'] == '7' and time.sleep(600); print(os.environ['DEEPSEEK_STEP'])"
    )
    container.python(script)
    measure = container.asked()
    until(mark.exists)
    measure.end()
    following = container.asked(step=8)
    until(lambda: following.is_over)
    assert (following.code(), following.said()) == (0, b"8\n")


def test_what_a_killed_trainer_has_asked_for_gives_way(container: Container) -> None:
    container.python("import os, time; os.environ['DEEPSEEK_STEP'] == '7' and time.sleep(600); print(1)")
    container.asked()
    until((container.folder / "taken").exists)
    following = container.asked(step=8)  # nobody has ended the first
    until(lambda: following.is_over)
    assert (following.code(), following.said()) == (0, b"1\n")


def test_a_container_that_died_with_its_program_says_so_when_it_is_back(container: Container) -> None:
    container.python("import time; time.sleep(600)")
    measure = container.asked()
    until((container.folder / "taken").exists)
    container.end()
    assert not measure.is_over
    container.python("print(1)")
    until(lambda: measure.is_over)
    assert measure.code() == -signal.SIGKILL
    measure.end()
    assert container.measured().code() == 0


@pytest.mark.parametrize("node_rank", [0, 1])
def test_it_ends_at_once_when_the_pod_ends_it_whatever_it_does(container: Container, node_rank: int) -> None:
    container.start("sleep", "600", node_rank=node_rank)
    container.asked()
    if node_rank == 0:
        until((container.folder / "taken").exists)
    else:
        time.sleep(0.5)
    since = time.monotonic()
    assert container.end(signal.SIGTERM) == 0
    assert time.monotonic() - since < 30, "it would have gone on for a minute or more"


def test_other_nodes_measure_nothing(container: Container) -> None:
    container.start("true", node_rank=1)
    measure = container.asked(timeout_s=1)
    until(lambda: measure.is_over)
    assert measure.code() is None
    assert "did not begin it within evaluation.timeoutSeconds 1" in measure.late


def test_one_that_takes_too_long_is_said_to(container: Container) -> None:
    container.start("sleep", "600")
    measure = container.asked(timeout_s=3)
    until(lambda: measure.is_over)
    assert (measure.code(), measure.late) == (None, "it took longer than evaluation.timeoutSeconds 3")
