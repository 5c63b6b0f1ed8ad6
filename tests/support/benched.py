"""A bench of a serving in memory: its Job, as the command makes it, and what its pod leaves."""

import json
from typing import Any

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.core.kinds import BenchWish
from deepseek_operator.core.resources import JOB, POD
from deepseek_operator.kinds.serving.bench import job
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE

FOUND = {
    "streams": 24, "quantile": 0.99, "requestsPerSecond": 12.5, "tokensPerSecond": 1600.0, "TimeToFirstToken": 500.0,
}  # fmt: skip
"""As `deepseek_runtime.bencher` says it (tests/runtime/test_bencher.py)."""


def begins(life: ServingLife, token: str = "7") -> Stored:
    """Somebody makes the Job; returns its pod."""
    wish = BenchWish({}, None, None, None, None, None, None, False, None, token)
    made = dict(job(life.serving(), [pod for pod in life.pods() if "job" not in str(pod["metadata"])], wish))
    name = life.cluster.put(made)["metadata"]["name"]
    life.world.run_job_controller()
    life.operator.settle()
    return next(pod for pod in life.pods() if pod["metadata"]["name"].startswith(name))


def ends(life: ServingLife, pod: Stored, code: int = 0, **found: Any) -> None:
    """Its pod is over, and leaves this."""
    said = {"formatVersion": 1, "result": "Complete", "message": "over", "metrics": {**FOUND, **found}}
    life.clock.advance(60)
    life.world.end(pod, code, json.dumps(said))
    life.world.run_job_controller()
    life.operator.settle()


def goes(life: ServingLife, pod: Stored) -> None:
    """A day later Job and pod are gone."""
    name = pod["metadata"]["ownerReferences"][0]["name"]
    life.cluster.remove(JOB, NAMESPACE, name)
    life.cluster.remove(POD, NAMESPACE, pod["metadata"]["name"])
    life.operator.settle()
