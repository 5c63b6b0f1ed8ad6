"""`tests/run benchmarks`: how fast the operator is, on real API servers that it starts for itself.

    waves    many resources at once: until all have their children, and how long a bare client takes for the same children
             alone, which reads and tells nothing, afterwards, while the operator rests; the second wave begins once all of the
             first are suspended, for without a kubelet they would wait for their pods beside it
    least    how long a client takes that only writes what has to be written for a wave: no operator of it can be faster
    alone    one resource beside all of those, at rest: until it has its children
    at rest  processor time and requests in a minute in which nothing happens, all of them suspended, in each round

Each round has an API server and an operator of its own. With `--against` the operator of another tree takes turns with
this one's. Nothing is judged: the figures are for people, and only ratios and counts carry from one machine to another.
"""

import asyncio
import statistics
import sys
import time
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from examples.local_cluster.progress import wait_for
from tests.benchmarks.creation import SERVINGS, TRAININGS, Creation, Wave, alone, created, least
from tests.benchmarks.subject import Subject, subject
from tests.support.canonical import COLLECTIONS

ROOT = Path(__file__).parents[2]
CLAIM = {
    "metadata": {"name": "models"},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
}
REST_S = 60.0
HEAD = (
    "wave", "operator", "resources", "children", "requests", "passes", "CPU", "API server's CPU", "operator", "bare client",
    "its API server's CPU", "ratio", "least",
    "its API server's CPU", "ratio to the least",
)  # fmt: skip
LEGEND = """requests, passes and CPU are each resource's, seconds those of all together; medians, of the ratio with least and most
bare client: the same children alone in another namespace, 16 requests at a time, while the operator rests and hears nothing of them
ratio: the operator's seconds in the bare client's; it holds all that the operator asks, records and tells beside making children
least: the resources, their children and events posted and each status written twice by a client that decides and reads nothing"""


@dataclass(frozen=True)
class Cost:
    """What a wave took.

    Attributes:
        requests, passes, cpu_s: of the operator, each resource on average; processor time in seconds.
        server_s: processor time of its API server meanwhile, each resource on average.
        bare_server_s: the same while the bare client posted.
        rest_s: processor time of the operator while the bare client posted, in all.
        least_s: until a client that decides nothing had written all that has to be written; 0 while it has not.
        least_server_s: processor time of the API server meanwhile, each resource on average.
    """

    creation: Creation
    requests: float
    passes: float
    cpu_s: float
    server_s: float
    bare_server_s: float
    rest_s: float
    least_s: float = 0.0
    least_server_s: float = 0.0


