"""A copy of the state in host memory, made beside the passes of the next step.

Parameters, moments and whatever else a checkpoint holds change in `Learner`'s move alone, after forward and backward: from
a save's beginning until then they can be read at leisure (CheckFreq, FAST 2021, section 4.1). Whoever moves them waits for
the copy first. Its memory is used again by the next save: fresh memory costs more than what is written into it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch.distributed.tensor import DTensor

_Path = tuple[object, ...]


@dataclass
class Taken:
    """One copy: `state` is as it was, once `done` is. `waited_s` are seconds in which a step was held up for it."""

    state: dict[str, object]
    done: "Future[None]"
    waited_s: float = 0.0


@dataclass
class Snapshot:
    """At most one copy is being made, and the one before is not needed any more when the next one begins."""

    _held: dict[_Path, torch.Tensor] = field(default_factory=dict)
    _last: Taken | None = None

    def take(self, state: Mapping[str, object], beside: Executor) -> Taken:
        """Begins to copy the tensors in nested dictionaries and lists; all other values are kept as they are."""
        self.wait()
        laid_out = _LaidOut(self._held)
        copied = {name: laid_out.value((name,), value) for name, value in state.items()}
        self._held = laid_out.hosts
        self._last = Taken(copied, beside.submit(_copying(laid_out.pairs)))
        return self._last

    def wait(self) -> None:
        """Returns when the state may change. Raises what copying it failed with."""
        taken, self._last = self._last, None
        if taken is None:
            return
        called = time.monotonic()
        taken.done.result()
        taken.waited_s = time.monotonic() - called

    def forget(self) -> None:
        """Gives the memory back: no save follows soon."""
        self.wait()
        self._held = {}


class _LaidOut:
    """Where each tensor goes: into what is held of the save before, as far as it fits."""

    def __init__(self, held: dict[_Path, torch.Tensor]) -> None:
        self.hosts: dict[_Path, torch.Tensor] = {}
        self.pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._held = held

    def value(self, path: _Path, value: object) -> object:
        match value:
            case torch.Tensor():
                return self._tensor(path, value.detach())
            case dict():
                return {name: self.value((*path, name), one) for name, one in value.items()}
            case list():
                return [self.value((*path, number), one) for number, one in enumerate(value)]
            case _:
                return value

    def _tensor(self, path: _Path, tensor: torch.Tensor) -> torch.Tensor:
        host = self._held.get(path)
        if host is None or not _is_alike(host, tensor):
            # Not pinned: torch would take up to twice as much, a power of two, and never give it back. A device copies more
            # slowly into it, and still beside the next passes.
            host = torch.empty_like(tensor, device="cpu")
        self.hosts[path] = host
        self.pairs.append((_local(host), _local(tensor)))
        return host


def _is_alike(host: torch.Tensor, tensor: torch.Tensor) -> bool:
    where = [(one.device_mesh, one.placements) if isinstance(one, DTensor) else None for one in (host, tensor)]
    return host.shape == tensor.shape and host.dtype == tensor.dtype and where[0] == where[1]


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _copying(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Callable[[], None]:
    """What copies each of the second tensors into the first, on another thread than this."""
    stream = torch.cuda.Stream() if any(source.is_cuda for _, source in pairs) else None
    if stream is not None:
        # What has been asked of the device until now comes before the copy; the next step's passes beside it.
        stream.wait_stream(torch.cuda.current_stream())

    def copy() -> None:
        with torch.no_grad(), torch.cuda.stream(stream) if stream is not None else nullcontext():
            for host, source in pairs:
                host.copy_(source, non_blocking=True)
        if stream is not None:
            stream.synchronize()

    return copy
