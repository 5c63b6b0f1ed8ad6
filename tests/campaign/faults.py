"""What happens between the operator and the API server, and to both processes. Every fault ends by itself, or at `end`.

Each method begins one fault and returns a sentence that says which. Exits of the operator are accounted for here: one
for each time that it is killed, and one whenever it could not have renewed its Lease, be it by a fault or by a busy machine.
"""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random

from examples.local_cluster.control_plane import Cluster
from tests.support.fault_proxy import After, Answer, Asked, End, Fate, NoAnswer, Write, failing, line, status
from tests.support.operator_process import KILLED, OperatorProcess

PLURALS = (
    *("deepseektrainings", "deepseekservings", "jobs", "pods", "services", "persistentvolumeclaims"),
    *("deployments", "controllerrevisions", "horizontalpodautoscalers", "poddisruptionbudgets", "networkpolicies"),
)
CODES = (409, 429, 500, 503, 504)
LEASE_AT_RISK_S = 5.0
"""A Lease is renewed every 2 s and given up after 10 s without; a busy machine needs some of the difference."""
PULSE_S = 1.0
BEFORE_IT_TELLS = 5
"""Writes among which the one is drawn that a kill waits for."""

Effect = Answer | NoAnswer | After


@dataclass(frozen=True)
class _Window:
    """`effect` instead of the answer, for a share of the requests that it applies to, until then."""

    until: float
    share: float
    applies: Callable[[Asked], bool]
    effect: Effect


