"""A pass decides once: nothing that follows from what was seen is derived a second time, not for the status either.

A record is decided together with what follows from it, which is another look at the same facts.
"""

import inspect
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.actions import Done
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.training import TrainingKind
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.gang import Gang
from tests.support.trainings import Life

FACTS = (View, Seen, Gang, DeepSeekTraining, TrainingSpec, TrainingStatus)
PROPERTIES = {value.fget.__code__ for value in vars(View).values() if isinstance(value, property) and value.fget}
CHEAP = {
    *("child", "all", "lives", "is_given_up", "is_gang", "all_run", "existing_claim", "owner_of", "number", "current"),
    *("access_mode", "step_of", "grace_s", "processes_per_node", "experts_over", "is_hybrid"),
}
"""Reads a field or two: asking twice costs less than remembering."""


def asked_twice(seen: Seen[DeepSeekTraining]) -> set[str]:
    """Functions that a pass asks the same question again: of the same facts, by identity."""
    asked: Counter[tuple[str, tuple[int, ...]]] = Counter()
    twice: set[str] = set()
    kept: list[object] = []  # An id is another object's once the first is gone.

    def called(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code is View.__init__.__code__:
            twice.update(name for (name, _), count in asked.items() if count > 1)
            asked.clear()
        if event != "call" or not ("kinds/training/" in code.co_filename or "/workloads/" in code.co_filename):
            return
        if code.co_flags & inspect.CO_GENERATOR:  # Entered anew for every value.
            return
        arguments = [frame.f_locals[name] for name in code.co_varnames[: code.co_argcount]]
        if code in PROPERTIES or code.co_name in CHEAP or not any(isinstance(one, FACTS) for one in arguments):
            return
        kept.extend(arguments)
        asked[code.co_name, tuple(map(id, arguments))] += 1

    kind = TrainingKind(Configuration())
    before = sys.getprofile()
    sys.setprofile(called)
    try:
        decision = kind.decide(seen)
        if decision.plan.record is None:  # A record ends the pass.
            decision.status(Done())
    finally:
        sys.setprofile(before)
    return twice | {name for (name, _), count in asked.items() if count > 1}


def passes(monkeypatch: pytest.MonkeyPatch, live: Any) -> list[Seen[DeepSeekTraining]]:
    """What the passes of a life saw."""
    seen: list[Seen[DeepSeekTraining]] = []
    decide = TrainingKind.decide

    def recorded(kind: TrainingKind, looked: Seen[DeepSeekTraining]) -> Any:
        seen.append(looked)
        return decide(kind, looked)

    monkeypatch.setattr(TrainingKind, "decide", recorded)
    live(Life())
    monkeypatch.undo()
    return seen


OWN = {"trainer": {"type": "custom", "image": "team/trainer:1", "command": ["/train"]}, "nodes": {"count": 1}}
LIVES = {
    "it runs": lambda life: life.begin(nodes={"count": 3}).running().later(40),
    "its pods do not come": lambda life: life.begin().later(40),
    "it has a profile": lambda life: life.begin(accelerator={"profile": "nvidia-h100-80"}, **OWN).running().later(40),
    "it crashes and goes on": lambda life: life.begin().running().crash().later(20).running(),
    "it is suspended": lambda life: life.begin().running().edit(lambda spec: spec.update(suspend=True)).gone(),
    "it completes": lambda life: life.begin().running().complete(),
}


@pytest.mark.parametrize("live", LIVES)
def test_no_pass_derives_a_fact_twice(live: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = passes(monkeypatch, LIVES[live])
    assert len(seen) > 3
    assert [asked_twice(looked) for looked in seen] == [set()] * len(seen)
