"""The lives of a serving that may sleep: requests come and go, and all that happens to a serving behind a gateway that tries
new versions happens to this one, awake and asleep.

The world is whole: a gate that hears late what it is told, keeps requests and marks the Lease; replicas that answer; a store
that scrapes them, and says what it found or something else. Whatever happens, at the moment when sleep is recorded no request
that came by the gate runs, none has for as long as is asked for, and no canary runs; the last replica goes only once it is
recorded, and the gate has been told; while it sleeps nobody is let through, nothing scales it, and it wakes for what is new
in the Lease and for an edit, and for nothing else. Once it is quiet: who waits is answered, it falls asleep, says so and
writes nothing more, and the next request is answered.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from deepseek_gate.knowledge import known
from deepseek_operator.adapters.memory import Change
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.controller.reconcile import MOST_ROUNDS, Acted
from deepseek_operator.core.resources import AUTOSCALER, BUDGET, CONFIG_MAP, DEPLOYMENT, LEASE, Manifest
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.domain.policy.zero import Phase
from deepseek_operator.kinds.serving.canary import run_of
from deepseek_operator.kinds.serving.idleness import AGE, ENDED, IN_FLIGHT, REPORTING
from deepseek_operator.kinds.serving.sleep import WAITING
from tests.support.canary_machine import CANARIES, JUDGED, RoutedCanaryMachine
from tests.support.serving_machine import MODELS, NAME, SCALER, WINDOW_S, ServingMachine, Stored, step
from tests.support.servings import NAMESPACE
from tests.support.sleep_life import KEYS, SLEEPS
from tests.support.world import is_ready

TICK_S, SCRAPE_S, AGAIN_S, STALE_S = 5, 15, 5, 300
"""A turn of all; between two scrapes; between two marks; how old a sample a store still answers with."""
TURNS_TO_SLEEP, TURNS_TO_WAKE = 120, 8
IDLE_S, LONG_S = 60, 10**7
WORDS = {IN_FLIGHT: "max_over_time(", ENDED: " offset ", REPORTING: "count(", AGE: "timestamp("}
"""By what a question is known."""
LIES: dict[str, float | None] = {"NaN": nan, "infinite": inf, "absurd": -1e308, "negative": -1.0, "absent": None}
"""What the store may say of one number; none of it says that all is quiet."""
SAYS = st.sampled_from([*LIES, "down", *["the truth"] * 4])
EVENING = 32
TURN = st.integers(0, EVENING - 1)
ASKS = st.lists(st.tuples(TURN, st.sampled_from([0, 0, 3, 40, 200])), max_size=5)
LIES_AT = st.lists(st.tuples(TURN, SAYS, st.sampled_from(sorted(WORDS))), max_size=2)
AWAY = st.builds(lambda at, turns: range(at, at + turns), TURN, st.sampled_from([0, 0, 2, 9]))
MARKS = ("", "soon", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "x" * 300)
NONE_KNOWN = -1
"""Of the gate, where there is no ConfigMap: it knows no such model, and lets nobody in."""


@dataclass(frozen=True)
class Sample:
    """What one scrape found. `answered` is a counter, of all replicas."""

    at: datetime
    running: int
    answered: int
    replicas: int


@dataclass(frozen=True)
class Word:
    """What stands in the gate's ConfigMap from `at` on: replicas that are ready, None where nothing is said of them."""

    at: datetime
    ready: int | None
    hold_s: float


