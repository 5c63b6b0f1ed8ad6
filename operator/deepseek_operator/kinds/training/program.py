"""The trainer's container and exit codes: the contract that `deepseek_runtime` keeps, and a trainer of the user's own may."""

from deepseek_operator.workloads.batch.program import Exit, Program

INVALID = "InvalidConfiguration"
DIVERGED = "Diverged"
SAVED = "SavedAndStopped"
VOLUME_FULL = "CheckpointVolumeFull"

TRAINER = Program(
    "trainer",
    {
        64: Exit(INVALID, told={"Diverged": DIVERGED}, is_final=True),
        # Nothing is wrong with the program: it waits for room, and what it saved before is whole.
        73: Exit(VOLUME_FULL, is_disruption=True),
        75: Exit(SAVED, is_disruption=True),
        76: Exit("Stalled"),
    },
)
