"""One serving with a canary in a hostile cluster, beside everything that the machine of servings does to it.

On the way, at every pass: the stable revision is not shrunk before promotion, nothing but the two of the run is given
replicas, a revision that was rolled back gets none any more, the target never has more than its step and than serves for
others; a failure is counted only for numbers that were bad, and only good ones let a step that is judged go on. No exam has
two Jobs at once, one that fails is no failure of the version, none outlives its run, and its pod is no replica.
"""

from collections import Counter
from datetime import datetime
from json import dumps, loads
from math import inf, nan
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from deepseek_operator.api.v1alpha1.serving.analysis import AnalysisStatus
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus
from deepseek_operator.core.names import OWNER_UID, ROLE_LABEL
from deepseek_operator.core.resources import HTTP_ROUTE, JOB, POD, annotations_of, is_terminating, labels_of
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Reading
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.kinds.serving.canary import analysis_of, header_of, read, run_of
from deepseek_operator.kinds.serving.exam import ABOUT
from deepseek_operator.kinds.serving.labels import EXAMINER_ROLE
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.kinds.serving.routes import matched_of
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK
from deepseek_operator.workloads.batch.job import ended
from tests.support.gateway_machine import GatewayMachine
from tests.support.serving_machine import MODELS, NAME, WHICH, ServingMachine, Stored, step
from tests.support.servings import NAMESPACE
from tests.support.world import is_ended, phase_of

VERBS = (PROMOTE, PAUSE, ROLLBACK)
CANARIES: tuple[Stored, ...] = (
    {"steps": [{"weight": 25, "bakeSeconds": 60}, {"weight": 50, "bakeSeconds": 0}, {"weight": 100, "bakeSeconds": 1}]},
    {"steps": [{"replicas": 2, "bakeSeconds": 30, "pause": True}, {"replicas": 1, "weight": 60}], "stallSeconds": 60},
    {"steps": [{"weight": 100, "bakeSeconds": 600}], "stallSeconds": 30, "onInconclusive": "Rollback"},
)

ANALYSIS: Stored = {
    "intervalSeconds": 30,
    "failureLimit": 2,
    "metrics": [{"type": "ErrorRate", "max": "0.1"}, {"type": "Latency", "maxIncreasePercent": 20}],
}
JUDGED: tuple[Stored, ...] = (
    {"steps": [{"weight": 25, "bakeSeconds": 60, "analysis": ANALYSIS}, {"weight": 50, "analysis": ANALYSIS}]},
    {
        "steps": [{"weight": 50, "bakeSeconds": 0, "analysis": ANALYSIS}],
        "onInconclusive": "Rollback",
        "stallSeconds": 60,
    },
)
EXAM: Stored = {"type": "Accuracy", "data": "builtin://uppercase", "samples": 10, "maxDrop": "0.1"}
EXAMINED: tuple[Stored, ...] = (
    {"steps": [{"weight": 50, "bakeSeconds": 30, "analysis": {**ANALYSIS, "metrics": [EXAM]}}] * 2},
    {"steps": [{"weight": 50, "analysis": {**ANALYSIS, "metrics": [EXAM, *ANALYSIS["metrics"]]}}], "stallSeconds": 60},
)
COMPARED: tuple[Stored, ...] = (
    {"steps": [{"replicas": 1, "bakeSeconds": 30}], "match": {"percent": 20}},
    {"steps": [{"replicas": 2, "bakeSeconds": 30, "pause": True}, {"replicas": 1}], "match": {"percent": 50}},
    {"steps": [{"weight": 50, "bakeSeconds": 30}], "match": {"header": {"name": "x-variant", "value": "new"}}},
    {
        "steps": [{"replicas": 1, "bakeSeconds": 30, "analysis": {**ANALYSIS, "metrics": [EXAM]}}],
        "match": {"header": {"name": "x-variant", "value": "new"}},
    },
)
"""A/B tests."""
ALL = (*CANARIES, *JUDGED, *EXAMINED, *COMPARED)
TRIED_AT_ONCE = (*JUDGED, *EXAMINED, *COMPARED)
MARKS = {"good": 0.95, "bad": 0.5}
"""What exams of the new version leave while the store says that; while it says anything else they fail or are evicted."""
NUMBERS: dict[str, float | None] = {
    "good": 0.05, "bad": 0.5, "NaN": nan, "infinite": inf, "negative": -1.0, "absurd": 1e308, "absent": None,
}  # fmt: skip
"""What the metrics store says of the new version, beside "down"; the stable one is at 0.05, and both had many requests."""
WORDS = st.sampled_from([*NUMBERS, "down"])
BAD = {"bad", "absurd"}
"""Of a latency the absurd is bad: nobody can say how slow is impossible."""

