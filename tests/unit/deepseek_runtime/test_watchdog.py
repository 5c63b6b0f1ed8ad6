"""An engine's watchdog: when it judges, what it reads, and how what it watches is started, told and ended."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_runtime.watchdog.judging import Judge, Stall, Told
from deepseek_runtime.watchdog.telling import Names, read
from tests.support.ports import free_port

ROOT = Path(__file__).parents[3]
LIMIT_S = 60.0
LOOK_S = 3.0
IDLE = Told(0, 0, 7)


def busy(tokens: float, waiting: float = 0) -> Told:
    return Told(1, waiting, tokens)


def judged(looks: list[Told | None], every_s: float = LOOK_S, longest_s: float = 5.0) -> Stall | None:
    """What the judge says at the last of these looks; nothing at any earlier one."""
    judge = Judge(LIMIT_S, longest_s)
    *earlier, found = [judge.look(told, 1000 + every_s * number) for number, told in enumerate(looks)]
    assert earlier == [None] * len(earlier)
    return found


def test_work_without_a_token_is_a_stall_once_the_limit_is_over() -> None:
    """Counted from the first look at that work, which may have come just before it."""
    assert judged([IDLE, *[busy(7, waiting=2)] * 21]) is None
    assert judged([IDLE, *[busy(7, waiting=2)] * 22]) == Stall(63.0, busy(7, 2), is_silent=False)


def test_requests_that_only_wait_are_work() -> None:
    assert judged([IDLE, *[Told(0, 3, 7)] * 22]) is not None


def test_an_idle_engine_is_left_alone_for_ever() -> None:
    assert judged([IDLE] * 1000) is None


def test_an_hour_of_full_load_is_left_alone() -> None:
    """One token between two looks is enough, whatever waits."""
    assert judged([busy(number, waiting=512) for number in range(1200)]) is None


def test_one_token_begins_the_time_anew() -> None:
    assert judged([IDLE, *[busy(7)] * 21, busy(8), *[busy(8)] * 20]) is None
    assert judged([IDLE, *[busy(7)] * 21, busy(8), *[busy(8)] * 21]) == Stall(63.0, busy(8), is_silent=False)


def test_a_count_that_begins_anew_is_a_sign_of_life() -> None:
    assert judged([IDLE, *[busy(7)] * 21, busy(0), *[busy(0)] * 20]) is None


def test_an_engine_that_loads_is_given_all_the_time_it_takes() -> None:
    assert judged([None] * 1000) is None


def test_an_engine_that_answered_once_and_never_again_is_a_stall() -> None:
    assert judged([IDLE, *[None] * 21]) is None
    assert judged([IDLE, *[None] * 22]) == Stall(63.0, IDLE, is_silent=True)


def test_silence_and_standing_still_add_up() -> None:
    assert judged([IDLE, *[busy(7), None] * 11]) is not None


def test_an_answer_without_work_ends_a_silence() -> None:
    assert judged([IDLE, *[None] * 21, IDLE, *[None] * 20]) is None


def test_what_nobody_looked_at_is_not_held_against_the_engine() -> None:
    """A node that was suspended for an hour wakes with a request in flight."""
    judge = Judge(LIMIT_S, 5.0)
    assert [judge.look(busy(7), at) for at in (0.0, 3.0, 6.0, 3606.0)] == [None] * 4


LOOKS = st.lists(st.none() | st.builds(Told, st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1)


@given(LOOKS, st.floats(0.1, 30.0))
def test_a_stall_is_never_told_without_that_much_time_since_the_last_sign_of_life(
    looks: list[Told | None], every_s: float
) -> None:
    judge, alive_s, last = Judge(LIMIT_S, 5.0), 0.0, None
    for number, told in enumerate(looks):
        now_s = every_s * number
        if told is not None and (last is None or not told.has_work or told.tokens != last.tokens):
            alive_s = now_s
        last = told or last
        if (found := judge.look(told, now_s)) is not None:
            assert LIMIT_S < found.seconds <= now_s - alive_s


@pytest.mark.parametrize(
    ("stall", "words"),
    [
        (Stall(301.2, busy(7, 2), is_silent=False), "made no token for 301 s with 1 requests running and 2 waiting"),
        (Stall(301.2, IDLE, is_silent=True), "has not answered for its metrics"),
    ],
)
def test_a_stall_says_what_was_seen(stall: Stall, words: str) -> None:
    assert words in stall.message


NAMES = Names("vllm:num_requests_running", "vllm:num_requests_waiting", 'tokens_total{mode="decode"}')
PAGE = """\
# HELP vllm:num_requests_running Number of requests.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a} b"} 2.0
vllm:num_requests_running{engine="1",model_name="a} b"} 1.0
vllm:num_requests_running_by_lora{engine="0"} 9.0
vllm:num_requests_waiting 4 1700000000000
tokens_total{mode="decode",rank="0"} 1e3
tokens_total{mode="decode",rank="1"} NaN
tokens_total{mode="prefill",rank="0"} 5
"""


def test_a_page_is_read_by_names_and_labels_over_all_series() -> None:
    assert read(PAGE, NAMES) == Told(3.0, 4.0, 1000.0)


@pytest.mark.parametrize("page", ["", "vllm:num_requests_running", "vllm:num_requests_running{ much\n\x00", "x" * 100])
def test_a_page_that_tells_nothing_is_no_work(page: str) -> None:
    assert not read(page, NAMES).has_work


ENGINE = """\
import http.server, os, subprocess, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = f"running {os.environ['WORK']}\\nwaiting 0\\ntokens 1\\n".encode()
        self.send_response(200); self.end_headers(); self.wfile.write(page)
    def log_message(self, *_): pass
