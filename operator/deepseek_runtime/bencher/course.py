"""The whole course of a bench: one load after another until the search knows its answer, and what is said at its end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from deepseek_runtime.bencher.load import Ask, Load, run
from deepseek_runtime.bencher.search import broken_at, held_at, next_streams
from deepseek_runtime.bencher.verdict import Objective, Verdict


async def searched(
    ask: Ask,
    objectives: Sequence[Objective],
    most_streams: int,
    load_s: float,
    after: Callable[[Mapping[str, object]], Awaitable[None]],
) -> dict[str, object]:
    """The result. `after` is called behind each load with what came of it, and may raise to end all."""
    tried: dict[int, bool] = {}
    loads: dict[int, Mapping[str, object]] = {}
    why = ""
    while not why and (streams := next_streams(tried, most_streams)) is not None:
        load = await run(ask, streams, objectives, load_s)
        loads[streams], tried[streams] = load.document(objectives), load.verdict is Verdict.HELD
        await after(loads[streams])
        why = _undecided(load, load_s)
    held, broken = held_at(tried), broken_at(tried)
    if not why and broken is None:
        why = f"more than {held} at a time were not tried"
    return {
        "streams": held,
        "quantile": objectives[0].quantile,
        "objectives": {one.measure.value: round(one.limit_s * 1000, 3) for one in objectives},
        "held": loads.get(held),
        "brokenAt": broken,
        "why": why,
    }


def _undecided(load: Load, load_s: float) -> str:
    if load.verdict is not Verdict.UNDECIDED:
        return ""
    counted = len(load.answers) + load.failures
    return (
        f"with {load.streams} at a time {counted} of {load.planned} requests were over in {load_s:.0f} s: too few to say; ask "
        "for a lower quantile, shorter answers, or more seconds for each load"
    )
