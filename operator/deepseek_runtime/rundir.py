"""What the workers of one pod tell their keeper: files in a directory in memory, never on the volume.

    heartbeat-<rank>   rewritten whenever the rank moves on; only that it changes matters
    preparing-<rank>   the same, before the first heartbeat, while data is prepared
    progress.json      rank 0 of the pod: the state that /progress shows
    result.json        how the worker ended, in its own words

A volume that hangs must not be able to hide a stall, hence memory.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deepseek_runtime.checkpoint.document import read

LIMIT_BYTES = 1 << 20
VARIABLE = "DEEPSEEK_RUN_DIRECTORY"
HEARTBEAT_VARIABLE = "DEEPSEEK_HEARTBEAT_FILE"


class RunDirectory:
    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def create() -> "RunDirectory":
        """A fresh one in shared memory where there is some, else in the temporary directory."""
        memory = Path("/dev/shm")
        place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
        return RunDirectory(Path(tempfile.mkdtemp(prefix="deepseek-run-", dir=place)))

    def clear(self) -> None:
        """Nothing is told any more: other workers begin. None of those before lives."""
        for file in self.path.iterdir():
            file.unlink()

    def heartbeat_file(self, rank: int) -> Path:
        return self.path / f"heartbeat-{rank}"

    def beats(self) -> dict[str, str]:
        """The latest heartbeat of every rank that has had one."""
        return {file.name: _read(file) for file in sorted(self.path.glob("heartbeat-*"))}

    def preparations(self) -> dict[str, str]:
        """The latest sign of every rank that prepares data, or waits for who does."""
        return {file.name: _read(file) for file in sorted(self.path.glob("preparing-*"))}

    def publish_progress(self, progress: Mapping[str, object]) -> None:
        self._publish("progress.json", progress)

    def progress(self) -> dict[str, object]:
        return self._load("progress.json")

    def publish_result(self, rank: int, result: Mapping[str, object]) -> None:
        self._publish(f"result-{rank}.json", result)

    def result(self, rank: int) -> dict[str, object]:
        """How a worker says it ended; empty when it had no time to say."""
        return self._load(f"result-{rank}.json")

    def _publish(self, name: str, value: Mapping[str, object]) -> None:
        fresh = self.path / f".{name}"
        fresh.write_text(json.dumps(value))
        fresh.rename(self.path / name)

    def _load(self, name: str) -> dict[str, object]:
        try:
            value = json.loads(_read(self.path / name) or "{}")
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class Heartbeat:
    """One rank's sign of life. Called at every step, evaluation batch and block written to a checkpoint.

    What is prepared before the first of them has signs of its own: after it a model is loaded, which takes as long as it
    takes, and a heartbeat would have begun the watch over stalls.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._count = 0

    def prepare(self) -> None:
        """Data is being prepared, and it moves on."""
        self._count += 1
        if self._file is not None:
            self._file.with_name(self._file.name.replace("heartbeat", "preparing")).write_text(str(self._count))

    def beat(self) -> None:
        self._count += 1
        if self._file is not None:
            self._file.write_text(str(self._count))


def _read(file: Path) -> str:
    """Its text, none where there is none to be had: a script of the user's own must not keep the keeper waiting."""
    try:
        return read(file, LIMIT_BYTES).decode()
    except (FileNotFoundError, ValueError):
        return ""