class SleepMachine(RoutedCanaryMachine):
    """Edits, verbs, faults, requests and time.

    Attributes:
        lag: until the gate has heard what it is told.
        requests: until when each runs that was let through.
        held: requests that the gate keeps: since when, and for how long each runs.
        busy_at: when one was let through, or ended, last.
        is_fooled: somebody has written a record of sleep, or in the gate's ConfigMap, and nothing is held against the operator
            until it is awake.
    """

    @initialize(
        model=st.sampled_from(MODELS),
        canary=st.sampled_from([None, CANARIES[0], JUDGED[0]]),
        lag=st.integers(0, 4),
        rounds_of_pass=st.sampled_from([1, MOST_ROUNDS]),
        asks=ASKS,
        lies=LIES_AT,
    )
    def the_first_day(
        self,
        model: Stored,
        canary: Stored | None,
        lag: int,
        rounds_of_pass: int,
        asks: list[tuple[int, int]],
        lies: list[tuple[int, str, str]],
    ) -> None:
        self.lag = timedelta(seconds=lag)
        self.requests: list[datetime] = []
        self.held: list[tuple[datetime, int]] = []
        self.samples: list[Sample] = []
        self.words: list[Word] = []
        self.answered, self.marked, self.marked_at = 0, 0, 0.0
        self.scrapes, self.lie, self.about = True, "the truth", IN_FLIGHT
        self.is_fooled, self.slept_before = False, ""
        self.says, self.said = "good", set[str]()
        self.marks = {}
        ServingMachine.start(self, model, 1, "RollingUpdate", False, False, rounds_of_pass)
        self.busy_at = self.clock.now()
        self.cluster.listeners.append(self._hear)
        self.operator.store.answer = self._answer
        if canary is not None:
            self._spec(rollout={"strategy": "RollingUpdate", "canary": canary})
        self._rest_awake()
        self.requests = []
        self._pass_an_evening(asks, lies, range(0))

    def begin(self, *_: Any) -> None:
        """No rule here: `the_first_day` is."""

    # --- what comes ---------------------------------------------------------------------------------------------

    @step(count=st.integers(1, 3), seconds=st.sampled_from([0, 3, 40, 200]))
    def requests_come(self, count: int, seconds: int) -> None:
        for _ in range(count):
            self._ask(seconds)

    @step(turns=st.integers(1, 12), works=st.booleans(), hears=st.booleans())
    def all_have_their_turns(self, turns: int, works: bool, hears: bool) -> None:
        """`works`: the operator does, with the news if it `hears`."""
        for _ in range(turns):
            self._all(works, hears)

    @step(asks=ASKS, lies=LIES_AT, away=AWAY)
    def an_evening(self, asks: list[tuple[int, int]], lies: list[tuple[int, str, str]], away: range) -> None:
        self._pass_an_evening(asks, lies, away)

    @step(asks=ASKS, lies=LIES_AT, away=AWAY)
    def another_evening(self, asks: list[tuple[int, int]], lies: list[tuple[int, str, str]], away: range) -> None:
        """Most that can go wrong with sleep happens in one."""
        self._pass_an_evening(asks, lies, away)

    def _pass_an_evening(self, asks: list[tuple[int, int]], lies: list[tuple[int, str, str]], away: range) -> None:
        """Requests and what the store says, by turns, while the operator is away for some of them; one replica is enough."""
        self._one_is_enough()
        for turn in range(EVENING):
            self.lie, self.about = next(((says, of) for at, says, of in lies if at == turn), (self.lie, self.about))
            for seconds in (seconds for at, seconds in asks if at == turn):
                self._ask(seconds)
            self._all(turn not in away)

    @step(says=SAYS, about=st.sampled_from(sorted(WORDS)))
    def the_store_says(self, says: str, about: str) -> None:
        self.lie, self.about = says, about

    @step(scrapes=st.booleans())
    def scraping_stops_or_goes_on(self, scrapes: bool) -> None:
        self.scrapes = scrapes

    @step()
    def an_engine_starts_anew(self) -> None:
        """Its counter is at zero, and what ran is lost."""
        self._end_all()

    @step(seconds=st.integers(0, 4))
    def the_gate_hears(self, seconds: int) -> None:
        self.lag = timedelta(seconds=seconds)

    @step(mark=st.sampled_from(MARKS), count=st.sampled_from(["", "3", "-1", "many", "9" * 40]))
    def somebody_writes_into_the_lease(self, mark: str, count: str) -> None:
        def change(live: Stored) -> None:
            live["spec"] = {**(live.get("spec") or {}), "renewTime": mark}
            live["metadata"].setdefault("annotations", {})[WAITING] = count

        if self.cluster.read(LEASE, NAMESPACE, SCALER) is not None:
            self.cluster.edit(LEASE, NAMESPACE, SCALER, change)

    @step(ready=st.integers(0, 1))
    def somebody_writes_to_the_gate(self, ready: int) -> None:
        def change(live: Stored) -> None:
            live["data"] = {k: re.sub(r'"ready": ?\d', f'"ready": {ready}', v) for k, v in live["data"].items()}

        if self.cluster.read(CONFIG_MAP, NAMESPACE, SCALER) is not None:
            self.cluster.edit(CONFIG_MAP, NAMESPACE, SCALER, change)

    @step(phase=st.sampled_from([*Phase, "Dozing"]), seconds=st.sampled_from([-600, 0, 600]))
    def somebody_forges_the_record(self, phase: str, seconds: int) -> None:
        at = (self.clock.now() + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

        def change(live: Stored) -> None:
            live.setdefault("status", {})["sleep"] = {"phase": str(phase), "since": at, "idleSince": at}

        self.is_fooled = True
        self.cluster.edit(SERVING, NAMESPACE, NAME, change)

    @step(
        minimum=st.sampled_from([0, 0, 0, 1, 2]),
        idle=st.sampled_from([30, IDLE_S, 200]),
        hold=st.sampled_from([30, 200]),
    )
    def may_sleep_or_not(self, minimum: int, idle: int, hold: int) -> None:
        wake = {"wake": {"idleSeconds": idle, "holdSeconds": hold}} if not minimum else {}
        scaled = {key: SLEEPS[key] for key in ("maxReplicas", "signals")}
        self._spec(autoscaling={**scaled, "minReplicas": minimum, **wake})

    @step(seconds=st.sampled_from([1, 60, 86400, -60, -86400]))
    def the_clock_jumps(self, seconds: int) -> None:
        """Of all machines alike: what one has noted of the time after now is nothing that the store says any more."""
        self.clock.jump(seconds)
        if seconds < 0:
            by = timedelta(seconds=seconds)
            self.samples = []
            self.requests = [end + by for end in self.requests]
            self.held = [(since + by, runs) for since, runs in self.held]
            self.words = [Word(word.at + by, word.ready, word.hold_s) for word in self.words]
            self.busy_at += by

    # --- the world ----------------------------------------------------------------------------------------------

    def _all(self, works: bool = True, hears: bool = True) -> None:
        """Some seconds pass, and then everybody does what it does."""
        self.clock.advance(TICK_S)
        self._requests_end()
        self._gate_turns()
        if self.scrapes and self.clock.monotonic() % SCRAPE_S == 0:
            self._scrape()
        if works:
            self._operate(hears)
        for turn in "dw":
            self._turn(turn)
        self._look()

    def _operate(self, hears: bool = True) -> None:
        for _ in range(MOST_ROUNDS):
            if hears:
                self.operator.pipe.flush()
            if not isinstance(self._pass(), Acted):
                return

    def _replicas(self) -> int:
        return sum(is_ready(pod) for pod in self._pods())

    def _scrape(self) -> None:
        if replicas := self._replicas():
            self.samples.append(Sample(self.clock.now(), len(self.requests), self.answered, replicas))

    def _requests_end(self) -> None:
        now = self.clock.now()
        if not self._replicas():
            self._end_all()
        over = [end for end in self.requests if end <= now]
        self.requests = [end for end in self.requests if end > now]
        self.answered += len(over)
        if over or self.requests:
            self.busy_at = now

    def _end_all(self) -> None:
        """What ran is lost with who answered it, and so is the count."""
        self.requests, self.answered = [], 0

    def _word(self) -> Word | None:
        """What the gate knows by now; None: nothing yet."""
        heard = [word for word in self.words if word.at + self.lag <= self.clock.now()]
        return heard[-1] if heard else None

    def _ask(self, seconds: int) -> None:
        """A request comes to the gate."""
        word = self._word()
        if word is None or word.ready == NONE_KNOWN:
            return
        if word.ready == 0:
            self.held.append((self.clock.now(), seconds))
            self._mark()
        else:
            self._let_through(seconds)

    def _let_through(self, seconds: int) -> None:
        assert self.is_fooled or self._phase() is not Phase.ASLEEP, "a request is let through to a sleeper"
        now = self.clock.now()
        if not self._replicas():
            return  # A node was lost: the gateway answers.
        self.busy_at = now
        if seconds:
            self.requests.append(now + timedelta(seconds=seconds))
        else:
            self.answered += 1

    def _gate_turns(self) -> None:
        word, now = self._word(), self.clock.now()
        if word is not None and word.ready != 0:
            kept, self.held = self.held, []
            for _, seconds in kept if word.ready != NONE_KNOWN else ():
                self._let_through(seconds)
        hold = timedelta(seconds=word.hold_s if word is not None else 0)
        self.held = [one for one in self.held if now - one[0] < hold]
        if self.held and self.clock.monotonic() - self.marked_at >= AGAIN_S:
            self._mark()

    def _mark(self) -> None:
        """A mark of a gate whose clock is of another year."""
        self.marked, self.marked_at = self.marked + 1, self.clock.monotonic()
        at = (datetime(2019, 1, 1) - timedelta(seconds=self.marked)).isoformat(timespec="microseconds") + "Z"

        def change(live: Stored) -> None:
            live["spec"] = {**(live.get("spec") or {}), "renewTime": at, "holderIdentity": "gate-1"}
            live["metadata"].setdefault("annotations", {})[WAITING] = str(len(self.held))

        if self.cluster.read(LEASE, NAMESPACE, SCALER) is not None:
            self.cluster.edit(LEASE, NAMESPACE, SCALER, change)

    def _answer(self, query: str, at: datetime) -> Answer:
        about = next((name for name, word in WORDS.items() if word in query), None)
        if about is None or "sum(increase(" in query:
            return super()._answer(query, at)
        if self.lie == "down":
            return Unavailable("connection refused")
        if self.lie in LIES and about == self.about:
            number = LIES[self.lie]
            return Reading((number,) if number is not None else (), at)
        return self._true_answer(query, about, at)

    def _true_answer(self, query: str, about: str, at: datetime) -> Answer:
        window = timedelta(
            seconds=next((int(s) for s in re.findall(r"\[(\d+)s\]|offset (\d+)s", query) for s in s if s), 0)
        )

        def last(moment: datetime) -> Sample | None:
            found = [one for one in self.samples if moment - timedelta(seconds=STALE_S) < one.at <= moment]
            return found[-1] if found else None

        now, then = last(at), last(at - window)
        within = [one for one in self.samples if at - window <= one.at <= at]
        match about:
            case _ if about != ENDED and now is None:
                return Reading((), at)
            case "in_flight":
                return Reading((float(max(one.running for one in within)),) if within else (), at)
            case "reporting":
                return Reading((float(now.replicas),) if now is not None else (), at)
            case "age":
                return Reading(((at - now.at).total_seconds(),) if now is not None else (), at)
            case _:
                counts = [one.answered if one is not None else 0 for one in (now, then)]
                return Reading((float(counts[0] - counts[1]),), at)

    # --- what must hold at every moment -------------------------------------------------------------------------

    def _hear(self, change: Change) -> None:
        """What is written, at the moment when it is."""
        name = change.manifest["metadata"]["name"]
        if change.resource == CONFIG_MAP and name == SCALER:
            models = tuple(known([change.manifest]).models.values()) if change.type != "DELETED" else ()
            ready, hold = (models[0].ready, models[0].hold_s) if models else (NONE_KNOWN, 0.0)
            self.words.append(Word(self.clock.now(), ready, hold))
        elif change.resource == SERVING and change.type != "DELETED":
            phase = ((change.manifest.get("status") or {}).get("sleep") or {}).get("phase", "")
            if phase == Phase.ASLEEP and self.slept_before != Phase.ASLEEP and not self.is_fooled:
                self._check_falls_asleep(change.manifest)
            if phase in (Phase.AWAKE, ""):
                self.is_fooled = False
            self.slept_before = phase
        elif change.resource == AUTOSCALER and change.type != "DELETED":
            assert change.manifest["spec"]["minReplicas"] >= 1, "another than the operator may take the last replica"

    def _check_falls_asleep(self, manifest: Manifest) -> None:
        serving = self.operator.kind.parse(manifest)
        wake = serving.spec.sleep
        assert wake is not None, "it sleeps, and may not"
        assert not self.requests, "it sleeps while a request runs"
        idle = self.clock.now() - self.busy_at
        assert idle >= timedelta(seconds=wake.idle_seconds), f"it sleeps {idle} after the last request"
        run = run_of(serving.status.canary)
        assert run is None or not run.is_open, "it sleeps while a canary runs"
        assert serving.status.running_replicas == 1, "it sleeps while more than one replica is wanted"
        word = self._word()
        assert word is not None
        assert word.ready == 0, "it sleeps, and the gate lets requests through"

    def _phase(self) -> Phase | None:
        sleep = self._parsed().status.sleep
        return Phase(sleep.phase) if sleep is not None and sleep.phase in list(Phase) else None

    def _pass(self) -> object:
        before, was, slept = self._picture(), self._phase(), self._parsed().status.sleep
        is_fresh, mark = self._is_fresh() and not self.missing and not self.cluster.faults, self._mark_in_lease()
        outcome = super()._pass()
        after, is_now, owner = self._picture(), self._phase(), self._parsed()
        if before["uid"] != after["uid"] or owner.spec.sleep is None:
            return outcome
        ran, runs = (sum(picture["specified"].values()) for picture in (before, after))
        if runs == 0 < ran and len(before["specified"]) == 1:
            assert is_now is Phase.ASLEEP, "the last replica goes, and no record says that it sleeps"
        if was is is_now is Phase.ASLEEP:
            assert runs <= ran, "a sleeper is given replicas"
        if was is Phase.ASLEEP and is_fresh and slept is not None:
            is_new = bool(mark) and mark != slept.heard
            assert is_now is not Phase.ASLEEP or not is_new or not isinstance(outcome, Acted), "somebody waits"
            told = owner.status.sleep.message if owner.status.sleep is not None else ""
            assert is_now is Phase.ASLEEP or is_new or "another version" in told, "it wakes for nothing"
        return outcome

    def _mark_in_lease(self) -> str:
        """As much of it as is recorded."""
        lease = self.cluster.read(LEASE, NAMESPACE, SCALER) or {}
        return str((lease.get("spec") or {}).get("renewTime") or "")[:64]

    def _check_floor(self, before: Stored, after: Stored, fresh: bool) -> None:
        """Sleep has rules of its own."""
        if self._phase() is not Phase.ASLEEP:
            super()._check_floor(before, after, fresh)

    # --- once it is quiet ---------------------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Awake under load as any serving is; then asleep, and awake again, where it may."""
        self._rest_awake()
        owner = self._parsed()
        if owner.spec.sleep is not None:
            self._fall_asleep()
            self._check_asleep()
            self._ask(3)
            self._wake()

    def _rest_awake(self) -> None:
        super().at_rest()
        assert not self.held, "somebody waits for ever"

    def _undo_outages(self) -> None:
        super()._undo_outages()
        self.scrapes, self.lie, self.lag = True, "the truth", timedelta(0)

    def _quiet_round(self) -> None:
        """One that uses it for a long time, while all is brought in order."""
        super()._quiet_round()
        self._requests_end()
        self._gate_turns()
        if not self.requests and not self.held:
            self._ask(LONG_S)
        self._scrape()

    def _fall_asleep(self) -> None:
        self.requests, self.answered = [], self.answered + len(self.requests)
        self.busy_at = self.clock.now()
        for _ in range(TURNS_TO_SLEEP):
            self._one_is_enough()
            self._all()
            if self._phase() is Phase.ASLEEP:
                return
        raise AssertionError(f"it never sleeps: {self._owner()['status'].get('sleep')}, {self.samples[-3:]}")

    def _one_is_enough(self) -> None:
        """The autoscaler wants as few as it may, once it has looked for long enough."""
        if (scaler := self._scaler()) is None or self._owner()["spec"]["replicas"] == 0:
            return
        least, told = scaler["spec"]["minReplicas"], (scaler.get("status") or {}).get("desiredReplicas")
        if told != least:
            self.clock.jump(WINDOW_S)
            self.world.scale(NAMESPACE, NAME, least)
            self.world.set_autoscaler(NAMESPACE, SCALER, True, least)

    def _check_asleep(self) -> None:
        for _ in range(4):
            self._all()
        status = self._parsed().status
        told = {condition.type: (condition.status, condition.reason) for condition in status.conditions}
        assert (status.phase, told["Ready"], told["Reconciling"][0]) == ("Asleep", ("True", "Asleep"), "False")
        assert (status.replicas, status.ready_replicas, self._pods()) == (0, 0, [])
        assert [d["spec"]["replicas"] for d in self.cluster.all(DEPLOYMENT)] == [0]
        assert self.cluster.all(AUTOSCALER) == []
        (budget,) = self.cluster.all(BUDGET)
        assert budget["spec"]["minAvailable"] == 0
        assert self.words[-1].ready == 0
        writes, asked = len(self.cluster.writes), len(self.operator.store.asked)
        self.operator.restart()
        self._tell_what_is_missing()
        for _ in range(3):
            self._all()
        assert len(self.cluster.writes) == writes, self.cluster.writes[writes:]
        assert len(self.operator.store.asked) == asked, "a sleeper asks the store"

    def _wake(self) -> None:
        for _ in range(TURNS_TO_WAKE):
            self._all()
            if self.requests or not self.held:
                break
        assert not self.held, f"nobody wakes: {self._owner()['status'].get('sleep')}"
        assert self._phase() in (Phase.AWAKE, Phase.IDLE)

    def _check_children(self) -> None:
        super()._check_children()
        assert len(self.cluster.all(LEASE)) == int(self._parsed().spec.sleep is not None)

    # --- the pieces ---------------------------------------------------------------------------------------------

    def _create(self, **spec: Any) -> None:
        is_new = "gateway" not in spec and "autoscaling" not in spec
        super()._create(**({"gateway": KEYS, "autoscaling": SLEEPS} if is_new else {}), **spec)

    def _spec(self, **changes: Any) -> None:
        """As the API server lets it in: what sleeps is behind the gate."""
        super()._spec(**changes)
        spec = self._owner()["spec"]
        scaled = spec.get("autoscaling")
        if scaled and scaled["minReplicas"] == 0 and not (spec.get("gateway") or {}).get("auth"):
            awake = {key: value for key, value in scaled.items() if key != "wake"}
            super()._spec(autoscaling={**awake, "minReplicas": 1})

    def _children(self) -> list[Stored]:
        return [*super()._children(), *self.cluster.all(LEASE)]
