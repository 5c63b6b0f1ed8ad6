"""A step that bakes, through passes at any time, restarts, and whatever a metrics store answers or doesn't.

The store is asked only when a judgement is due; a failure is counted once in an interval and only for numbers that were
bad; a store that is down, late or absurd rolls nothing back and lets nothing pass.
"""

from datetime import datetime, timedelta
from math import inf, nan
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import Analysis, AnalysisStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Answer, Unavailable
from deepseek_operator.domain.policy.analysis import Outcome, Reading
from deepseek_operator.kinds.serving.analysis import Subject
from deepseek_operator.kinds.serving.baking import Baking
from deepseek_operator.kinds.serving.measured import Measures
from tests.support.moments import START
from tests.support.search import examples
from tests.support.servings import a_serving

OWNER = DeepSeekServing.model_validate(a_serving())
GOOD, BAD, NOTHING = "good", "bad", "nothing"
kinds = st.sampled_from([GOOD, BAD, NOTHING, "NaN", "infinite", "negative", "down", "late", "old"])
passes = st.lists(st.tuples(st.integers(0, 90), kinds), min_size=1, max_size=25)
metrics = st.sampled_from(
    [
        {"type": "ErrorRate", "max": "0.1"},
        {"type": "Latency", "max": "0.1"},
        {"type": "TimeToFirstToken", "maxIncreasePercent": 10},
    ]
)


def answer(kind: str, query: str, at: datetime) -> Answer | None:
    """What the store says to one query: counts are always many, and stable is always at 0.05."""
    if kind == "late":
        return None
    if kind == "down":
        return Unavailable("connection refused")
    when = at - timedelta(hours=1) if kind == "old" else at
    if kind == NOTHING:
        return Reading((), when)
    if query.startswith("sum(increase("):
        return Reading((500.0,), when)
    if '"old"' in query:
        return Reading((0.05,), when)
    value = {BAD: 0.5, "NaN": nan, "infinite": inf, "negative": -1.0}.get(kind, 0.05)
    return Reading((value,), when)


@settings(deadline=None, max_examples=examples(50))
@given(passes, st.lists(metrics, min_size=1, max_size=2), st.integers(1, 4))
def test_a_step_is_judged_by_what_is_known(life: list[tuple[int, str]], of: list[dict[str, Any]], limit: int) -> None:
    said = {"intervalSeconds": 60, "failureLimit": limit, "metrics": of}
    new, old = (Measures(OWNER, name, "builtin", None, 300) for name in ("new", "old"))
    subject = Subject(Configuration(), new, old, Analysis.model_validate(said))
    before: AnalysisStatus | None = None
    now, judged, bad = START, 0, 0
    for seconds, kind in life:
        now += timedelta(seconds=seconds)
        questions = Baking(subject, before, START, {}, now).questions
        told = {q.query: one for q in questions if (one := answer(kind, q.query, now)) is not None}
        baking = Baking(subject, before, START, told, now)
        assert (questions == ()) == (now < baking.due_at)
        assert baking.waits > timedelta(0)
        if baking.verdict is None:
            assert not questions or kind == "late"
            assert baking.after == before
            continue
        judged += 1
        expected = {GOOD: Outcome.PASS, BAD: Outcome.FAIL}.get(kind, Outcome.INCONCLUSIVE)
        assert baking.verdict.outcome is expected, baking.verdict.told
        assert baking.analysed.outcome is expected
        assert baking.analysed.told == baking.verdict.told
        bad += expected is Outcome.FAIL
        assert baking.after is not None
        assert baking.after.failures == bad
        assert baking.is_over is (bad >= limit)
        assert baking.waits == subject.terms.interval
        before = AnalysisStatus.model_validate(baking.after.to_wire())  # as the next process reads it
    assert judged <= (now - START) / subject.terms.interval
