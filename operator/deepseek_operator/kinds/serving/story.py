"""A serving and its canary run as lines for a terminal, read off the stored object; and what a verb writes into its annotations."""

from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving.status import (
    ComparedRevision,
    ComparisonStatus,
    KeptRevision,
    ScalingStatus,
    ServingStatus,
)
from deepseek_operator.core.conditions import headline
from deepseek_operator.domain.policy.canary import Phase
from deepseek_operator.domain.values.table import aligned
from deepseek_operator.kinds.serving.benched import told_of_bench
from deepseek_operator.kinds.serving.canary import told_share
from deepseek_operator.kinds.serving.metrics import PREFIX
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK

_OVER = {Phase.COMPLETED: 0, Phase.COMPARED: 0, Phase.ROLLED_BACK: 1}


def status_of(serving: Mapping[str, Any]) -> ServingStatus:
    """What the operator says of it. Raises ValueError: that can't be read by this version."""
    return ServingStatus.model_validate(serving.get("status") or {})


def picture(serving: Mapping[str, Any]) -> str:
    """Where the serving and its run stand now."""
    return "\n".join(_lines(serving["metadata"]["name"], status_of(serving))) + "\n"


def _lines(name: str, status: ServingStatus) -> Iterator[str]:
    why = headline(status.conditions)
    yield f"{name}: {status.phase or 'Pending'}, {why.message if why is not None else 'nothing was observed yet'}"
    if (run := status.canary) is not None:
        share = f" at {told}" if (told := told_share(run.weight, run.replicas)) else ""
        yield f"  run {run.run}: {run.phase} since {run.entered_at}, step {run.step} of {run.steps}{share}"
        if run.message:
            yield f"  because {run.message}"
        for metric in run.analysis.metrics if run.analysis is not None else ():
            yield f"  {metric.verdict}: {metric.message}"
        if run.comparison is not None:
            yield from _comparison(run.comparison)
    if (scaling := status.autoscaling) is not None:
        yield from (f"  {line}" for line in _scaling(scaling))
    if (bench := status.bench) is not None:
        yield f"  bench of {bench.at}: {told_of_bench(bench)}"
    rows = [(*_REVISION[:-1], ""), *(_row(one, status) for one in status.revisions)]
    yield from (f"  {line}" for line in aligned(rows) if status.revisions)


def _scaling(scaling: ScalingStatus) -> Iterator[str]:
    """What the autoscaler wants, and by which signal."""
    wanted = f"wants {scaling.desired}" if scaling.desired is not None else "wants no number yet"
    yield f"autoscaler {wanted}: {scaling.message or scaling.reason or 'nothing was said yet'}"
    for signal in scaling.signals:
        wish = f"wants {signal.wanted}" if signal.wanted is not None else "holds"
        because = f": {signal.message}" if signal.message else ""
        yield f"  {signal.type} {signal.value or '-'} of {signal.target}, {wish}{because}"


