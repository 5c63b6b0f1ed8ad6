"""What the documentation says of engines and trainers, made from their entries, so that none is left out."""

from collections.abc import Iterable, Iterator

from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.measures import MEASURES, has
from deepseek_operator.domain.programs.engines.options import SWITCHES, Value, elsewhere
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.entry import TrainerEntry
from deepseek_operator.domain.programs.trainers.request import Objective
from deepseek_operator.domain.programs.trainers.table import TRAINERS
from deepseek_operator.domain.sizing.request import ALL_AXES
from deepseek_operator.domain.sizing.training_state import Optimizer
from deepseek_operator.domain.values.command import Signal

_WRITER = {
    Start.BUILT: "made by the operator",
    Start.OURS: "that of the runtime image",
    Start.WRITTEN: "written by you",
}


def engines() -> str:
    """Markdown: what each engine that a resource may name takes and tells."""
    lines = [
        "| `engine.type` | engine | release unless you name one | command | takes of `engine` | devices of a replica | scales by | compares versions by |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(_engine(entry))} |" for entry in offered()),
    ]
    return "\n".join(lines) + "\n"


def _engine(entry: EngineEntry) -> tuple[str, ...]:
    names = entry.metric_names(None)
    release = entry.version or "–"
    return (
        f"`{entry.type}`",
        entry.title,
        f"{release} (from {entry.oldest} on)" if entry.oldest is not None else release,
        _WRITER[entry.start],
        _code(sorted(entry.honours)),
        "one or several" if entry.memory.parallel else "one",
        _code(names[signal] for signal in (Signal.RUNNING, Signal.WAITING) if signal in names) or "nothing",
        ", ".join(measure for measure in MEASURES if has(entry, None, measure)) or "–",
    )


def trainers() -> str:
    """Markdown: what each trainer is started with, and where it goes on; those that a resource may name come first."""
    lines = [
        "| `trainer.type` | trainer | release | learns by `objective` | command | takes of `trainer` | ranks along | optimizers | compresses gradients by | checkpoints | goes on from |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {' | '.join(_trainer(entry))} |"
            for entry in sorted(TRAINERS.values(), key=lambda one: not one.is_offered)
        ),
    ]
    return "\n".join(lines) + "\n"


def _trainer(entry: TrainerEntry) -> tuple[str, ...]:
    return (
        f"`{entry.type}`" if entry.is_offered else "not yet",
        entry.title,
        entry.version or "–",
        ", ".join(one.value for one in Objective if one in entry.objectives),
        _WRITER[entry.start],
        _code(sorted(entry.honours)) or "–",
        "any axis" if entry.axes == ALL_AXES else ", ".join(sorted(entry.axes)),
        "–" if entry.start is Start.WRITTEN else ", ".join(_optimizers(entry)),
        entry.compression or "–",
        entry.checkpoints,
        entry.resume.value,
    )


def _optimizers(entry: TrainerEntry) -> Iterator[str]:
    """Those that a resource may name; the paged one is known to commands only."""
    return (one.value for one in entry.optimizers if one is not Optimizer.PAGED_ADAMW_8BIT)


def options() -> str:
    """Markdown: by which flags each engine takes what is set as `engine.options`."""
    built = [entry for entry in offered() if entry.is_built]
    lines = [f"| `engine.options` | {' | '.join(entry.title for entry in built)} |", "|---|" + "---|" * len(built)]
    names = dict.fromkeys(name for entry in built for name in entry.options)
    rows = ((f"`{name}`", *(_option(entry, name) for entry in built)) for name in names)
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _option(entry: EngineEntry, name: str) -> str:
    """The flags of a value, or of both where it is a switch."""
    told = entry.options.get(name)
    if told is None:
        return "refused"
    if told is elsewhere:
        return _code(f"--{flag}" for flag, read in entry.flags.read.items() if read == "running")
    values: tuple[Value, ...] = (True, False) if name in SWITCHES else (1,)
    flags = dict.fromkeys(word for value in values for word in told(value) if word.startswith("--"))
    return _code(flags)


def flags() -> str:
    """Markdown: what each engine's flags and variables decide, and what to write instead."""
    lines = ["| engine | in `engine.args` or `engine.env` | instead |", "|---|---|---|"]
    rows = (row for entry in offered() if entry.is_built for row in _flags(entry))
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def _flags(entry: EngineEntry) -> Iterator[tuple[str, str, str]]:
    known = entry.flags
    for owned in known.owned:
        yield entry.type, _flags_named(owned.names), owned.instead
    for owned in known.variables:
        yield entry.type, _code(owned.names), owned.instead
    yield entry.type, _flags_named(known.overrides), "fields that sizing reads are refused, others pass"
    yield entry.type, _flags_named(known.read), "taken: sizing and scaling count with it"


def _flags_named(names: Iterable[str]) -> str:
    """Flags as they are typed: short ones bring their dash."""
    return _code(name if name.startswith("-") else f"--{name}" for name in names)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
