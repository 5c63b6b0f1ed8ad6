"""The operator is killed around every write of a canary run behind a gateway, and of the way back by name: no change of a
pod takes capacity below the floor, and no revision has a part of the requests without a replica that serves.
"""

from typing import Any

import pytest

from deepseek_operator.adapters.memory import Change
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.resources import HTTP_ROUTE, POD
from deepseek_operator.kinds.serving.verbs import PROMOTE, ROLLBACK
from tests.support.faults import Crash, crash_at_write
from tests.support.gateways import PUBLIC, takes
from tests.support.parts_seen import breaches, is_serving
from tests.support.serving_life import NAME, ServingLife
from tests.support.servings import NAMESPACE

WANTED = 3
STEPS = [{"weight": 10, "bakeSeconds": 60}, {"weight": 60, "bakeSeconds": 60, "pause": True}]


class KilledLife(ServingLife):
    """Once `is_killed`, no process of the operator outlives a write; the next one begins where that one left.

    `committed`: the write was carried out and its answer not heard; else it was not sent, and passes the next time.
    """

    def __init__(self, committed: bool) -> None:
        self.committed, self.is_killed, self.kills = committed, False, 0
        rollout = {"strategy": "RollingUpdate", "canary": {"steps": STEPS}}
        super().__init__(replicas=WANTED, rollout=rollout, gateway=PUBLIC)
        self._calm, self.operator.settle = self.operator.settle, self._settle  # type: ignore[method-assign]
        self.turns()
        self.is_killed = True

    def _settle(self, limit: int = 200) -> None:
        owed = 0
        while self.is_killed:
            crash_at_write(self.cluster, 1 + owed, self.committed)
            try:
                self._calm(limit)
            except Crash:
                self.kills += 1
                owed = 0 if self.committed else 1
                self.operator.restart()
            else:
                break
        self.cluster.faults.clear()
        self._calm(limit)

    def turns(self) -> None:
        """Everybody has some, the Gateway's controller too."""
        for _ in range(4):
            self.run(rounds=2)
            takes(self)

    def after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.operator.settle()
        self.turns()

    def annotate(self, verb: str, value: str) -> None:
        self.cluster.edit(SERVING, NAMESPACE, NAME, lambda live: live["metadata"].update(annotations={verb: value}))
        self.operator.settle()
        self.turns()

    def at(self) -> tuple[str, int]:
        assert self.status.canary is not None
        return self.status.canary.phase, self.status.canary.step


def event(change: Change) -> dict[str, Any]:
    return {"type": change.type, "object": change.manifest}


def fewest(changes: list[Change]) -> int:
    """Replicas that serve at the worst moment, once all that are wanted have."""
    living: dict[str, bool] = {}
    counts: list[int] = []
    for change in (one for one in changes if one.resource == POD):
        uid = change.manifest["metadata"]["uid"]
        living[uid] = change.type != "DELETED" and is_serving(change.manifest)
        counts.append(sum(living.values()))
    return min(counts[next(place for place, count in enumerate(counts) if count >= WANTED) :])


@pytest.mark.deep
@pytest.mark.parametrize("committed", [False, True], ids=["before each write", "after each write"])
def test_capacity_and_parts_hold_while_the_operator_is_killed_around_every_write_of_a_run(committed: bool) -> None:
    life = KilledLife(committed)
    first = life.status.stable
    life.edit(engine={"maxConcurrency": 8})
    life.turns()
    assert life.at() == ("Baking", 1)
    life.after(60)
    assert life.at() == ("Baking", 2)
    life.after(60)
    assert life.at() == ("Paused", 2)
    assert life.status.canary is not None
    second = life.status.canary.target
    life.annotate(PROMOTE, f"{second}/2")
    life.turns()
    assert (life.at(), life.status.stable, life.status.phase) == (("Completed", 2), second, "Available")
    life.annotate(ROLLBACK, first)
    life.turns()
    assert (life.status.stable, life.status.phase) == (first, "RolledBack")
    assert life.kills > 20
    assert fewest(life.changes) >= WANTED
    seen = [event(change) for change in life.changes if change.resource in (POD, HTTP_ROUTE)]
    assert list(breaches(seen)) == []
