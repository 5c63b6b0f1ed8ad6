"""Gangs of processes of these tests: `python -m MODULE FOLDER RANK WORLD` is one of them.

What each has seen it writes to FOLDER/told-WORLD-RANK.json, which whoever has started the gang reads.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepseek_runtime.rundir import VARIABLE
from deepseek_runtime.trainer.gang import Gang
from tests.runtime.observed import Bench, Document, Observed
from tests.runtime.pods import Process
from tests.runtime.workplace import Workplace, alone_on_a_thread

LIMIT_S = 900.0
"""Of a gang that hangs: it trains for minutes where others compute."""


def told_by(module: str, folder: Path, world: int) -> list[Any]:
    """What the processes of a gang tell, by rank; each computes on one thread."""
    _meet(folder, world)
    ranks = [Process.fork(f"tests.runtime.{module}", (str(folder), str(rank), str(world)), {}) for rank in range(world)]
    ends = [rank.ended(LIMIT_S) for rank in ranks]
    assert ends == [0] * world, "\n".join(rank.log for rank in ranks)
    return _told(folder, world)


def told_by_processes(module: str, folder: Path, world: int, **variables: str) -> list[Any]:
    """The same of processes of their own, which are told `variables` at their start."""
    _meet(folder, world)
    path = os.pathsep.join(("operator", "."))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    command = [sys.executable, "-m", f"tests.runtime.{module}", str(folder)]
    ranks = [subprocess.Popen([*command, str(rank), str(world)], env=environment) for rank in range(world)]
    try:
        # One of them that never ends fails the test, not the whole run: gloo of torch 2.13 was seen spinning at its end.
        assert [rank.wait(timeout=LIMIT_S) for rank in ranks] == [0] * world
    finally:
        for rank in ranks:
            rank.kill()
    return _told(folder, world)


def _meet(folder: Path, world: int) -> None:
    (folder / f"meeting-{world}").mkdir()


def _told(folder: Path, world: int) -> list[Any]:
    return [json.loads((folder / f"told-{world}-{rank}.json").read_text()) for rank in range(world)]


def take_part(seen: Callable[[Workplace], object]) -> None:
    """As one of a gang that trains below its folder: tells what is seen in that workplace."""
    folder, rank, world = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world}
    with alone_on_a_thread():
        met = {**names, VARIABLE: folder / f"meeting-{world}"}
        gang = Gang.meet({name: str(value) for name, value in met.items()})
        tell(folder, rank, world, seen(Workplace(Bench(gang, folder), folder)))
        gang.part()


def tell(folder: Path, rank: int, world: int, value: object) -> None:
    """Leaves it for whoever has started the gang."""
    (folder / f"told-{world}-{rank}.json").write_text(json.dumps(value))


def again(number: int) -> dict[str, Any]:
    """Variables of an attempt that goes on from the first one; of several that do, each has a number of its own."""
    ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
    names = {"ATTEMPT": str(number + 2), "JOB_UID": f"job-{number + 2}", "POD_UID": f"again-{number}"}
    return {**names, "RESUME_ANCESTRY": ancestry}


def steps_of(seen: Observed) -> Document:
    """Loss and norm by step, and of each resume whether it went on exactly."""
    steps = [record for record in seen.records if record["event"] == "step"]
    return {
        "losses": {str(record["step"]): record["loss"] for record in steps},
        "norms": {str(record["step"]): record["gradientNorm"] for record in steps},
        "exact": [record["exact"] for record in seen.records if record["event"] == "resume"],
    }