@dataclass
class Faults:
    """The faults of one bed. `random` is used by the proxies' threads too: what is drawn there is by chance.

    Attributes:
        kills: how often a process was killed; excuses: how often another end of it was to be expected.
    """

    random: Random
    cluster: Cluster
    kills: int = 0
    excuses: int = 0
    _processes: list[OperatorProcess] = field(default_factory=list)
    _windows: list[_Window] = field(default_factory=list)
    _undo: dict[int, Callable[[], object]] = field(default_factory=dict)
    _timers: list[threading.Timer] = field(default_factory=list)
    _next_kill: tuple[int, Fate] | None = None
    _renewed: dict[OperatorProcess, float] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Faults":
        threading.Thread(target=self._pulse, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.end()

    def stand_before(self, process: OperatorProcess) -> None:
        """From now on this replica is disturbed too."""
        self._processes.append(process)
        process.proxy.answer = lambda asked: self._answer(process, asked)
        process.decide(self._fate)

    def end(self) -> None:
        """Nothing is disturbed any more; returns once every process goes on.

        What is silent is cut off: a request that nobody will answer and a stream that is half-open are noticed by their
        limits of 5 and 35 seconds only, and until then all would look well.
        """
        with self._lock:
            self._windows.clear()
            self._next_kill = None
            timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()
        for number in list(self._undo):
            self._end(number)
        for process in self._processes:
            process.proxy.wake()

    def expect_kill(self) -> None:
        """Somebody is about to kill a process."""
        self.kills += 1

    def unexplained(self, process: OperatorProcess) -> list[str]:
        """Ends of a replica that no fault explains."""
        killed = sum(1 for code in process.exits if code == KILLED)
        others = [code for code in process.exits if code != KILLED]
        found = [f"{killed} times killed, {self.kills} ordered"] if killed > self.kills else []
        return found + ([f"exit codes {others}, {self.excuses} explained"] if len(others) > self.excuses else [])

    # --- answers -------------------------------------------------------------------------------------------------

    def errors(self, random: Random) -> str:
        """The API server refuses, by chance."""
        code = random.choice(CODES)
        headers = {"Retry_After": str(random.choice((1, 2)))} if code == 429 or random.random() < 0.2 else {}
        of = _writes if code == 409 or random.random() < 0.6 else _any
        return self._window(random, failing(code, **headers), of, f"{code} {headers or ''}")

    def silence(self, random: Random) -> str:
        """Requests are taken and never answered."""
        return self._window(random, NoAnswer.SILENCE, random.choice((_writes, _any)), "no answer")

    def cuts(self, random: Random) -> str:
        """Connections are reset."""
        return self._window(random, NoAnswer.RESET, random.choice((_writes, _any)), "a reset connection")

    def late(self, random: Random) -> str:
        """Writes are carried out, and their sender does not hear of it."""
        hears: Answer | NoAnswer = random.choice((NoAnswer.SILENCE, NoAnswer.RESET, failing(500), failing(504)))
        word = hears.value if isinstance(hears, NoAnswer) else str(hears.status)
        return self._window(random, After(hears), _writes, f"carried out, but {word}")

    def refused(self, random: Random) -> str:
        """Nobody listens."""
        span = random.uniform(0.5, 4)
        for process in self._processes:
            process.proxy.refuse()
            self._later(span, process.proxy.listen)
        return f"nobody listens for {span:.1f} s"

    # --- watches -------------------------------------------------------------------------------------------------

    def watch_error(self, random: Random) -> str:
        """An ERROR in the stream."""
        code, plurals = random.choice((410, 410, 500, 504, 429, 403, None)), self._some(random)
        for process in self._processes:
            for plural in plurals:
                process.proxy.tell(plural, line("ERROR", status(code)))
        return f"ERROR {code} in the watches of {', '.join(plurals)}"

    def watch_broken(self, random: Random) -> str:
        """A stream ends, is cut, or says nonsense."""
        words = random.choice(
            (
                *(
                    End(),
                    End(is_reset=True),
                    End(b'{"type":"MODIFIED","object":{"kind'),
                    b"nonsense\n",
                    b"[]\n",
                    b"{}\n",
                ),
                *(line("NEW", {}), line("MODIFIED", None), line("BOOKMARK", {"metadata": {"resourceVersion": "1"}})),
            )
        )
        plurals = self._some(random)
        for process in self._processes:
            for plural in plurals:
                process.proxy.tell(plural, words)
        return f"{words!r} in the watches of {', '.join(plurals)}"

    def deaf(self, random: Random) -> str:
        """Streams stay open and tell nothing."""
        span, plurals = random.uniform(1, 8), self._some(random)
        for process in self._processes:
            process.proxy.deaf_to |= set(plurals)
            self._later(span, partial(process.proxy.deaf_to.difference_update, plurals))
        return f"deaf to {', '.join(plurals)} for {span:.1f} s"

    def relist_fails(self, random: Random) -> str:
        """Streams end, and can't be begun again for a while."""
        code, span, plurals = random.choice((410, 429, 500, 403)), random.uniform(0.5, 4), self._some(random)
        window = _Window(
            time.monotonic() + span, 1.0, lambda asked: asked.last in plurals and _begins(asked), failing(code)
        )
        self._windows.append(window)
        for process in self._processes:
            for plural in plurals:
                process.proxy.tell(plural, End())
        return f"watches of {', '.join(plurals)} end, and answer {code} for {span:.1f} s"

    # --- processes -----------------------------------------------------------------------------------------------

    def kill(self, random: Random) -> str:
        """A replica is killed, at once or around one of its next writes."""
        if random.random() < 0.3:
            number = random.randrange(len(self._processes))
            self.expect_kill()
            self._processes[number].kill()
            return f"SIGKILL of operator-{number}"
        fate = random.choice((Fate.KILL_BEFORE, Fate.KILL_AFTER))
        self._next_kill = (random.randint(1, BEFORE_IT_TELLS), fate)
        return f"{fate.value} write {self._next_kill[0]} from now"

    def pause_operator(self, random: Random) -> str:
        """A replica stands still and does not know; another may lead when it goes on."""
        number, span = random.randrange(len(self._processes)), random.choice((2.0, 5.0, 19.0))
        process = self._processes[number]
        process.send(signal.SIGSTOP)
        self._excuse(span)
        self._later(span, lambda: process.send(signal.SIGCONT))
        return f"operator-{number} stands still for {span:.0f} s"

    def pause_api_server(self, random: Random) -> str:
        """The API server stands still: its clients hang."""
        span = random.choice((1.0, 4.0, 12.0))
        self.cluster.pause("apiserver")
        self._later(span, lambda: self.cluster.resume("apiserver"))
        return f"the API server stands still for {span:.0f} s"

    def restart_etcd(self, random: Random) -> str:
        """The store is killed and comes back."""
        span = random.uniform(0.2, 3)
        self.cluster.kill("etcd")
        self._later(span, lambda: self.cluster.restart("etcd"))
        return f"etcd is killed, and back in {span:.1f} s"

    # --- inside --------------------------------------------------------------------------------------------------

    def _window(self, random: Random, effect: Effect, of: Callable[[Asked], bool], word: str) -> str:
        span, share = random.uniform(0.5, 5), random.choice((0.2, 0.5, 1.0))
        self._windows.append(_Window(time.monotonic() + span, share, of, effect))
        return f"{word} to {share:.0%} of {of.__name__.strip('_')} for {span:.1f} s"

    def _some(self, random: Random) -> tuple[str, ...]:
        return tuple(random.sample(PLURALS, random.choice((1, 1, 2, len(PLURALS)))))

    def _answer(self, process: OperatorProcess, asked: Asked) -> Effect | None:
        now = time.monotonic()
        effect = next((window.effect for window in list(self._windows) if self._hits(window, asked, now)), None)
        if "/leases" in asked.path:
            if effect is not None and now - self._renewed.setdefault(process, now) < LEASE_AT_RISK_S:
                if NoAnswer.SILENCE in (effect, getattr(effect, "instead", None)):
                    self.excuses += 1  # It waits for most of what the Lease has left; a busy machine needs the rest.
                return effect
            if effect is not None:
                self.excuses += 1
            if effect is not None or asked.verb != "GET":
                self._renewed[process] = now
        return effect

    def _hits(self, window: _Window, asked: Asked, now: float) -> bool:
        return now < window.until and window.applies(asked) and self.random.random() < window.share

    def _fate(self, _number: int, _write: Write) -> Fate:
        with self._lock:
            if self._next_kill is None:
                return Fate.PASS
            left, fate = self._next_kill
            self._next_kill = (left - 1, fate) if left > 1 else None
            if left > 1:
                return Fate.PASS
            self.expect_kill()
            return fate

    def _excuse(self, span: float) -> None:
        if span >= LEASE_AT_RISK_S:
            self.excuses += 1

    def _pulse(self) -> None:
        """What happens to a Lease on a machine that is too busy: an undisturbed request takes as long, or nothing runs."""
        began = time.monotonic()
        while not self._over.wait(PULSE_S):
            self.cluster.api.is_ready()
            took, began = time.monotonic() - began - PULSE_S, time.monotonic()
            self._excuse(took)

    def _later(self, seconds: float, undo: Callable[[], object]) -> None:
        with self._lock:
            number = max(self._undo, default=0) + 1
            self._undo[number] = undo
            timer = threading.Timer(seconds, self._end, (number,))
            timer.daemon = True
            self._timers.append(timer)
        timer.start()

    def _end(self, number: int) -> None:
        with self._lock:
            undo = self._undo.pop(number, None)
            if undo is not None:
                with suppress(ProcessLookupError):
                    undo()


def _writes(asked: Asked) -> bool:
    return asked.verb not in ("GET", "HEAD") and "reviews" not in asked.path


def _any(asked: Asked) -> bool:
    return not asked.watches and "reviews" not in asked.path


def _begins(asked: Asked) -> bool:
    return asked.watches or asked.lists_whole


FAULTS: tuple[tuple[int, Callable[[Faults, Random], str]], ...] = (
    (6, Faults.errors),
    (3, Faults.silence),
    (3, Faults.cuts),
    (6, Faults.late),
    (2, Faults.refused),
    (4, Faults.watch_error),
    (3, Faults.watch_broken),
    (4, Faults.deaf),
    (2, Faults.relist_fails),
    (6, Faults.kill),
    (2, Faults.pause_operator),
    (2, Faults.pause_api_server),
    (1, Faults.restart_etcd),
)