def a_hanging_kernel(): time.sleep(600)
threading.Thread(target=a_hanging_kernel, daemon=True).start()
# Also one that is left alone by its parent, as servers of other frameworks leave some.
subprocess.run([sys.executable, "-c", "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)"])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class Watched:
    """The watchdog as a process, and what it leaves."""

    process: subprocess.Popen[str]
    log: Path

    def ended(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output

    @property
    def last_words(self) -> dict[str, object]:
        said: dict[str, object] = json.loads(self.log.read_text())
        return said


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    begun: list[Watched] = []

    def start(*program: str, work: int = 0, limit_s: float = 1.0, port: int = 1) -> Watched:
        log = tmp_path / "termination"
        names = ("--running", "running", "--waiting", "waiting", "--tokens", "tokens")
        options = ("--stall-seconds", str(limit_s), "--port", str(port), "--path", "/metrics", *names)
        process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_runtime.watchdog", *options, "--", *program],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "operator"),
                "DEEPSEEK_TERMINATION_LOG": str(log),
                "WORK": str(work),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        begun.append(Watched(process, log))
        return begun[-1]

    yield start
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 64", 64), ("kill -SEGV $$", 139)])
def test_it_ends_as_the_program_ends(watched: Callable[..., Watched], script: str, code: int) -> None:
    one = watched("sh", "-c", script)
    assert one.ended()[0] == code
    assert not one.log.exists()


def test_a_program_that_is_not_there_is_said_so(watched: Callable[..., Watched]) -> None:
    code, output = watched("no-such-engine").ended()
    assert (code, "no-such-engine: No such file" in output) == (127, True)


def test_sigterm_reaches_the_program_which_drains_in_its_own_time(watched: Callable[..., Watched]) -> None:
    script = "trap 'echo draining; sleep 1; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    one = watched("sh", "-c", script)
    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "ready\n"
    one.process.send_signal(signal.SIGTERM)
    code, output = one.ended()
    assert (code, output) == (5, "draining\n")


def test_an_engine_with_work_and_no_token_is_ended_with_all_it_started_its_stacks_and_why(
    watched: Callable[..., Watched],
) -> None:
    port = free_port()
    one = watched(sys.executable, "-c", ENGINE, str(port), work=3, port=port)
    code, output = one.ended()
    assert code == 76
    assert "a_hanging_kernel" in output, "the stacks of all threads are in the log"
    assert one.last_words["result"] == "Stalled"
    assert "with 3 requests running and 0 waiting" in str(one.last_words["message"])
    orphan = int(output.splitlines()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(orphan, 0)


SEVERAL = """\
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"running 1\\nwaiting 0\\ntokens 1\\n")
    def log_message(self, *_): pass
def deeper(depth):
    if depth: return deeper(depth - 1)
    __import__("time").sleep(600)
def rank(number): exec(f"def rank_{number}(): deeper(90)\\nrank_{number}()", {"deeper": deeper})
for number in range(10):
    if not os.fork(): rank(number)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_the_processes_of_an_engine_write_their_stacks_one_after_the_other(watched: Callable[..., Watched]) -> None:
    """All at once they write into each other's lines, and nobody can read whose they are."""
    port = free_port()
    code, output = watched(sys.executable, "-c", SEVERAL, str(port), port=port).ended()
    assert code == 76
    stacks = [one for one in output.split("Fatal Python error: Aborted\n") if " in rank_" in one]
    assert sorted(re.findall(r" in (rank_\d)\n", output)) == [f"rank_{number}" for number in range(10)]
    assert [one.count(" in deeper\n") for one in stacks] == [91] * 10


def test_nothing_of_an_engine_outlives_it(watched: Callable[..., Watched]) -> None:
    """Or it would hold the output open, which is read to its end."""
    assert watched("sh", "-c", "sleep 600 & exit 3").ended() == (3, "")
