"""What the present operator makes of a serving: its plan of devices and its pods, each made once per input.

Every pass asks: a refusal is judged anew, and what runs is compared with what would be made now. The configuration stays
as it is while the process lives, so the same input has the same answer, and neither sizing nor rendering runs again.
"""

from collections.abc import Callable
from hashlib import sha256
from threading import Lock
from typing import Generic, TypeVar

from deepseek_operator.api.base import ObjectMeta
from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel, ServingStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.serving.devices import planned
from deepseek_operator.kinds.serving.revision import UPDATE
from deepseek_operator.kinds.serving.template import rendered
from deepseek_operator.workloads.replicas.keeper import Pods

REMEMBERED = 4096
"""Answers kept of each kind, a few kilobytes each. A process that has more servings makes them anew, as before."""

AnswerT = TypeVar("AnswerT")


class Fresh:
    """The plans and pods of one configuration. Threads may ask at once."""

    def __init__(self, configuration: Configuration, remembered: int = REMEMBERED) -> None:
        self.configuration = configuration
        self._plans = _Answers[PlanStatus | None](remembered)
        self._pods = _Answers[Pods | None](remembered)

    def has_plan(self, owner: DeepSeekServing) -> bool:
        """True when `plan` only remembers; else it may compute for longer than an event loop may wait."""
        return profiled(owner.spec.accelerator) is None or _question(owner) in self._plans

    def plan(self, owner: DeepSeekServing) -> PlanStatus | None:
        """The plan of the present spec, made anew; None without a profile."""
        if profiled(owner.spec.accelerator) is None:
            return None
        return self._plans.of(_question(owner), lambda: planned(_bare(owner), self.configuration))

    def pods(self, owner: DeepSeekServing, revision: str, model: ResolvedModel) -> Pods | None:
        """The pods that a replica of a new revision of the present spec would have; None where it would be refused."""
        asked = _question(owner, revision, model.model_dump_json())
        return self._pods.of(asked, lambda: self._rendered(_bare(owner), revision, model))

    def _rendered(self, bare: DeepSeekServing, revision: str, model: ResolvedModel) -> Pods | None:
        plan = self.plan(bare)
        if plan is not None and plan.refused:
            return None
        planned_so = bare.model_copy(update={"status": ServingStatus(plan=plan)})
        return rendered(planned_so, revision, model, self.configuration)


class _Answers(Generic[AnswerT]):
    """The newest answers, by a digest of what was asked. Asked by two threads at once, a thing is answered twice, alike."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._known: dict[str, AnswerT] = {}

    def __contains__(self, asked: str) -> bool:
        return asked in self._known

    def of(self, asked: str, answer: Callable[[], AnswerT]) -> AnswerT:
        """What is remembered, else what `answer` says now."""
        try:
            return self._known[asked]
        except KeyError:
            found = answer()
        with self._lock:
            self._known[asked] = found
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        return found


def _bare(owner: DeepSeekServing) -> DeepSeekServing:
    """The serving with nothing but what an answer may depend on: all of that is in the digest, so none is stale."""
    meta = owner.metadata
    token = {UPDATE: meta.annotations[UPDATE]} if UPDATE in meta.annotations else {}
    metadata = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, annotations=token)
    return owner.model_copy(update={"metadata": metadata, "status": ServingStatus()})


def _question(owner: DeepSeekServing, *more: str) -> str:
    """A digest of all that is in `_bare`, and of `more`. No other process reads it, so that it need not be canonical."""
    bare = _bare(owner)
    told = (bare.metadata.model_dump_json(), bare.spec.model_dump_json(), *more)
    return sha256(repr(told).encode()).hexdigest()
