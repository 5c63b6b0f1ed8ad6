"""One serving with a canary in a hostile cluster, beside everything that the machine of servings does to it.

On the way, at every pass: the stable revision is not shrunk before promotion, nothing but the two of the run is given
replicas, a revision that was rolled back gets none any more, and the target never has more than its step and than serves
for others.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.kinds.serving.canary import run_of
from deepseek_operator.kinds.serving.names import serving_revision
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK
from tests.support.search import search
from tests.support.serving_machine import MODELS, NAME, WHICH, ServingMachine, Stored, step
from tests.support.servings import NAMESPACE

VERBS = (PROMOTE, PAUSE, ROLLBACK)
CANARIES: tuple[Stored, ...] = (
    {"steps": [{"weight": 25, "bakeSeconds": 60}, {"weight": 50, "bakeSeconds": 0}, {"weight": 100, "bakeSeconds": 1}]},
    {"steps": [{"replicas": 2, "bakeSeconds": 30, "pause": True}, {"replicas": 1, "weight": 60}], "stallSeconds": 60},
    {"steps": [{"weight": 100, "bakeSeconds": 600}], "stallSeconds": 30, "onInconclusive": "Rollback"},
)

LONGEST_BAKE_S = 600


class CanaryMachine(ServingMachine):
    """Edits, verbs in any order, faults and time."""

    most_revisions = 8
    """Beside the newest: what runs, what was rolled back and what is asked for."""

    @initialize(
        model=st.sampled_from(MODELS),
        replicas=st.integers(1, 4),
        canary=st.sampled_from(CANARIES),
        autoscaled=st.booleans(),
        another=st.booleans(),
    )
    def begin(self, model: Stored, replicas: int, canary: Stored, autoscaled: bool, another: bool) -> None:
        super().start(model, replicas, "RollingUpdate", autoscaled, True, 2)
        self._spec(rollout={"strategy": "RollingUpdate", "canary": canary})
        self.at_rest()
        if another:
            self._spec(engine={"maxConcurrency": 4 + replicas})
            self._turn("o")

    def start(self, *_: Any) -> None:
        """No rule here: `begin` is."""

    @step(canary=st.sampled_from(CANARIES))
    def edit_the_canary(self, canary: Stored) -> None:
        self._spec(rollout={"strategy": "RollingUpdate", "canary": canary})

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

    # --- oracle -------------------------------------------------------------------------------------------------

    def _undo_outages(self) -> None:
        super()._undo_outages()
        for verb in VERBS:
            self._annotate(verb, None)

    def _quiet_round(self) -> None:
        self.clock.jump(LONGEST_BAKE_S)
        super()._quiet_round()
        canary = self._parsed().status.canary
        if canary is not None and canary.phase in (Phase.PAUSED, Phase.HELD):
            self._annotate(PROMOTE, f"{canary.target}/{self.cluster.version}")

    def _is_rejected(self) -> bool:
        canary = self._parsed().status.canary
        return canary is not None and canary.phase == Phase.ROLLED_BACK and canary.target == super()._expected()

    def _expected(self) -> str:
        return self._parsed().status.stable if self._is_rejected() else super()._expected()

    def _check_status(self) -> None:
        status = self._parsed().status
        ends = (Phase.COMPLETED, Phase.ROLLED_BACK, *([Phase.SUSPENDED] if self._wanted() == 0 else []))
        assert status.canary is None or status.canary.phase in ends
        if not self._is_rejected() or self._parsed().spec.suspend:
            return
        assert (status.phase, status.replicas, status.ready_replicas) == ("RolledBack", self._wanted(), self._wanted())

    def _pass(self) -> object:
        before, was = self._picture(), self._parsed().status.canary
        outcome = super()._pass()
        after, is_now = self._picture(), self._parsed().status.canary
        if before["uid"] == after["uid"]:
            self._check_run(before, after, was, is_now)
        return outcome

    def _check_run(self, before: Stored, after: Stored, was: CanaryStatus | None, is_now: CanaryStatus | None) -> None:
        run = run_of(is_now)
        if run is None or was is None or is_now is None or was.run != is_now.run:
            return
        assert was.target == is_now.target
        assert was.stable == is_now.stable
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


TestCanaryMachine = CanaryMachine.TestCase
TestCanaryMachine.settings = search(examples=10, steps=20)
