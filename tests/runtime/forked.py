"""Ranks of a training in processes that are forked once torch is imported: begun in a moment, and SIGKILL ends them whole.

What runs in them is what the pod runs: the launcher's preparing on rank 0, then the trainer's own `main`.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.runtime.programs import context

TOUCHES = frozenset({"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir"})
"""Audit events of Python by which a process looks at a volume or changes it."""


@dataclass
class Rank:
    """One rank of an attempt. It kills itself at its `dies_at`-th touch of the volume, whichever thread touches.

    `inside` is what the trainer runs inside of.
    """

    variables: Mapping[str, str]
    log: Path
    dies_at: int | None = None
    inside: Callable[[], AbstractContextManager[None]] = nullcontext
    process: ForkServerProcess | None = field(default=None, compare=False)

    def start(self) -> "Rank":
        told = (dict(self.variables), str(self.log), self.dies_at, self.inside)
        self.process = context().Process(target=live, args=told)
        self.process.start()
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    def ended(self, limit_s: float | None) -> int | None:
        """Its exit code, -9 when it was killed; None while it still runs after that long."""
        assert self.process is not None
        self.process.join(limit_s)
        return self.process.exitcode

    @property
    def events(self) -> list[dict[str, object]]:
        """What it told, the last line left out if it was killed within it."""
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in lines if line.startswith('{"time"') and line.endswith("\n")]

    @property
    def losses(self) -> dict[int, float]:
        """Loss by step, exactly as computed."""
        return {int(str(e["step"])): float(str(e["loss"])) for e in self.events if e["event"] == "step"}


def live(
    variables: dict[str, str],
    log: str,
    dies_at: int | None,
    inside: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """In the fork. Tells the number of its touches at its end."""
    os.environ.update(variables)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from deepseek_runtime.checkpoint.volume import Volume
    from deepseek_runtime.contract import read_contract
    from deepseek_runtime.launcher.preparing import prepare
    from deepseek_runtime.trainer.__main__ import main

    contract = read_contract(os.environ)
    touches = _counted(str(contract.checkpoints.root), dies_at)
    if variables["RANK"] == "0":
        prepare(Volume(contract.checkpoints.root), contract)
    with inside():
        code = main()
    print(json.dumps({"time": "", "event": "touches", "touches": touches[0]}), flush=True)
    os._exit(code)


def _counted(root: str, dies_at: int | None) -> list[int]:
    touches = [0]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(root):
            touches[0] += 1
            if touches[0] == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return touches
