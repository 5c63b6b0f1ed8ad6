"""What the end of a foreign trainer means, which knows no exit codes of ours.

exit 0, the last step is safe, or nobody knows how many there are    complete
exit 0 earlier, with steps that are safe since the start, or SIGTERM  75: the next attempt goes on
exit 0 earlier, with none                                             1: the next one would end like it
anything else, with a checkpoint since SIGTERM                        75
anything else                                                         as it is
"""

from dataclasses import dataclass

from deepseek_runtime.contract import ExitCode


@dataclass(frozen=True)
class End:
    """How the trainer ended.

    Attributes:
        code: its exit code, in the shell's form.
        began, step: what was safe at the start of the attempt, and what is now.
        max_steps: how many there are to do; None where neither the spec nor the trainer says.
        at_stop: what was safe when SIGTERM came; None when none did.
    """

    code: int
    began: int
    step: int
    max_steps: int | None
    at_stop: int | None


def judged(end: End) -> tuple[int, str | None]:
    """The exit code of the pod, and a sentence where it is another than the trainer's own meaning."""
    if end.code == ExitCode.COMPLETE:
        return _ended_well(end)
    if end.at_stop is not None and end.step > end.at_stop:
        return ExitCode.SAVED, f"saved step {end.step} after SIGTERM, and ended with code {end.code}"
    return end.code, None


def _ended_well(end: End) -> tuple[int, str | None]:
    reached = f"step {end.step}" + (f" of {end.max_steps}" if end.max_steps is not None else "")
    if end.max_steps is not None and end.step >= end.max_steps:
        return ExitCode.COMPLETE, None
    if end.at_stop is not None:
        return ExitCode.SAVED, f"ended with code 0 after SIGTERM, safe up to {reached}"
    if end.max_steps is None:
        return ExitCode.COMPLETE, None
    if end.step > end.began:
        return ExitCode.SAVED, f"the trainer ended with code 0 before its last step, safe up to {reached}"
    return 1, (
        f"the trainer ended with code 0 and saved nothing beyond {reached}: if it stops early by itself, leave that out "
        "of trainer.args; else read its log"
    )
