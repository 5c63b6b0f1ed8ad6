"""The rule of the route by which an A/B test's requests go to the new version: those that carry a header, and no others.

It is the usual rule with one header more, so that a gateway takes it first (Gateway API: of rules that match, the one with
more headers), and its only backend is the new version. It comes once that serves, and goes before its pods do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving.rollout import HeaderMatch
from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.policy.canary import Phase, Run
from deepseek_operator.domain.policy.rollout import NONE, Replicas

_SENT = (Phase.PREPARING, Phase.BAKING, Phase.PAUSED, Phase.HELD, Phase.COMPARING)
"""Phases in which the new version gets requests, if it serves."""


def is_matched(run: Run, wanted: int, running: Mapping[str, Replicas]) -> bool:
    """Whether the run's target is to get the requests that match: with its first step's replicas, and from then on as long as
    one of them serves."""
    serving = running.get(run.target, NONE).serving
    had_them = run.index > 0 or run.began_at is not None
    return run.phase in _SENT and serving > 0 and (had_them or serving >= run.step.capacity(wanted))


def with_match(route: Manifest, usual: Sequence[Manifest], header: HeaderMatch, target: Manifest) -> dict[str, Any]:
    """The route with a rule more beside the usual one, if there is that.

    Args:
        usual: backends of the usual rule.
        target: the backend of what matches.
    """
    rules: list[dict[str, Any]] = list(route["spec"]["rules"])
    asked = {"type": "Exact", "name": header.name, "value": header.value}
    found = [rule for rule in rules if rule.get("backendRefs") == list(usual)][:1]
    more = [
        {
            **rule,
            "matches": [{**match, "headers": [*match.get("headers", ()), asked]} for match in rule["matches"]],
            "backendRefs": [{**target, "weight": 1}],
        }
        for rule in found
    ]
    return {**route, "spec": {**route["spec"], "rules": [*rules, *more]}}
