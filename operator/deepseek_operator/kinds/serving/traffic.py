"""Which revision gets which part of the requests that come by the gateway, and how long one that does stays.

A revision gets a part only while a replica of it serves, and loses it before its last replica is taken away: an endpoint
that is not there costs its part in errors (reported: envoyproxy/gateway#9075). All parts zero is not a thing to ask for.
"""

from collections.abc import Mapping, Sequence
from math import gcd

from deepseek_operator.domain.policy.canary import Phase, Run
from deepseek_operator.domain.policy.rollout import NONE, Replicas


def shares(step: Mapping[str, int], running: Mapping[str, Replicas], target: str) -> dict[str, int]:
    """Parts of the requests, in lowest terms, of each revision that gets some: never empty, and none of it zero.

    They are as the replicas that serve now and stay after this step. Where none stays, those that still serve, or end, answer
    as long as they do; where none answers at all, the target has it all, and requests are answered with 503.

    Args:
        step: replicas to specify for each revision now.
        running: what runs, by revision.
        target: the revision to run.
    """
    staying = {name: min(replicas.serving, step.get(name, 0)) for name, replicas in running.items()}
    serving = {name: replicas.serving for name, replicas in running.items()}
    ending = {name: replicas.ready for name, replicas in running.items()}
    return _lowest(_some(staying) or _some(serving) or _some(ending) or {target: 1})


def canary_shares(parts: Mapping[str, int], run: Run, wanted: int, running: Mapping[str, Replicas]) -> dict[str, int]:
    """Parts while a canary run is open: its target has the weight of its step once it has the step's replicas, and that of
    the step before until then. Steps without a weight, and a target that does not serve, leave `parts` as they are. Once it is
    compared it has none.

    Args:
        wanted: replicas that shall run in the end.
    """
    others = {name: part for name, part in parts.items() if name != run.target}
    if run.phase is Phase.COMPARED:
        return others_of(parts, run.target)
    weight = _weight(run, wanted, running.get(run.target, NONE).serving)
    if not weight or not others or run.target not in parts:
        return dict(parts)
    whole = sum(others.values())
    split = {name: part * (100 - weight) for name, part in parts.items()}
    return _lowest(_some({**split, run.target: weight * whole}))


def others_of(parts: Mapping[str, int], target: str) -> dict[str, int]:
    """Parts without the target's; as they are where it alone has some."""
    others = {name: part for name, part in parts.items() if name != target}
    return _lowest(others) if others else dict(parts)


def _weight(run: Run, wanted: int, serving: int) -> int:
    """In percent; 0 where none is written."""
    steps = run.steps.steps
    if serving >= run.step.capacity(wanted):
        return run.step.weight
    return steps[run.index - 1].weight if run.index else 0


def _lowest(parts: Mapping[str, int]) -> dict[str, int]:
    whole = gcd(*parts.values())
    return {name: part // whole for name, part in parts.items()}


def _some(parts: Mapping[str, int]) -> dict[str, int]:
    return {name: part for name, part in parts.items() if part > 0}


def held(
    step: Mapping[str, int], running: Mapping[str, Replicas], shares: Mapping[str, int], reached: Sequence[str]
) -> dict[str, int]:
    """Replicas to specify for each revision: as many as before of one that shall end and is still sent requests.

    Args:
        reached: revisions that the gateway may still send requests to. One that has a share although it shall end is not
            held: nothing else serves, so there is nothing to wait for.
    """
    return {
        name: running[name].specified
        if count == 0 and name in running and name in reached and name not in shares
        else count
        for name, count in step.items()
    }


def slots(before: Sequence[tuple[str, int]], shares: Mapping[str, int], alive: Sequence[str]) -> list[tuple[str, int]]:
    """Revisions and their parts in the order in which the route names them.

    A gateway may know a backend by its place in the list (Envoy Gateway does where backends have filters of their own).
    So a revision keeps its place while it lives, a new one takes a free place or the end, and a free place between others
    names the first revision with no part: moved up, a revision would be without endpoints for as long as the gateway's
    proxies have one half of the change.

    Args:
        before: what the live route says: revision and part of each place.
        shares: of each revision that shall have one.
        alive: revisions that have replicas; what has none loses its place.
    """
    places: list[str | None] = [None] * len(before)
    for name in dict.fromkeys(name for name, _ in before if name in alive or name in shares):
        places[_own(before, name)] = name
    for name in shares:
        if name not in places:
            free = places.index(None) if None in places else len(places)
            places[free : free + 1] = [name]
    while places and places[-1] is None:
        places.pop()
    usual = next(name for name in places if name in shares)
    return [(name, shares.get(name, 0)) if name is not None else (str(usual), 0) for name in places]


def _own(before: Sequence[tuple[str, int]], name: str) -> int:
    """The place of a revision: where it has a part, if anywhere, since a free place names one too."""
    return max(
        (number for number, (other, _) in enumerate(before) if other == name), key=lambda number: before[number][1]
    )
