"""The trainers of the table as the schema speaks of them: their types as an enum, and by who writes their command."""

from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.table import offered
from deepseek_operator.domain.sizing.training_state import Method

TYPES = tuple(entry.type for entry in offered())
"""Everything that `trainer.type` may be."""
WRITTEN = tuple(entry.type for entry in offered() if entry.start is Start.WRITTEN)
OURS = tuple(entry.type for entry in offered() if entry.start is Start.OURS)
"""Everything that the built-in trainer is behind."""
BUILT = tuple(entry.type for entry in offered() if entry.start is Start.BUILT)
"""Those whose command the operator writes from the spec."""
COMMANDED = tuple(entry.type for entry in offered() if "command" in entry.honours)
"""Those that run a program of the user's."""
WITHOUT_ARGS = tuple(entry.type for entry in offered() if "args" not in entry.honours)
"""Those that take all of their settings from the spec."""
COMPRESSING = {
    kind: tuple(entry.type for entry in offered() if entry.compression == kind)
    for kind in sorted({entry.compression for entry in offered()} - {""})
}
"""By the type of `gradientCompression`, those that know it."""
WITH_QLORA = tuple(
    entry.type
    for entry in offered()
    if entry.start is Start.BUILT and Method.QLORA in entry.methods and not entry.runs_a_program
)
"""Those that are told to hold the base in 4 bits."""
OURS_OR = joined(OURS, "or")
WRITTEN_OR = joined(WRITTEN, "or")
BUILT_OR = joined(BUILT, "or")
COMMANDED_OR = joined(COMMANDED, "or")
