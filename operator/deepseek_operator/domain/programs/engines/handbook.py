"""What the documentation says of engines, made from their entries, so that none is left out."""

from collections.abc import Iterable, Iterator

from deepseek_operator.domain.programs.engines.entry import EngineEntry


def flags_table(*entries: EngineEntry) -> str:
    """Markdown: what each engine's flags and variables decide, and what to write instead."""
    lines = ["| engine | in `engine.args` or `engine.env` | instead |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for entry in entries for row in _rows(entry))]) + "\n"


def _rows(entry: EngineEntry) -> Iterator[tuple[str, str, str]]:
    flags, program = entry.flags, entry.type
    for owned in flags.owned:
        yield program, _code(name if name.startswith("-") else f"--{name}" for name in owned.names), owned.instead
    for owned in flags.variables:
        yield program, _code(owned.names), owned.instead
    yield program, _code(f"--{name}" for name in flags.overrides), "fields that sizing reads are refused, others pass"
    yield program, _code(f"--{name}" for name in flags.read), "taken: sizing and scaling count with it"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