def history(serving: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
    """Replicas, and every signal as a share of its target, by what the operator's own metrics tell of it."""
    metadata = serving["metadata"]
    which = f'namespace="{metadata["namespace"]}",name="{metadata["name"]}"'
    replicas = {
        "wanted": f"max({PREFIX}replicas_wanted{{{which}}})",
        "ready": f"max({PREFIX}replicas_ready{{{which}}})",
        "autoscaler wants": f"max({PREFIX}autoscaler_replicas_wanted{{{which}}})",
    }
    scaling = status_of(serving).autoscaling
    load = {
        one.type: f'max({PREFIX}signal_value{{{which},signal="{one.type}"}} / {PREFIX}signal_target{{{which},signal="{one.type}"}})'
        for one in (scaling.signals if scaling is not None else ())
    }
    return {"replicas": replicas, **({"load, of the target": load} if load else {})}


COLUMNS: tuple[str, ...] = ("MODEL", "REPLICAS", "WANTED", "REVISION", "CANARY", "SIGNALS")
"""What a table of servings says of each."""


def row(serving: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells of those columns: the revision that is wanted, the run's step and share, and every signal's value of its target."""
    status = status_of(serving)
    run, scaling = status.canary, status.autoscaling
    step = f"{run.phase} {run.step}/{run.steps}" if run is not None else "-"
    signals = [f"{one.type}={one.value or '-'}/{one.target}" for one in scaling.signals] if scaling is not None else []
    wanted = scaling.desired if scaling is not None else None
    return (
        status.summary.model or "-",
        status.summary.replicas or "-",
        str(wanted) if wanted is not None else "-",
        (status.current.name if status.current is not None else "") or "-",
        step,
        ",".join(signals) or "-",
    )


def _comparison(table: ComparisonStatus) -> Iterator[str]:
    """What is not known is a dash."""
    yield f"  compared from {table.since} to {table.until}"
    if table.message:
        yield f"  {table.message}"
    head = ("REVISION", "REQUESTS", "ERRORS", "P50", "P99", "TTFT P50", "TTFT P99", "ACCURACY")
    rows = [head, *(_numbers(one) for one in table.revisions)]
    yield from (f"  {line}" for line in aligned(rows))


def _numbers(one: ComparedRevision) -> tuple[str, ...]:
    requests = str(one.requests) if one.requests is not None else None
    timed = (one.latency_p50, one.latency_p99, one.first_token_p50, one.first_token_p99)
    seconds = [f"{value} s" if value is not None else None for value in timed]
    shares = (_sure(one.error_rate, one.error_rate_interval), *seconds, _sure(one.accuracy, one.accuracy_interval))
    return (one.revision, *(value or "-" for value in (requests, *shares)))


def _sure(share: str | None, interval: str | None) -> str | None:
    """`0.95 (0.91..0.97)`."""
    return f"{share} ({interval})" if share is not None and interval is not None else share


_REVISION = ("REVISION", "MODEL", "READY", "WEIGHT", "ROLE")


def revisions(serving: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    """The kept revisions as rows of a table."""
    status = status_of(serving)
    return tuple(dict(zip(_REVISION, _row(one, status), strict=True)) for one in status.revisions)


def _row(one: KeptRevision, status: ServingStatus) -> tuple[str, str, str, str, str]:
    run = status.canary
    tried = "tried" if run is not None and run.target == one.name else ""
    role = "stable" if status.stable == one.name else tried
    weight = f"{one.weight} %" if one.weight is not None else ""
    return one.name, one.model, f"{one.ready}/{one.replicas}", weight, role


def exit_status(serving: Mapping[str, Any]) -> int | None:
    """0 for a run that was promoted or compared, or where there is none; 1 for one that was rolled back; None while it goes on."""
    status = status_of(serving)
    return _OVER.get(Phase(status.canary.phase)) if status.canary is not None else 0


def annotation(verb: str, serving: Mapping[str, Any], revision: str | None, token: str) -> tuple[str, str | None]:
    """The annotation of a verb and its value; None: it is taken away.

    `revision`: as a person wrote it; None: the one that the run tries, or for a rollback its stable one. `token` makes the
    value another one than an earlier wish.

    Raises:
        ValueError: there is no run, or no such revision.
    """
    status = status_of(serving)
    run = status.canary
    if verb in ("resume", "follow"):
        return (PAUSE if verb == "resume" else ROLLBACK), None
    if revision is None and run is None:
        raise ValueError("there is no canary run: name a revision")
    if verb == "rollback":
        wanted = revision or (run.stable if run is not None else "")
        kept = [one.name for one in status.revisions]
        if wanted not in kept:
            raise ValueError(f"no revision is called {wanted}; kept are: {', '.join(kept) or 'none yet'}")
        return ROLLBACK, f"{wanted}/{token}"
    if run is None or revision not in (None, run.target):
        tried = run.target if run is not None else "none"
        raise ValueError(f"the revision that is tried is {tried}, not {revision}")
    return (PROMOTE, f"{run.target}/{token}") if verb == "promote" else (PAUSE, run.target)
