"""The last words of a pod: one JSON document of at most 4096 bytes, the kubelet's limit.

The file is a bind mount of a single file, so it can't be replaced by a rename; one write of the whole
document is what a reader can't see half of.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from deepseek_runtime.contract import FORMAT_VERSION, ExitCode

LIMIT_BYTES = 4096
DEFAULT_PATH = Path("/dev/termination-log")
PATH_VARIABLE = "DEEPSEEK_TERMINATION_LOG"

Result = Literal["Complete", "Preempted", "Stalled", "Failed", "Invalid", "Diverged", "Full"]


@dataclass(frozen=True)
class Termination:
    """How the pod ended. `latest` and `best` name healthy checkpoints, `metrics` the last evaluation.

    `data` counts the examples that were read, and those that the sequence length left out or cut; `firstStep` is the one
    that the attempt began with; `rollbacks` counts how often it went back from numbers that were no longer finite, and tells
    of the last time; `inPlaceRestarts` does the same of crashes after which processes started again in their pods;
    `stoppedEarly` names the step that so many evaluations did not better; `source` what a fetch brought to its claim.
    """

    result: Result
    message: str
    step: int | None = None
    incarnation: str | None = None
    latest: Mapping[str, object] | None = None
    best: Mapping[str, object] | None = None
    exports: tuple[int, ...] = ()
    loss: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    data: Mapping[str, object] | None = None
    firstStep: int | None = None  # noqa: N815 - the document's own name
    gradientNorm: float | None = None  # noqa: N815
    rollbacks: Mapping[str, object] | None = None
    stoppedEarly: Mapping[str, object] | None = None  # noqa: N815
    inPlaceRestarts: Mapping[str, object] | None = None  # noqa: N815
    source: Mapping[str, object] | None = None


def result_of(code: int) -> Result:
    """The result that an exit code stands for."""
    match code:
        case ExitCode.COMPLETE:
            return "Complete"
        case ExitCode.SAVED:
            return "Preempted"
        case ExitCode.STALLED:
            return "Stalled"
        case ExitCode.INVALID:
            return "Invalid"
        case ExitCode.FULL:
            return "Full"
        case _:
            return "Failed"


def encode(termination: Termination) -> bytes:
    """The document; a long message is cut, then old exports are left out, until it fits."""
    document = _document(termination)
    while len(document) > LIMIT_BYTES:
        if len(termination.message) > 200:
            termination = replace(termination, message=termination.message[: len(termination.message) // 2] + "…")
        elif termination.exports:
            termination = replace(termination, exports=termination.exports[len(termination.exports) // 2 + 1 :])
        else:
            termination = replace(termination, metrics={}, message=termination.message[:100])
        document = _document(termination)
    return document


def write(termination: Termination, path: Path) -> None:
    """Writes the document in one piece. A pod without a termination log (a run by hand) writes none, nor does one whose
    node has no room for it: how the pod ended is told by its exit code, and nothing here may change that.
    """
    try:
        # A pipe that nobody reads would be waited for without end.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_NONBLOCK, 0o644)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.write(descriptor, encode(termination))
    finally:
        os.close(descriptor)


def _document(termination: Termination) -> bytes:
    document = json.dumps({"formatVersion": FORMAT_VERSION, **vars(termination)}, ensure_ascii=False)
    # Half a surrogate pair, quoted from what the user gave, is no UTF-8; its escape is JSON's own.
    return document.encode(errors="backslashreplace")
