"""The engines of the table as the schema speaks of them: their types as an enum, and by who writes their command."""

from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.domain.programs.start import Start


def of(start: Start) -> tuple[str, ...]:
    """Types of the offered engines whose command is written so."""
    return tuple(entry.type for entry in offered() if entry.start is start)


TYPES = tuple(entry.type for entry in offered())
"""Everything that `engine.type` may be."""
BUILT, OURS, WRITTEN = of(Start.BUILT), of(Start.OURS), of(Start.WRITTEN)


BUILT_AND, BUILT_OR = joined(BUILT, "and"), joined(BUILT, "or")
OURS_OR, WRITTEN_OR = joined(OURS, "or"), joined(WRITTEN, "or")


UNWATCHED = tuple(entry.type for entry in offered() if not entry.can_be_watched)
"""Those that don't tell what a watchdog needs."""


UNKEYED = tuple(entry.type for entry in offered() if not entry.takes_key)
"""Those that can't be given a key which they alone know."""


GRPC = tuple(entry.type for entry in offered() if entry.grpc is not None)
"""Those that answer gRPC beside OpenAI's protocol."""
GRPC_OR = joined(GRPC, "or")


def _asked_beside() -> str:
    told = [f"{entry.type} is sent {entry.asked_as('<model>', '<name>')}" for entry in offered() if entry.asks_beside]
    return f"; {joined(told, 'and')}" if told else ""


ASKED_BESIDE = _asked_beside()
"""Half a sentence: which engines are asked for an adapter otherwise than by its name."""
