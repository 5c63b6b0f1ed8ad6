"""SIGKILL at any touch of the volume, or at any moment, of a gang of one and of two: nothing saved is lost, nothing differs.

Every death leaves only whole checkpoints under their names; the next attempt goes on from the newest of them; every loss
and the export have the bits of a life without deaths. DEEPSEEK_KILLS sets how often a gang is killed in all.
"""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic, sleep

import pytest

from deepseek_runtime.checkpoint.integrity import verify_hashes, verify_sizes
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Volume
from tests.runtime.forked import Rank
from tests.runtime.observed import environment
from tests.runtime.workplace import TINY, Workplace, changed

KILLS = int(os.environ.get("DEEPSEEK_KILLS", "16"))
LIMIT_S = 600.0
"""Of an attempt, which takes one or two seconds on an idle machine. One that hangs is found by it, a busy machine is not."""
STEPS = 5
MOST_DEATHS = 4
"""Of one training; then it may end."""
TIMED_SHARE = 0.3
"""How many are killed at a moment instead of at a touch: within a write, a step, or the agreement of two ranks."""
SETTINGS = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "1", "CHECKPOINT_KEEP_BEST": "1"}

pytestmark = pytest.mark.timeout(600 + 10 * KILLS)


@dataclass
class Life:
    """A training of `world` ranks on a volume of its own, attempt by attempt."""

    folder: Path
    spec: str
    world: int
    attempts: list[list[Rank]] = field(default_factory=list)

    @property
    def volume(self) -> Volume:
        return Volume(self.folder / "volume" / "training-uid", say=lambda _: None)

    def begin(self, dies_at: int | None = None, victim: int = 0) -> list[Rank]:
        number = len(self.attempts) + 1
        meeting = self.folder / f"meeting-{number}"
        meeting.mkdir(parents=True)
        ranks = [
            Rank(
                self._variables(number, rank, meeting),
                self.folder / f"attempt-{number}-rank-{rank}.log",
                dies_at if rank == victim else None,
            )
            for rank in range(self.world)
        ]
        self.attempts.append([rank.start() for rank in ranks])
        return ranks

    def end(self, ranks: list[Rank]) -> list[int | None]:
        """Waits for all; the keeper kills those whose peer is dead. Their exit codes."""
        until = monotonic() + LIMIT_S
        while monotonic() < until:
            codes = [rank.ended(0.01) for rank in ranks]
            if None not in codes:
                return codes
            if any(code not in (None, 0) for code in codes):
                for rank in ranks:
                    rank.kill()
        raise AssertionError(f"did not end: {[rank.log for rank in ranks]}")

    def _variables(self, number: int, rank: int, meeting: Path) -> dict[str, str]:
        ancestry = [{"attempt": n, "jobUID": f"job-{n}", "incarnation": f"pod-{n}"} for n in range(1, number)]
        own = {"ATTEMPT": str(number), "JOB_UID": f"job-{number}", "POD_UID": f"pod-{number}"}
        own |= {"RESUME_ANCESTRY": json.dumps(ancestry), "TRAINING_SPEC": self.spec, **SETTINGS}
        own["RUN_DIRECTORY"] = str(meeting)
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": self.world, "LOCAL_WORLD_SIZE": self.world}
        return {
            **environment(self.folder / "volume"),
            **{f"DEEPSEEK_{name}": value for name, value in own.items()},
            **{name: str(value) for name, value in ranks.items()},
        }

    @property
    def told(self) -> list[dict[str, object]]:
        """What the first ranks told, oldest first."""
        return [event for first, *_ in self.attempts for event in first.events]

    @property
    def saved(self) -> int:
        """The newest step of which somebody was told that it is saved."""
        return max((int(str(event["step"])) for event in self.told if event["event"] == "checkpoint"), default=0)

    def newest(self) -> Manifest | None:
        """Where the next attempt has to begin: no attempt goes back, so it is the highest step."""
        return max(self.whole(), key=lambda one: one.step, default=None)

    def whole(self) -> Iterator[Manifest]:
        """All checkpoints under their names, each file looked at."""
        for held in self.volume.checkpoints().values():
            for manifest in held:
                place = self.volume.step_directory(manifest.incarnation, manifest.step)
                verify_sizes(place, manifest)
                verify_hashes(place, manifest.files)
                yield manifest


@pytest.fixture(scope="module")
def trained(workplace: Workplace) -> str:
    """Its losses follow from the random state too: dropout."""
    changes = {
        "model.custom": {**TINY, "attention_dropout": 0.5},
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.evalEverySteps": 2,
    }
    return json.dumps(changed(workplace.spec, changes))


@pytest.mark.parametrize("world", [1, 2])
def test_gang_that_is_killed_anywhere_goes_on_as_if_nothing_had_happened(
    trained: str, tmp_path: Path, world: int
) -> None:
    undisturbed = Life(tmp_path / "undisturbed", trained, world)
    undisturbed.end(undisturbed.begin())  # It also imports torch.
    undisturbed = Life(tmp_path / "again", trained, world)
    began = monotonic()
    assert undisturbed.end(undisturbed.begin()) == [0] * world, undisturbed
    lasted_s = monotonic() - began
    kills, seed = 0, 0
    while kills < KILLS // 2:
        random, seed = Random(f"{world} {seed}"), seed + 1
        life = Life(tmp_path / f"seed-{seed}", trained, world)
        kills += sum(_killed(life, random, undisturbed, lasted_s) for _ in range(random.randint(1, MOST_DEATHS)))
        _lived_on(life, undisturbed)
        shutil.rmtree(life.folder)
        print(
            f"{world} ranks: {kills} kills of {seed} trainings, an undisturbed attempt lasts {lasted_s:.1f} s",
            flush=True,
        )


def _killed(life: Life, random: Random, undisturbed: Life, lasted_s: float) -> bool:
    """One attempt, killed on one rank unless it was over before; whether it was."""
    victim, is_timed = random.randrange(life.world), random.random() < TIMED_SHARE
    touches = random.randint(1, _touches(undisturbed.attempts[0][victim]))
    before = life.newest()
    ranks = life.begin(None if is_timed else touches, victim)
    if is_timed:
        sleep(random.uniform(0, lasted_s))
        ranks[victim].kill()
    codes = life.end(ranks)
    _judge(life, before, undisturbed)
    return -signal.SIGKILL in codes


def _judge(life: Life, before: Manifest | None, undisturbed: Life) -> None:
    """The newest attempt began where it had to, did as the undisturbed one, and left what it was told is saved."""
    first = life.attempts[-1][0]
    began = [event for event in first.events if event["event"] in ("start", "resume")]
    wanted = (before.step, before.incarnation) if before is not None else (0, None)
    assert [(event["step"], event.get("incarnation")) for event in began] in ([], [wanted]), life
    expected = undisturbed.attempts[0][0].losses
    assert first.losses == {step: expected[step] for step in first.losses}, life
    newest = life.newest()
    assert life.saved <= (newest.step if newest is not None else 0), life


def _lived_on(life: Life, undisturbed: Life) -> None:
    before = life.newest()
    assert life.end(life.begin()) == [0] * life.world, life
    _judge(life, before, undisturbed)
    root = life.volume.root
    assert [path for path in root.rglob("*") if path.name.startswith("_tmp-") or path.name.endswith(".gone")] == []
    assert [one.files for one in life.volume.exports()] == [one.files for one in undisturbed.volume.exports()], life


def _touches(rank: Rank) -> int:
    return int(str(rank.events[-1]["touches"]))
