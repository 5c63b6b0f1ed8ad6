"""The processes that train together: meeting, agreeing, parting.

Small agreements (stop, save, is everybody done) go over the CPU as sums of a few numbers, so that no
rank ever acts on a signal, a clock or a disk that the others did not see.

The ranks of one pod meet in a folder and talk over the loopback: nobody outside reaches them. Those of several pods meet
at a port of rank 0, which knows no passwords; keys under the uid of the attempt's Job keep out whoever only finds
the port, a NetworkPolicy whoever could read them there.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from deepseek_runtime.checkpoint.room import Full
from deepseek_runtime.contract import Invalid
from deepseek_runtime.rundir import VARIABLE
from deepseek_runtime.trainer.wire import read_by_allow_list

# A rank that loads a large model from a slow volume may come much later than the others.
MEETING_LIMIT = timedelta(hours=2)
LOOPBACK = "lo"
# How often a rank that waits for a disk looks again; short against any save, long against a message.
LOOK_EVERY_S = 0.02
# How often ranks that wait for work of rank 0 alone hear that it goes on.
TOLD_EVERY_S = 1.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Gang:
    """This process among `world_size`; saves have a process group of their own and never meet training's messages."""

    rank: int
    world_size: int
    device: torch.device
    mesh: DeviceMesh
    saving: dist.ProcessGroup

    @staticmethod
    def meet(environment: Mapping[str, str]) -> "Gang":
        """Waits for all ranks. Raises torch's DistError when they don't come."""
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(environment["LOCAL_RANK"]))
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
        read_by_allow_list()
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            store=_meeting_place(environment),
            rank=int(environment["RANK"]),
            world_size=int(environment["WORLD_SIZE"]),
            timeout=MEETING_LIMIT,
        )
        mesh = init_device_mesh("cuda" if cuda else "cpu", (dist.get_world_size(),))
        device = torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
        saving = dist.new_group(backend="gloo", timeout=MEETING_LIMIT)
        return Gang(dist.get_rank(), dist.get_world_size(), device, mesh, saving)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all ranks, the same bits on each."""
        sums = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(sums)
        return [float(value) for value in sums]

    def most(self, values: Sequence[float]) -> list[float]:
        """Element-wise maxima over all ranks."""
        greatest = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(greatest, dist.ReduceOp.MAX)
        return [float(value) for value in greatest]

    def any(self, value: bool) -> bool:
        return self.total([float(value)])[0] > 0

    def part(self) -> None:
        """Without this rank 0 may die at exit while the others still talk to it."""
        dist.barrier()
        dist.destroy_process_group()


def _meeting_place(environment: Mapping[str, str]) -> dist.Store:
    """Where the ranks learn each other's addresses."""
    rank, world_size = int(environment["RANK"]), int(environment["WORLD_SIZE"])
    if world_size == int(environment.get("LOCAL_WORLD_SIZE", "0")) and VARIABLE in environment:
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(name, LOOPBACK)
        return dist.FileStore(str(Path(environment[VARIABLE]) / "meeting"), world_size)
    if world_size == 1:
        return dist.HashStore()
    address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    meeting = dist.TCPStore(address, port, world_size, is_master=rank == 0, timeout=MEETING_LIMIT)
    return dist.PrefixStore(environment["DEEPSEEK_JOB_UID"], meeting)


def broadcast(value: object, group: dist.ProcessGroup | None = None) -> object:
    """Rank 0's value, on every rank."""
    holder = [value]
    dist.broadcast_object_list(holder, src=0, group=group)
    return holder[0]


def gathered(value: object) -> list[object]:
    """The values of all ranks, by rank, on every rank."""
    values: list[object] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def alone(gang: Gang, work: Callable[[Callable[[], None]], _T], beat: Callable[[], None]) -> _T | None:
    """Rank 0's work; None on the others, which wait for it. Called by all of them together.

    The work calls what it is given as it goes on, and with it all ranks beat. Raises on each rank what it raised on rank 0.
    """
    if not gang.is_first:
        while not gang.any(value=False):
            beat()
        _raise_the_first_ones(broadcast(None))
        return None
    told_s, made, problem = -TOLD_EVERY_S, None, None

    def moved() -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TOLD_EVERY_S:
            gang.any(value=False)
            beat()
            told_s = time.monotonic()

    try:
        made = work(moved)
    except Exception as error:
        problem = error
    gang.any(value=True)
    broadcast(None if problem is None else (type(problem).__name__, str(problem)))
    if problem is not None:
        raise problem
    return made


def _raise_the_first_ones(problem: object) -> None:
    match problem:
        case ("Invalid", str(message)):
            raise Invalid(message)
        case ("Full", str(message)):
            raise Full(message)
        case (str(kind), str(message)):
            raise RuntimeError(f"rank 0: {kind}: {message}")


def wait_for_all(
    gang: Gang,
    beat: Callable[[], None],
    *,
    is_done: Callable[[], bool],
    written_bytes: Callable[[], int],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Waits until all ranks are done with their disks; called by all of them together.

    As long as bytes move on any rank, all of them are alive. `look` may end the wait by raising.
    """
    moved = -1.0
    while True:
        done, written = gang.total([float(is_done()), float(written_bytes())])
        if written != moved:
            beat()
        if done == gang.world_size:
            return
        look()
        moved = written
        time.sleep(LOOK_EVERY_S)