LONGEST_BAKE_S = 600


class CanaryMachine(ServingMachine):
    """Edits, verbs in any order, faults and time."""

    most_revisions = 8
    """Beside the newest: what runs, what was rolled back and what is asked for."""

    @initialize(
        model=st.sampled_from(MODELS),
        replicas=st.integers(1, 4),
        canary=st.sampled_from(ALL),
        autoscaled=st.booleans(),
        another=st.booleans(),
        said=st.lists(WORDS, min_size=2, max_size=6),
    )
    def begin(
        self, model: Stored, replicas: int, canary: Stored, autoscaled: bool, another: bool, said: list[str]
    ) -> None:
        super().start(model, replicas, "RollingUpdate", autoscaled, True, 2)
        self._spec(rollout={"strategy": "RollingUpdate", "canary": self._canary(canary)})
        self.says, self.said = "good", set[str]()
        self.marks: dict[tuple[int, int, str], str] = {}
        self.operator.store.answer = self._answer
        self.at_rest()
        if another or canary in TRIED_AT_ONCE:
            self._spec(engine={"maxConcurrency": 4 + replicas})
            self._turn("o")

        if canary in TRIED_AT_ONCE:
            self.a_step_bakes(said)

    def start(self, *_: Any) -> None:
        """No rule here: `begin` is."""

    @step(says=WORDS)
    def the_metrics_store_says(self, says: str) -> None:
        self.says = says

    @step(said=st.lists(WORDS, min_size=1, max_size=5))
    def intervals_pass(self, said: list[str]) -> None:
        self.a_step_bakes(said)

    def a_step_bakes(self, said: list[str]) -> None:
        """All get on, and some intervals pass in which the metrics store says one thing after the other."""
        for _ in range(3):
            self._turn("w")
            self._turn("o")
        for self.says in said:
            self.clock.advance(ANALYSIS["intervalSeconds"])
            self._turn("o")

    @step(canary=st.sampled_from(ALL))
    def edit_the_canary(self, canary: Stored) -> None:
        self._spec(rollout={"strategy": "RollingUpdate", "canary": self._canary(canary)})

    @step(verb=st.sampled_from(VERBS), which=WHICH, token=st.sampled_from(["", "/1", "/2", "/again"]))
    def somebody_annotates(self, verb: str, which: int, token: str) -> None:
        status = self._parsed().status
        names = [one.name for one in status.revisions] + ["0123456789"]
        if status.canary is not None:
            names += [status.canary.target, status.canary.stable] * 3
        self._annotate(verb, names[which % len(names)] + token)

    @step(verb=st.sampled_from(VERBS))
    def somebody_takes_an_annotation_away(self, verb: str) -> None:
        self._annotate(verb, None)

    @step(seconds=st.sampled_from([30, 60, 600]))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    def _annotate(self, verb: str, value: str | None) -> None:
        def change(live: Stored) -> None:
            annotations = live["metadata"].setdefault("annotations", {})
            annotations.pop(verb, None)
            if value is not None:
                annotations[verb] = value

        self.cluster.edit(SERVING, NAMESPACE, NAME, change)

    def _answer(self, query: str, at: datetime) -> Answer:
        self.said.add(self.says)
        if self.says == "down":
            return Unavailable("connection refused")
        number, canary = NUMBERS[self.says], self._parsed().status.canary
        if number is None:
            return Reading((), at)
        if query.startswith("sum(increase("):
            return Reading((500.0,), at)
        is_stable = canary is not None and f'"{canary.stable}"' in query
        return Reading((0.05 if is_stable else number,), at)

    def _canary(self, canary: Stored) -> Stored:
        """As it can be: without a gateway requests are told apart by no header."""
        if "header" not in canary.get("match", {}) or "gateway" in self._owner()["spec"]:
            return canary
        steps = [{**step, "weight": None, "replicas": 1} for step in canary["steps"]]
        return {**canary, "steps": steps, "match": {"percent": 20}}

    # --- exams --------------------------------------------------------------------------------------------------

    def _turn(self, turn: str) -> None:
        if turn in "dw":
            self.world.run_job_controller()
        super()._turn(turn)
        if turn == "w":
            self.world.run_job_controller()

    def _run_pods(self) -> None:
        """Replicas get ready; an exam that ran already is over."""
        for pod in self._examiners():
            if is_ended(pod) or is_terminating(pod):
                continue
            if phase_of(pod) == "Running":
                self._end_exam(pod)
            else:
                self.world.run(pod)
        super()._run_pods()

    def _pods(self) -> list[Stored]:
        return [pod for pod in super()._pods() if labels_of(pod).get(ROLE_LABEL) != EXAMINER_ROLE]

    def _examiners(self) -> list[Stored]:
        return [pod for pod in self.cluster.all(POD) if labels_of(pod).get(ROLE_LABEL) == EXAMINER_ROLE]

    def _end_exam(self, pod: Stored) -> None:
        (owner,) = pod["metadata"]["ownerReferences"]
        job = self.cluster.read(JOB, NAMESPACE, owner["name"])
        if job is None:
            return
        about = loads(annotations_of(job)[ABOUT])
        canary = self._parsed().status.canary
        says = "good" if canary is None or about["revision"] == canary.stable else self.says
        if says in MARKS:
            self.marks[about["run"], about["step"], about["revision"]] = says
            metrics = {"accuracy": MARKS[says], "samples": 10}
            self.world.end(pod, 0, dumps({"formatVersion": 1, "result": "Complete", "metrics": metrics}))
            return
        if says == "down":
            self.world.evict(pod)
        self.world.end(pod, 143 if says == "down" else 1, "the server was gone")

    def _check_exams(self) -> None:
        """Each revision of a step has one exam at a time that may still ask it something."""
        jobs = [job for job in self.cluster.all(JOB) if not is_terminating(job) and not ended(job)]
        about = [loads(annotations_of(job)[ABOUT]) for job in jobs]
        asked = Counter(
            (labels_of(j)[OWNER_UID], one["run"], one["step"], one["revision"])
            for j, one in zip(jobs, about, strict=True)
        )
        assert max(asked.values(), default=1) == 1, asked

    # --- oracle -------------------------------------------------------------------------------------------------

    def _undo_outages(self) -> None:
        super()._undo_outages()
        self.says = "good"
        for verb in VERBS:
            self._annotate(verb, None)

    def _quiet_round(self) -> None:
        self.clock.jump(LONGEST_BAKE_S)
        super()._quiet_round()
        canary = self._parsed().status.canary
        if canary is not None and canary.phase in (Phase.PAUSED, Phase.HELD, Phase.COMPARED):
            self._annotate(PROMOTE, f"{canary.target}/{self.cluster.version}")

    def _is_rejected(self) -> bool:
        canary = self._parsed().status.canary
        return canary is not None and canary.phase == Phase.ROLLED_BACK and canary.target == super()._expected()

    def _expected(self) -> str:
        canary = self._parsed().status.canary
        return canary.stable if canary is not None and self._is_rejected() else super()._expected()

    def _check_status(self) -> None:
        status = self._parsed().status
        ends = (Phase.COMPLETED, Phase.ROLLED_BACK, *([Phase.SUSPENDED] if self._wanted() == 0 else []))
        assert status.canary is None or status.canary.phase in ends
        assert not self.cluster.all(JOB), "an exam outlives its run"
        if not self._is_rejected() or self._parsed().spec.suspend:
            return
        assert (status.phase, status.replicas, status.ready_replicas) == ("RolledBack", self._wanted(), self._wanted())

    def _pass(self) -> object:
        before, was = self._picture(), self._parsed().status.canary
        outcome = super()._pass()
        after, is_now = self._picture(), self._parsed().status.canary
        self._check_exams()
        if before["uid"] == after["uid"]:
            self._check_run(before, after, was, is_now)
        return outcome

    def _check_run(self, before: Stored, after: Stored, was: CanaryStatus | None, is_now: CanaryStatus | None) -> None:
        run = run_of(is_now)
        if run is None or was is None or is_now is None or was.run != is_now.run:
            return
        assert was.target == is_now.target
        assert was.stable == is_now.stable or not run.is_open
        self._check_judged(was, is_now)
        self._check_match(before, after)
        self._check_comparison(was, is_now)
        more = {n for n, count in after["specified"].items() if count > before["specified"].get(n, count)}
        target, stable = (serving_revision(NAME, name) for name in (run.target, run.stable))
        wanted = 0 if before["spec"].get("suspend") else (after["register"] or 0)
        if was.phase == is_now.phase == Phase.ROLLED_BACK:
            assert target not in more, "what was rolled back is given replicas again"
        if run.is_open:
            assert more <= {target, stable}, (more, run)
            least = min(wanted, before["specified"].get(stable, 0))
            assert after["specified"].get(stable, 0) >= least, "the stable revision was shrunk before promotion"
            most = max(run.step.capacity(wanted), before["specified"].get(target, 0))
            assert after["specified"].get(target, 0) <= most, "the target has more than its step"

    def _check_match(self, before: Stored, after: Stored) -> None:
        """Who gets requests by a header serves as it begins to."""
        for name in {*after["matched"]} - {*before["matched"]}:
            assert before["ready"].get(serving_revision(NAME, name), 0) > 0, name

    def _check_comparison(self, was: CanaryStatus, is_now: CanaryStatus) -> None:
        """An A/B test promotes nobody by itself, ends with a table of both, and what is compared stays so."""
        if (match := read(was.pinned).match) is None:
            assert is_now.comparison is None
            return
        if is_now.phase == Phase.COMPLETED and was.phase != Phase.COMPLETED:
            assert was.phase == Phase.COMPARED or is_now.message, (was.phase, match)
            assert was.promoted != is_now.promoted or is_now.message
        if is_now.phase == Phase.COMPARED:
            assert is_now.comparison is not None
            assert [one.revision for one in is_now.comparison.revisions] == [is_now.stable, is_now.target]
        if was.comparison is not None:
            assert is_now.comparison == was.comparison

    def _picture(self) -> Stored:
        route = self.cluster.read(HTTP_ROUTE, NAMESPACE, f"{NAME}-serve") or {}
        return {**super()._picture(), "matched": matched_of(route)}

    def _check_judged(self, was: CanaryStatus, is_now: CanaryStatus) -> None:
        """What the store has said since the last judgement is what this one may go by."""
        if (analysis := analysis_of(was)) is None or was.promoted != is_now.promoted:
            self.said.clear()
            return
        known = was.analysis or AnalysisStatus()
        told = is_now.analysis if is_now.analysis is not None and was.step == is_now.step else None
        if told is not None and told.failures > known.failures:
            assert told.failures == known.failures + 1
            mark = self.marks.get((was.run, was.step, was.target))
            assert self.said & BAD or mark == "bad", "a failure for numbers that were not bad"
        went_on = was.step != is_now.step or is_now.phase in (Phase.COMPLETED, Phase.PAUSED)
        if was.phase == Phase.BAKING and went_on and not is_now.message:
            last = told.verdict if told is not None else ""
            examined = any(metric.type == "Accuracy" for metric in analysis.metrics)
            marks = [self.marks.get((was.run, was.step, name)) for name in (was.target, was.stable)]
            assert not examined or marks == ["good", "good"], "it went on without marks that were well"
            well = "Pass" in (last, known.verdict) or "good" in self.said or (examined and len(analysis.metrics) == 1)
            assert well, "it went on without numbers that were well"
        if told is not None and told.judged_at != known.judged_at:
            self.said.clear()


class RoutedCanaryMachine(CanaryMachine, GatewayMachine):
    """The same behind a gateway whose controller looks when it likes: all that both hold, and that a step bakes only on
    requests that the gateway's proxies send as it says."""

    def a_step_bakes(self, said: list[str]) -> None:
        """As without a gateway, whose controller looks meanwhile."""
        for _ in range(3):
            self._turn("w")
            self._turn("o")
            self._look()
        super().a_step_bakes(said)

    def _check_run(self, before: Stored, after: Stored, was: CanaryStatus | None, is_now: CanaryStatus | None) -> None:
        super()._check_run(before, after, was, is_now)
        run = run_of(is_now)
        if run is None or was is None or "gateway" not in after["spec"] or run.phase is not Phase.BAKING:
            return
        if was.phase != Phase.BAKING and self._route() is not None:
            assert is_now is not None
            if header_of(is_now, run) is not None:
                assert run.target in self.sent_by_header, (run, self.sent_by_header)
                return
            parts = self.sent[1]
            assert 100 * parts.get(run.target, 0) >= max(1, run.step.weight * sum(parts.values())), (run, self.sent)
