"""A trainer of the user's own: the command is theirs, and nothing is known of it but the checkpoints that it writes."""

from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.entry import Resume, TrainerEntry

ENTRY = TrainerEntry(
    type="custom",
    title="your own",
    version="",
    start=Start.WRITTEN,
    build=None,
    checkpoints="as your program saves",
    resume=Resume.PROGRAM,
    is_offered=True,
)
