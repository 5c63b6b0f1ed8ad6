"""What a gang needs of its nodes, tried before anything is loaded: devices, a collective over all of them, the volume.

Each costs hours where it shows later: a node without its driver trains on the CPU, a broken link hangs in the first step, a
slow volume in the first save. Whatever is wrong ends the attempt as a crash that names the node and what was measured, so
that another attempt may find other nodes. It costs about a second: one file of 16 MB, one sum of as much.
"""

import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from shutil import disk_usage

import torch
import torch.distributed as dist

from deepseek_runtime.contract import Contract
from deepseek_runtime.trainer.gang import Gang, gathered

TRIED_BYTES = 16_000_000
ROOM_BYTES = 64 * TRIED_BYTES
"""With less free than this nothing is written: others that share a full volume need what there is."""
_CHUNK = os.urandom(1_000_000)
_LOOK_S = 0.01
_MOST_NAMED = 8


class Unfit(RuntimeError):
    """A node, or what joins them, is not what the gang needs."""


@dataclass(frozen=True)
class Measured:
    """Of one rank: megabytes per second, None where it tried nothing; `problem` in words."""

    node: str
    write: float | None = None
    read: float | None = None
    problem: str | None = None


def check_devices(contract: Contract, environment: Mapping[str, str]) -> None:
    """Before the ranks meet, which takes their devices. Raises Unfit where fewer are visible than were asked for."""
    if not contract.preflight_s or contract.devices is None:
        return
    visible = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if visible < contract.devices:
        rank = environment.get("RANK", "?")
        raise Unfit(
            f"preflight: {_on(contract)} shows {visible} of the {contract.devices} devices that accelerator asks for"
            f" (rank {rank}): look at its driver and device plugin, or write an image that is built for them"
        )


def preflight(contract: Contract, gang: Gang, *, speaks: bool) -> dict[str, object] | None:
    """Called by all ranks together; `speaks`: the one of its pod that tries the volume. What is told of it by the names in
    /progress, None where nothing is tried. Raises Unfit on every rank alike where the others still answer."""
    if not contract.preflight_s:
        return None
    since = time.monotonic()
    nodes = [str(node) for node in gathered(_on(contract))]
    own = _tried(contract) if speaks else Measured(_on(contract))
    _await(gang, nodes, contract.preflight_s)
    rate = _summed(gang, nodes, contract.preflight_s)
    # Ranks send each other plain values alone: see `wire`.
    found = [Measured(**told) for told in gathered(vars(own)) if isinstance(told, dict)]
    if problems := [one.problem for one in found if one.problem is not None]:
        raise Unfit(f"preflight: {'; '.join(problems[:_MOST_NAMED])}")
    result: dict[str, object] = {"seconds": round(time.monotonic() - since, 3)}
    if rate is not None:
        result["collectiveMegabytesPerSecond"] = round(rate, 1)
    slowest = min((one for one in found if one.write is not None), key=lambda one: one.write or 0.0, default=None)
    if slowest is not None and slowest.write is not None and slowest.read is not None:
        result |= {
            "node": slowest.node.removeprefix("node "),
            "writeMegabytesPerSecond": round(slowest.write, 1),
            "readMegabytesPerSecond": round(slowest.read, 1),
        }
    return result


def _on(contract: Contract) -> str:
    return f"node {contract.node_name}" if contract.node_name else f"pod {contract.pod_uid}"


def _tried(contract: Contract) -> Measured:
    """Writes a file where the checkpoints will lie, and reads it back past the cache."""
    node, root = _on(contract), contract.checkpoints.root
    file = root / f"_tmp-preflight-{contract.pod_uid}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        if disk_usage(root).free < ROOM_BYTES:
            return Measured(node)
        write, read = _written(file), _read(file)
    except OSError as error:
        return Measured(node, problem=f"{node} can't use the checkpoint volume ({error.strerror or error})")
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)
    least = contract.min_volume_megabytes_per_s
    if least is not None and min(write, read) < least:
        problem = (
            f"{node} writes {write:.1f} and reads {read:.1f} MB/s on the checkpoint volume, and"
            f" failurePolicy.minVolumeMegabytesPerSecond is {least}"
        )
        return Measured(node, write, read, problem)
    return Measured(node, write, read)


def _written(file: Path) -> float:
    since = time.monotonic()
    with file.open("wb", buffering=0) as opened:
        for _ in range(TRIED_BYTES // len(_CHUNK)):
            opened.write(_CHUNK)
        os.fsync(opened.fileno())
        with suppress(OSError):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return _rate(since)


def _read(file: Path) -> float:
    since = time.monotonic()
    with file.open("rb", buffering=0) as opened:
        while got := opened.read(len(_CHUNK)):
            if got != _CHUNK[: len(got)]:
                raise OSError("what was written is not what is read back")
    return _rate(since)


def _rate(since: float) -> float:
    return TRIED_BYTES / 1e6 / max(time.monotonic() - since, 1e-6)


def _await(gang: Gang, nodes: Sequence[str], limit_s: float) -> None:
    """Raises Unfit with the nodes of the ranks that are not there in time."""
    try:
        dist.monitored_barrier(gang.saving, timeout=timedelta(seconds=limit_s), wait_all_ranks=True)
    except RuntimeError as error:
        missing = re.search(r"[Rr]anks? ([\d, ]+) failed to pass", str(error))
        ranks = [int(rank) for rank in re.findall(r"\d+", missing[1])] if missing else []
        named = ", ".join(f"rank {rank} on {nodes[rank]}" for rank in ranks[:_MOST_NAMED] if rank < len(nodes))
        what = f"no sign of {named}" if named else "the ranks did not all answer"
        raise Unfit(f"preflight: {what} within {limit_s} s (failurePolicy.preflightTimeoutSeconds)") from error


def _summed(gang: Gang, nodes: Sequence[str], limit_s: float) -> float | None:
    """Megabytes per second of a sum over all devices, the time of the slowest; None for a gang of one. Raises Unfit."""
    if gang.world_size == 1:
        return None
    ones = torch.ones(TRIED_BYTES // 4, device=gang.device)
    dist.all_reduce(torch.ones(1, device=gang.device))  # connections are made at the first one
    since = time.monotonic()
    work = dist.all_reduce(ones, async_op=True)
    assert work is not None
    while not work.is_completed():
        if time.monotonic() - since > limit_s:
            where = ", ".join(sorted(set(nodes))[:_MOST_NAMED])
            raise Unfit(
                f"preflight: a sum of {TRIED_BYTES // 1_000_000} MB over {gang.world_size} devices on {where} was not done"
                f" within {limit_s} s (failurePolicy.preflightTimeoutSeconds): look at the network between them"
            )
        time.sleep(_LOOK_S)
    work.wait()
    if float(ones[0]) != gang.world_size or float(ones[-1]) != gang.world_size:
        raise Unfit(f"preflight: {gang.world_size} devices sum to {float(ones[0])} on {nodes[gang.rank]}")
    slowest = gang.most([time.monotonic() - since])[0]
    return TRIED_BYTES / 1e6 / max(slowest, 1e-6)
