"""A serving that may sleep: from its record, the gate's mark and the metrics store to where it stands, and back.

What is decided is `domain/policy/zero.py`. The operator makes a Lease of the serving's name, in which the gate marks that
somebody waits, and says in the models' ConfigMap whether requests are to be kept; both are seen here as any child is.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from deepseek_operator.api.base import parse_time, rfc3339
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import SleepStatus
from deepseek_operator.core.resources import CONFIG_MAP, GROUP, LEASE, Manifest, annotations_of
from deepseek_operator.core.seen import Question, Seen
from deepseek_operator.domain.policy.rollout import Replicas
from deepseek_operator.domain.policy.zero import KEPT, Facts, Phase, State, advance, waits, window_of
from deepseek_operator.kinds.serving.authorization import ENTRY
from deepseek_operator.kinds.serving.canary import whole_second
from deepseek_operator.kinds.serving.idleness import asked, reading
from deepseek_operator.kinds.serving.names import serving_service

WAITING = f"{GROUP}/waiting"
"""The gate's annotation: how many wait."""
INTERVAL = timedelta(seconds=15)
"""Between two readings of the metrics store, as often as a usual scrape brings another."""
_LONGEST_MARK = 64
_MOST_TOLD = 1_000_000


def runs_alone(revision: str, running: Mapping[str, Replicas]) -> bool:
    """One replica of the revision is all that there is, and it serves."""
    others = [one for name, one in running.items() if name != revision]
    gone = all((one.specified, one.total) == (0, 0) for one in others)
    return gone and running.get(revision) == Replicas(1, 1, 1)


def slept(
    seen: Seen[DeepSeekServing], is_settled: bool, serving: int, another: bool, is_scheduled: bool
) -> State | None:
    """Where it stands now, as it is to be recorded; None where it never sleeps. The rest is of `Facts`."""
    owner, wake = seen.owner, seen.owner.spec.sleep
    if wake is None:
        return None
    at, idle, before = whole_second(seen.now), timedelta(seconds=wake.idle_seconds), state_of(owner.status.sleep)
    mark, waiting = _marked(seen.child(LEASE, serving_service(owner.metadata.name)))
    told = reading(owner, window_of(before, idle, at), seen.readings)
    kept = _is_kept(seen)
    return advance(before, Facts(idle, is_settled, serving, another, kept, mark, waiting, told, at, is_scheduled))


def questions(seen: Seen[DeepSeekServing]) -> tuple[Question, ...]:
    """What the metrics store is to be asked now; nothing of one that sleeps, wakes or does not serve."""
    owner, wake, state = seen.owner, seen.owner.spec.sleep, state_of(seen.owner.status.sleep)
    if wake is None or state is None or state.phase in (Phase.ASLEEP, Phase.WAKING) or not owner.status.ready_replicas:
        return ()
    at = whole_second(seen.now)
    queries = asked(owner, window_of(state, timedelta(seconds=wake.idle_seconds), at)).values()
    return tuple(Question(query, seen.now - _into(seen.now)) for query in queries)


def next_look(owner: DeepSeekServing, state: State | None, now: datetime) -> timedelta | None:
    """When to look again although nothing tells us to; None: only when something does."""
    wake = owner.spec.sleep
    if wake is None or state is None or not owner.status.ready_replicas:
        return None
    return waits(state, timedelta(seconds=wake.idle_seconds), INTERVAL - _into(now), now)


def _into(now: datetime) -> timedelta:
    """How far into an interval it is: all passes of one ask once."""
    return timedelta(seconds=now.timestamp() % INTERVAL.total_seconds())


def _marked(lease: Manifest | None) -> tuple[str, int]:
    """The gate's mark, and how many wait by its words. Whoever may write a Lease may write anything there."""
    said = (lease or {}).get("spec") or {}
    mark = str(said.get("renewTime") or "")[:_LONGEST_MARK]
    count = annotations_of(lease).get(WAITING, "") if lease is not None else ""
    return mark, min(int(count[:9]), _MOST_TOLD) if count.isascii() and count.isdigit() else 0


def _is_kept(seen: Seen[DeepSeekServing]) -> bool:
    """The gate's ConfigMap says so, as it is stored."""
    live = seen.child(CONFIG_MAP, serving_service(seen.owner.metadata.name)) or {}
    try:
        models = json.loads((live.get("data") or {}).get(ENTRY) or "{}").get("models") or {}
        return bool(models) and all(entry.get("ready") == 0 for entry in models.values())
    except (ValueError, AttributeError):
        return False


def held(seen: Seen[DeepSeekServing], state: State | None, serving: int, is_led: bool) -> dict[str, int]:
    """What the gate is told of a serving's replicas: whether one is ready, and how long requests wait; nothing of one that
    never sleeps. Requests that were kept go on only once the gateway has taken a route to that one (`is_led`): it decides by
    what it knew when they came, and again by what they are led to now."""
    wake = seen.owner.spec.sleep
    if wake is None or state is None:
        return {}
    goes_on = state.phase not in KEPT and serving > 0 and (is_led or not _is_kept(seen))
    return {"ready": int(goes_on), "holdSeconds": wake.hold_seconds}


def state_of(status: SleepStatus | None) -> State | None:
    """What is recorded; None where nothing is, or what is there can't be a record."""
    since, idle_since = (
        (parse_time(status.since), parse_time(status.idle_since)) if status is not None else (None, None)
    )
    if status is None or since is None or status.phase not in [phase.value for phase in Phase]:
        return None
    phase = Phase(status.phase)
    if idle_since is None and phase not in (Phase.AWAKE, Phase.WAKING):
        return None
    return State(phase, since, idle_since, status.heard, status.message)


def recorded(state: State | None) -> SleepStatus | None:
    """The state as the status has it."""
    if state is None:
        return None
    idle_since = rfc3339(state.idle_since) if state.idle_since is not None else None
    return SleepStatus(
        phase=state.phase.value,
        since=rfc3339(state.since),
        idle_since=idle_since,
        message=state.why,
        heard=state.heard,
    )
