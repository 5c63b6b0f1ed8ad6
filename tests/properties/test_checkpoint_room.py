"""The claim that is made for checkpoints and the rule that deletes them agree, whatever happens to a training's attempts.

The operator and the pods share no code, so the two are held together here: attempts that save, measure, diverge and die
anywhere, in a save, between a commit and the deletions behind it, or between two exports, never fill the volume.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.sizing.checkpoint_size import CheckpointSize, checkpoint_size
from deepseek_operator.domain.sizing.training_state import Method, Optimizer, Precision
from deepseek_runtime.checkpoint.manifest import Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.checkpoint.resume import candidates
from deepseek_runtime.checkpoint.retention import most_held, prunable
from deepseek_runtime.contract import Ancestor
from tests.support.manifests import checkpoint
from tests.support.search import examples

DEATHS = ("during the save", "after the commit", "after the deletions")


@dataclass(frozen=True)
class Save:
    """One save of an attempt, what it measured, and where in it the attempt is killed (None: it lives on)."""

    healthy: bool
    accuracy: float | None
    dies: str | None


@dataclass
class Training:
    """What lies on the volume; `peak` is the most that ever did, in checkpoints, and in bytes with exports."""

    size: CheckpointSize
    keep_last: int
    keep_best: int
    held: dict[str, list[Manifest]] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    ancestry: list[Ancestor] = field(default_factory=list)
    exports: set[int] = field(default_factory=set)
    peak: int = 0
    peak_bytes: int = 0

    def attempt(self, saves: list[Save], damaged: int) -> None:
        """One attempt from its clearing to its death or end; the `damaged` newest candidates are passed over."""
        number = len(self.ancestry) + 1
        name = f"attempt-{number}"
        found = candidates(self.ancestry, self.origins, self.held)
        lineage, known = found[min(damaged, max(0, len(found) - 1)) :], {m.position for m in found}
        leftovers = [m for held in self.held.values() for m in held if m.position not in known]
        leftovers += [m for m in found if m not in lineage]
        begun = lineage[0].position if lineage else None
        self.origins[name] = Origin(number, f"job-{number}", name, begun)
        self.ancestry.append(Ancestor(number, f"job-{number}", name))
        self.held[name] = []
        step = lineage[0].step if lineage else 0
        for save in saves:
            step += 10
            self.let_go(name, lineage, leftovers, None)
            self.look(in_flight=1)
            if save.dies == DEATHS[0]:
                return
            made = checkpoint(name, step, attempt=number, healthy=save.healthy, accuracy=save.accuracy)
            self.held[name].append(made)
            self.look()
            if save.dies == DEATHS[1]:
                return
            self.let_go(name, lineage, leftovers, made.position)
            if save.dies == DEATHS[2]:
                return
        if not saves or saves[-1].healthy:  # one that diverged exports nothing
            self.let_go(name, lineage, leftovers, None)
            self.export([*lineage, *self.held[name]])

    def let_go(self, name: str, lineage: list[Manifest], leftovers: list[Manifest], spared: Position | None) -> None:
        doomed = prunable(
            self.held[name], lineage, leftovers, keep_last=self.keep_last, keep_best=self.keep_best, by=None
        )  # fmt: skip
        gone = {m.position for m in doomed} - {spared}
        for held in (*self.held.values(), lineage, leftovers):
            held[:] = [m for m in held if m.position not in gone]

    def export(self, lineage: list[Manifest]) -> None:
        top = best(lineage, None)
        for wanted in (max((m.step for m in lineage), default=None), top.manifest.step if top else None):
            self.exports |= {wanted} if wanted is not None else set()
            self.look()

    def look(self, in_flight: int = 0) -> None:
        there = sum(map(len, self.held.values())) + in_flight
        self.peak = max(self.peak, there)
        self.peak_bytes = max(self.peak_bytes, there * self.size.checkpoint + len(self.exports) * self.size.export)


saves = st.builds(
    Save,
    st.integers(0, 5).map(bool),
    st.sampled_from([None, 0.0, 0.3, 0.6, 1.0]),
    st.sampled_from([None, None, None, *DEATHS]),
)
attempts = st.lists(st.tuples(st.lists(saves, max_size=6), st.sampled_from([0, 0, 0, 1, 2])), max_size=9)
sizes = st.builds(
    checkpoint_size,
    st.just(10**9),
    st.just(10**9),
    st.just(Method.FULL),
    st.sampled_from(list(Precision)),
    st.sampled_from(list(Optimizer)),
)


@settings(max_examples=examples(200), deadline=None)
@given(attempts, sizes, st.integers(1, 4), st.integers(0, 3))
def test_no_sequence_of_attempts_holds_more_than_its_volume_was_made_for(
    lived: list[tuple[list[Save], int]], size: CheckpointSize, keep_last: int, keep_best: int
) -> None:
    training = Training(size, keep_last, keep_best)
    for number, (done, damaged) in enumerate(lived):
        # Only the last attempt comes to its exports: a complete training starts no other.
        dies = [*done, Save(True, None, DEATHS[0])] if number < len(lived) - 1 else done
        training.attempt(dies, damaged)
    assert training.peak <= most_held(keep_last, keep_best)
    assert training.peak_bytes <= size.volume(keep_last + keep_best)


def test_seven_preempted_attempts_that_saved_once_each_keep_what_one_would() -> None:
    training = Training(CheckpointSize(12, 4), keep_last=2, keep_best=1)
    for _ in range(7):
        training.attempt([Save(True, None, DEATHS[2])], 0)
    assert training.peak <= 4
    assert [m.step for held in training.held.values() for m in held] == [60, 70]