def main() -> None:
    """Measures everything and prints a table: medians over the rounds, of the ratio with the least and the greatest."""
    parser = ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=500, metavar="N")
    parser.add_argument("--servings", type=int, default=200, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--against", type=Path, metavar="TREE", help="a worktree of another commit")
    options = parser.parse_args()
    trees = {"this": ROOT} | ({options.against.name: options.against.resolve()} if options.against else {})
    waves = tuple(
        (wave, count) for wave, count in ((TRAININGS, options.trainings), (SERVINGS, options.servings)) if count
    )
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    rests: dict[str, list[Rest]] = defaultdict(list)
    notes: list[str] = []
    for number in range(options.rounds):
        for name, tree in trees.items():
            _say(f"round {number + 1} of {options.rounds}: {name}")
            with subject(tree) as one:
                measured = []
                for wave, count in waves:
                    measured.append((wave, _cost(one, wave, count)))
                    _suspend_all(one, wave)
                if number == options.rounds - 1:
                    notes += [f"{name}: {_alone(one, wave)}" for wave, _ in waves]
                rests[name].append(_at_rest(one, waves))
                now, most = one.rss_mb()
                notes.append(f"{name}: RSS {now:.0f} MB at the end, {most:.0f} MB at most")
                one.end()
                for wave, cost in measured:
                    costs[wave.kind, name].append(_with_least(one, wave, cost))
    print(_line(HEAD) + "\n|" + len(HEAD) * "---|")
    for (kind, name), found in sorted(costs.items(), reverse=True):
        print(_row(kind, name, found))
    print(LEGEND)
    rest_s = max(cost.rest_s for found in costs.values() for cost in found)
    print(f"the operator's CPU while the bare client posted: {_ms(rest_s)} at most, of a whole wave")
    for (kind, name), found in sorted(costs.items(), reverse=True):
        if name != "this":
            print(f"{kind}: processor time in that of {name}, round by round: {_shares(costs[kind, 'this'], found)}")
    for name in trees:
        if name != "this" and len(waves) > 1:
            print(
                f"all waves: processor time in that of {name}, round by round: {_spread(_of_rounds(costs, name), '.2f')}"
            )
    for name, found_rests in rests.items():
        print(f"{name}: at rest, in {REST_S:.0f} s: {_rested(found_rests)}")
    print("\n".join(notes))


def _shares(costs: Sequence[Cost], others: Sequence[Cost]) -> str:
    """A machine that is slower for some minutes is so for both of a round."""
    return _spread([one.cpu_s / other.cpu_s for one, other in zip(costs, others, strict=True)], ".2f")


def _of_rounds(costs: Mapping[tuple[str, str], Sequence[Cost]], other: str) -> list[float]:
    """The same of all waves of a round together."""
    used_s: dict[str, list[float]] = {}
    for (_, name), found in costs.items():
        of_wave = [cost.cpu_s * cost.creation.count for cost in found]
        used_s[name] = [one + more for one, more in zip(used_s.get(name, [0.0] * len(found)), of_wave, strict=True)]
    return [one / before for one, before in zip(used_s["this"], used_s[other], strict=True)]


def _rested(rests: "Sequence[Rest]") -> str:
    asked, used_s = zip(*rests, strict=True)
    return f"{_spread(asked, '.0f')} requests beside the Lease's and {_spread(used_s, '.2f')} s of processor time"


def _spread(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def _cost(one: Subject, wave: Wave, count: int) -> Cost:
    namespace, api = _namespace(wave), one.cluster.api
    for name in (namespace, f"{namespace}-bare"):
        api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    if wave is SERVINGS:
        api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", CLAIM)
    spent = [_spent(one, wave)]

    def made() -> None:
        if len(spent) == 1:
            one.settle()
        spent.append(_spent(one, wave))

    creation = asyncio.run(created(one.cluster, wave, namespace, count, made))
    _say(
        f"{count} {wave.kind} in {creation.operator_s:.2f} s, their children by a bare client in {creation.bare_s:.2f} s"
    )
    (requests, passes, cpu_s, server_s), (_, _, rest_s, bare_s) = (
        [now - then for then, now in zip(begun, ended, strict=True)] for (_, begun), (ended, _) in pairwise(spent)
    )
    return Cost(creation, requests / count, passes / count, cpu_s / count, server_s / count, bare_s / count, rest_s)


Spent = tuple[float, float, float, float]


def _spent(one: Subject, wave: Wave) -> tuple[Spent, Spent]:
    """Requests, passes and processor time of the operator, and that of its API server, so far: before it was asked for its
    metrics, which costs as much as some passes, and after."""
    before = one.cpu_s(), one.server_cpu_s()
    counted = one.requests(), one.passes(wave.kind)
    return (*counted, *before), (*counted, one.cpu_s(), one.server_cpu_s())


def _with_least(one: Subject, wave: Wave, cost: Cost) -> Cost:
    namespace = f"{_namespace(wave)}-least"
    one.cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    before_s = one.server_cpu_s()
    least_s = asyncio.run(least(one.cluster, wave, namespace, cost.creation.written))
    _say(
        f"what has to be written for {cost.creation.count} {wave.kind}, by a client that does nothing else: {least_s:.2f} s"
    )
    server_s = (one.server_cpu_s() - before_s) / cost.creation.count
    return replace(cost, least_s=least_s, least_server_s=server_s)


Rest = tuple[int, float]


def _alone(one: Subject, wave: Wave) -> str:
    """How long a single one takes beside all that are there."""
    told = sorted(asyncio.run(alone(one.cluster, wave, _namespace(wave), 20)))
    return f"one {wave.kind} beside them: median {_ms(statistics.median(told))}, longest {_ms(told[-1])} of 20"


def _at_rest(one: Subject, waves: Sequence[tuple[Wave, int]]) -> Rest:
    """Requests beside the Lease's and seconds of processor time in a minute in which nothing happens."""
    for wave, _ in waves:
        _suspend_all(one, wave)
    cpu_s, requests = one.cpu_s(), one.requests()
    time.sleep(REST_S)
    return one.requests() - requests, one.cpu_s() - cpu_s


def _suspend_all(one: Subject, wave: Wave) -> None:
    """Brings all to rest: without a kubelet the pods that they wait for would never come."""
    path = COLLECTIONS[wave.kind].format(_namespace(wave))
    for item in one.cluster.api.get(path)["items"]:
        one.cluster.api.patch(f"{path}/{item['metadata']['name']}", {"spec": {"suspend": True}})

    def rest() -> bool:
        found = one.cluster.api.get(path)["items"]
        return all(item["status"].get("phase") == "Suspended" for item in found)

    wait_for(f"every {wave.kind} is suspended", rest, timeout_s=300, every_s=2)
    # Events come at ten a second: a thousand would be counted as the next wave's requests, and their cost as its.
    one.settle()


def _row(kind: str, name: str, costs: Sequence[Cost]) -> str:
    def median(of: Callable[[Cost], float]) -> float:
        return statistics.median(map(of, costs))

    ratios = [cost.creation.ratio for cost in costs]
    return _line(
        (
            kind,
            name,
            costs[0].creation.count,
            costs[0].creation.children,
            f"{median(lambda cost: cost.requests):.1f}",
            f"{median(lambda cost: cost.passes):.1f}",
            _ms(median(lambda cost: cost.cpu_s)),
            _ms(median(lambda cost: cost.server_s)),
            f"{median(lambda cost: cost.creation.operator_s):.2f} s",
            f"{median(lambda cost: cost.creation.bare_s):.2f} s",
            _ms(median(lambda cost: cost.bare_server_s)),
            _spread(ratios, ".1f"),
            f"{median(lambda cost: cost.least_s):.2f} s",
            _ms(median(lambda cost: cost.least_server_s)),
            f"{median(lambda cost: cost.creation.operator_s / cost.least_s):.1f}",
        )
    )


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _namespace(wave: Wave) -> str:
    return wave.kind.lower()


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
