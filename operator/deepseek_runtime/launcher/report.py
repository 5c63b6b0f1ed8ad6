"""What the pod says about its training: while it runs to /progress, at its end to the termination log."""

from collections.abc import Mapping

from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import FORMAT_VERSION, Contract, ExitCode
from deepseek_runtime.launcher.keeper import SIGTERM_CODE, Verdict
from deepseek_runtime.launcher.rounds import Restarted
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.termination import Termination, result_of


def progress(
    contract: Contract, run: RunDirectory, restarted: Restarted | None = None, *, stopping: bool
) -> dict[str, object]:
    """The document of /progress; what a worker has not told is absent."""
    told = run.progress()
    return {
        "formatVersion": FORMAT_VERSION,
        "trainingUID": contract.training_uid,
        "incarnation": incarnation(contract),
        "attempt": contract.attempt,
        "state": "Starting",
        **told,
        **({"inPlaceRestarts": vars(restarted)} if restarted is not None else {}),
        **({"state": "Stopping"} if stopping and told.get("state") != "Complete" else {}),
    }


def explained(contract: Contract, run: RunDirectory, verdict: Verdict) -> str:
    """The verdict's sentence, with that of the worker that caused it."""
    cause = _said(contract, run, verdict).get("message")
    return f"{verdict.message}: {cause}" if isinstance(cause, str) and cause else verdict.message


def _said(contract: Contract, run: RunDirectory, verdict: Verdict) -> dict[str, object]:
    return run.result(_first_rank(contract) if verdict.rank is None else verdict.rank)


def termination(
    contract: Contract, run: RunDirectory, verdict: Verdict, restarted: Restarted | None = None
) -> Termination:
    """The last words: the verdict, explained by the worker that caused it, with what the workers had told."""
    told = {**_on_volume(contract), **{name: value for name, value in run.progress().items() if value is not None}}
    diverged = _said(contract, run, verdict).get("diverged") is True and verdict.code == ExitCode.INVALID
    exports = told.get("exports")
    return Termination(
        result="Diverged" if diverged else "Preempted" if verdict.code == SIGTERM_CODE else result_of(verdict.code),
        message=explained(contract, run, verdict),
        step=_whole(told.get("step")),
        incarnation=_text(told.get("incarnation")) or incarnation(contract),
        latest=_named(told.get("latest"), ("step",)),
        best=_named(told.get("best"), ("step", "metric", "value")),
        exports=tuple(step for step in exports if isinstance(step, int)) if isinstance(exports, list) else (),
        loss=_number(told.get("loss")),
        metrics=_measured(told),
        data=_read(told.get("data")),
        firstStep=_whole(told.get("firstStep")),
        gradientNorm=_number(told.get("gradientNorm")),
        stoppedEarly=_named(told.get("stoppedEarly"), ("best", "evaluations")),
        rollbacks=_named(told.get("rollbacks"), ("count", "step", "to", "skipped")),
        inPlaceRestarts=vars(restarted) if restarted is not None else None,
    )


def _measured(told: Mapping[str, object]) -> dict[str, float | None]:
    """The last evaluation, metrics of a user's own among them."""
    own = told.get("metrics")
    known = {**{name: told.get(name) for name in ("evalLoss", "accuracy")}, **(own if isinstance(own, Mapping) else {})}
    return {name: _number(value) for name, value in known.items() if value is not None}


def incarnation(contract: Contract) -> str | None:
    """Rank 0's pod uid; the other pods learn it from their workers, after the meeting of the ranks."""
    return contract.pod_uid if contract.gang.node_rank == 0 else None


def _on_volume(contract: Contract) -> dict[str, object]:
    """What can be said without a worker's word: a foreign script's checkpoints are seen by their manifests."""
    if contract.gang.node_rank != 0:
        return {}
    volume = Volume(contract.checkpoints.root)
    try:
        own = [m for m in volume.checkpoints_of(contract.pod_uid) if m.healthy]
        exports = [m.step for m in volume.exports()]
    except OSError:
        return {}
    top = best(own, contract.checkpoints.best)
    return {
        "step": own[-1].step if own else None,
        "latest": {"step": own[-1].step} if own else None,
        "best": top.to_json() if top else None,
        "loss": own[-1].metrics.get("loss") if own else None,
        "exports": exports,
    }


def _first_rank(contract: Contract) -> int:
    return contract.gang.node_rank * contract.gang.processes_per_node


def _read(data: object) -> Mapping[str, object] | None:
    counts = _named(data, ("examples", "dropped", "cut", "longest"))
    prepared = data.get("prepared") if isinstance(data, Mapping) else None
    return counts if counts is None or prepared is None else {**counts, "prepared": prepared}


def _named(value: object, names: tuple[str, ...]) -> Mapping[str, object] | None:
    return {name: value.get(name) for name in names} if isinstance(value, Mapping) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
