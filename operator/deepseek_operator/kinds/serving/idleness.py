"""What the metrics store is asked before a serving sleeps, and the reading that its answers come to.

Gauges are taken at their highest within the window, and answers are counted by the difference of a counter to what it was
before, of each pod by itself: what rises only with the first request (`increase` sees nothing there), and what two scrapes
missed between them, is seen all the same. A counter that began anew keeps the serving awake for one more window, also where
it has come to the same number again; so does one of a pod that has come or gone within it, unless it never answered.
"""

from collections.abc import Mapping
from datetime import timedelta
from math import isfinite

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.seen import Answer
from deepseek_operator.domain.policy.analysis import Reading as Values
from deepseek_operator.domain.policy.zero import Reading
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.signals import series

IN_FLIGHT, ENDED, REPORTING, AGE = "in_flight", "ended", "reporting", "age"
_LONGEST_AGE_S = 1e6


def asked(owner: DeepSeekServing, window: timedelta) -> dict[str, str]:
    """PromQL expressions of one number each, by what they are of a `Reading`; `age` is that of its oldest number in seconds,
    as far as the clocks of store and operator agree."""
    names = ENGINES[owner.spec.engine.type].metric_names(owner.spec.engine.version)
    running, waiting = (series(owner, names[signal]) for signal in (Signal.RUNNING, Signal.WAITING))
    over = f"{int(window.total_seconds())}s"
    queries = {
        IN_FLIGHT: f"sum(max_over_time({running}[{over}])) + sum(max_over_time({waiting}[{over}]))",
        REPORTING: f"count(count by (pod) ({running}))",
        AGE: f"time() - min(timestamp({running}))",
    }
    if Signal.ANSWERS in names:
        answers = series(owner, names[Signal.ANSWERS])
        moved = f"abs({answers} - {answers} offset {over}) or {answers} or {answers} offset {over}"
        queries[ENDED] = f"(sum({moved}) or vector(0)) + (sum(resets({answers}[{over}])) or vector(0))"
    return queries


def reading(owner: DeepSeekServing, window: timedelta, answers: Mapping[str, Answer]) -> Reading | None:
    """What was answered; None where something was not, or is no number."""
    queries = asked(owner, window)
    told = {name: answers.get(query) for name, query in queries.items()}
    found = {name: answer for name, answer in told.items() if isinstance(answer, Values) and len(answer.values) == 1}
    if len(found) < len(queries):
        return None
    values = {name: answer.values[0] for name, answer in found.items()}
    if not all(isfinite(value) for value in values.values()) or not 0 <= values[AGE] <= _LONGEST_AGE_S:
        return None
    at = min(answer.at for answer in found.values())
    # They are asked one after the other: no number is younger than the reading.
    oldest = min(at, found[AGE].at - timedelta(seconds=values[AGE]))
    return Reading(values[IN_FLIGHT], values.get(ENDED), values[REPORTING], oldest, at, window)
