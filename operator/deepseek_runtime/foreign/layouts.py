"""What each trainer writes: the folder of a step, when it is whole, how the next attempt finds it.

Sources: transformers 5.6 and 5.19 (`Trainer._save_checkpoint`, `trainer_jit_checkpoint`), torchtitan 0.3
(`components/checkpoint.py`), Megatron-Bridge 0.6 (`training/checkpointing.py`), ms-swift 4.6 (`swift/megatron/trainers`),
DeepSpeed 0.19 (`runtime/engine.py`). Only the first was run here.
"""

import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.checkpoint.files import entries, is_directory, is_there, write_whole
from deepseek_runtime.foreign import whole
from deepseek_runtime.foreign.whole import Torn

TRACKER = "latest_checkpointed_iteration.txt"
TRAIN_STATE = "train_state.pt"
INCOMPLETE = "checkpoint-is-incomplete.txt"
"""transformers keeps it in a checkpoint while it saves after a SIGTERM."""

Signature = Mapping[str, tuple[int, int, int]]
"""Every file of a folder with size, time of change and inode: the same twice means that nobody writes there."""


@dataclass(frozen=True)
class Told:
    """What a checkpoint says of its training; None is what it does not say. `loss` may be NaN."""

    max_steps: int | None = None
    loss: float | None = None
    eval_loss: float | None = None

    @property
    def is_finite(self) -> bool:
        """False for a model that has diverged: nothing goes on from it."""
        return all(value is None or math.isfinite(value) for value in (self.loss, self.eval_loss))


@dataclass(frozen=True)
class Layout:
    """One trainer's folders.

    Attributes:
        name: the adapter's, as the launcher is told it.
        place: where checkpoints lie below the trainer's output folder; empty for the folder itself.
        folder: name of a step's folder.
        check: raises Torn for a folder (of a step, written by so many ranks) of which something is missing.
        announced: raises Torn while the trainer has not said, beside its folders, that a step is saved.
        point: what the trainer must find beside the folder of the step that it goes on from.
        told: what the folder says of the training.
        log: the file in the output folder to which the trainer writes its steps; None: it has none.
        is_bound: whether a checkpoint with files of these names can be gone on from by as many ranks alone.
        saves_twice: whether the trainer may save a step again in the folder that it has saved it in.
    """

    name: str
    folder: Callable[[int], str]
    check: Callable[[Path, int, int], None]
    announced: Callable[[Path, int], None] = lambda place, step: None
    place: str = ""
    point: Callable[[Path, int], None] = lambda place, step: None
    told: Callable[[Path, int], Told] = lambda folder, step: Told()
    log: str | None = None
    is_bound: Callable[[Iterable[str]], bool] = lambda names: False
    saves_twice: bool = False

    def steps(self, output: Path) -> list[tuple[int, Path]]:
        """Folders of steps, whole or not, newest first."""
        found = []
        for folder in entries(output / self.place):
            numbers = re.findall(r"\d+", folder.name)
            step = int(numbers[-1]) if numbers else None
            if step is not None and folder.name == self.folder(step) and is_directory(folder):
                found.append((step, folder))
        return sorted(found, reverse=True)

    def why_torn(self, folder: Path, step: int, ranks: int) -> str | None:
        """What keeps a folder from being a checkpoint of `ranks` processes; None for a whole one."""
        try:
            self.check(folder, step, ranks)
        except Torn as error:
            return str(error)
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return None

    def why_unannounced(self, output: Path, step: int) -> str | None:
        """Why the trainer may still be at work on a step; None where it has said that it is not."""
        try:
            self.announced(output / self.place, step)
        except Torn as error:
            return str(error)
        return None


def signature(folder: Path) -> Signature | None:
    """Of a folder as it lies there now; None where it holds what is no regular file, or is being taken away."""
    found: dict[str, tuple[int, int, int]] = {}
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            for name in (*folders, *names):
                seen = os.lstat(os.path.join(place, name))
                if stat.S_ISREG(seen.st_mode):
                    relative = os.path.relpath(os.path.join(place, name), folder)
                    found[relative] = (seen.st_size, seen.st_mtime_ns, seen.st_ino)
                elif not stat.S_ISDIR(seen.st_mode):
                    return None
    except OSError:
        return None
    return found


def _raise(error: OSError) -> None:
    raise error


def _transformers(folder: Path, step: int, ranks: int) -> None:
    """Rank 0 writes trainer_state.json last, without waiting for the others: their random states must be there too."""
    if is_there(folder / INCOMPLETE):
        raise Torn(f"{INCOMPLETE} is there: the save after a SIGTERM did not end")
    state = whole.document(folder / "trainer_state.json")
    if state.get("global_step") != step:
        raise Torn(f"trainer_state.json is of step {state.get('global_step')!r}, not {step}")
    names = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
    for name in names:
        whole.archive(folder / name)
    whole.archive(folder / "scheduler.pt")
    _weights(folder)
    _optimizer(folder, step, ranks)


def _weights(folder: Path) -> None:
    found = sorted(folder.glob("*.safetensors"))
    for file in found:
        whole.weights(file)
    pickled = sorted([*folder.glob("pytorch_model*.bin"), *folder.glob("adapter_model.bin")])
    for file in pickled:
        whole.archive(file)
    indices = sorted(folder.glob("*.index.json"))
    if any("-of-" in file.name for file in (*found, *pickled)) and not indices:
        raise Torn("the index of the weights' parts is missing")
    for index in indices:
        named = whole.document(index).get("weight_map")
        wanted = set(named.values()) if isinstance(named, dict) else set()
        if missing := sorted(str(name) for name in wanted if not is_there(folder / str(name))):
            raise Torn(f"{missing[0]} is missing, which {index.name} names")
    if not found and not pickled:
        raise Torn("there are no weights")


def _optimizer(folder: Path, step: int, ranks: int) -> None:
    """transformers' own file, or DeepSpeed's folder."""
    if is_directory(folder / f"global_step{step}"):
        _deepspeed(folder / f"global_step{step}", step, ranks)
        if whole.number(folder / "latest") != step:
            raise Torn(f"latest does not name global_step{step}")
    else:
        whole.archive(folder / "optimizer.pt")


def _transformers_told(folder: Path, step: int) -> Told:
    state = whole.document(folder / "trainer_state.json")
    history = state.get("log_history")
    lines = [line for line in history if isinstance(line, dict)] if isinstance(history, list) else []
    losses = [line["loss"] for line in lines if isinstance(line.get("loss"), int | float)]
    measured = [line["eval_loss"] for line in lines if line.get("step") == step and "eval_loss" in line]
    wanted = state.get("max_steps")
    return Told(
        max_steps=wanted if isinstance(wanted, int) and wanted > 0 else None,
        loss=float(losses[-1]) if losses else None,
        eval_loss=float(measured[-1]) if measured and isinstance(measured[-1], int | float) else None,
    )


def _deepspeed_announced(place: Path, step: int) -> None:
    """`latest` is written when every rank has saved; a later one's name means that this one was whole before."""
    _reached(whole.number(place / "latest"), step, "latest")


def _reached(named: int | None, step: int, what: str) -> None:
    if named is None or named < step:
        raise Torn(f"{what} does not name step {step} yet")


def _deepspeed(folder: Path, step: int, ranks: int) -> None:
    files = sorted(folder.glob("*.pt"))
    if not any(file.name.endswith("model_states.pt") for file in files):
        raise Torn(f"{folder.name} has no *model_states.pt")
    shards = [file for file in files if file.name.endswith("optim_states.pt")]
    if shards and len(shards) != ranks:
        raise Torn(f"{folder.name} has {len(shards)} optimizer states of {ranks} ranks")
    for file in files:
        whole.archive(file)


def _torchtitan(folder: Path, step: int, ranks: int) -> None:
    whole.distributed(folder)


def _megatron_announced(place: Path, step: int) -> None:
    """The tracker is written by what finishes a save, asynchronous ones too."""
    _reached(whole.number(place / TRACKER), step, TRACKER)


def _megatron(folder: Path, step: int, ranks: int) -> None:
    whole.distributed(folder)
    whole.document(folder / "metadata.json")
    whole.archive(folder / "common.pt")
    whole.archive(folder / TRAIN_STATE)


def _swift_megatron_announced(place: Path, step: int) -> None:
    """A tracker inside is there before an asynchronous save has ended; the link beside the folders comes after it."""
    _reached(_step_of_link(place / "last"), step, "the link last")


def _swift_megatron(folder: Path, step: int, ranks: int) -> None:
    if whole.number(folder / TRACKER) != step:
        raise Torn(f"{TRACKER} does not name step {step}")
    inside = folder / _iteration(step)
    whole.distributed(inside)
    whole.archive(inside / "common.pt")


def _step_of_link(link: Path) -> int | None:
    """The step that a link to a folder names; the link is not followed."""
    try:
        found = re.search(r"(\d+)/?$", os.readlink(link))
    except OSError:
        return None
    return int(found[1]) if found else None


def _is_divided(names: Iterable[str]) -> bool:
    """DeepSpeed's optimizer states are cut by rank, and are put together by as many."""
    return any(name.endswith("optim_states.pt") for name in names)


def _iteration(step: int) -> str:
    return f"iter_{step:07d}"


def _point_megatron(place: Path, step: int) -> None:
    """Megatron-Bridge reads how far it was from a copy of the file that lies in the folder."""
    source, target = place / _iteration(step) / TRAIN_STATE, place / "latest_train_state.pt"
    target.write_bytes(source.read_bytes())
    write_whole(place / TRACKER, str(step))


def _point_swift_megatron(place: Path, step: int) -> None:
    os.symlink(f"checkpoint-{step}", place / "last")


def _point_deepspeed(place: Path, step: int) -> None:
    write_whole(place / "latest", f"global_step{step}")


def _hugging_face(name: str, log: str) -> Layout:
    return Layout(
        name,
        folder=lambda step: f"checkpoint-{step}",
        check=_transformers,
        told=_transformers_told,
        log=log,
        is_bound=_is_divided,
        saves_twice=True,
    )


LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        _hugging_face("llama-factory", "trainer_log.jsonl"),
        _hugging_face("ms-swift", "logging.jsonl"),
        Layout(
            "ms-swift-megatron",
            folder=lambda step: f"checkpoint-{step}",
            check=_swift_megatron,
            announced=_swift_megatron_announced,
            point=_point_swift_megatron,
            log="logging.jsonl",
        ),
        Layout("torchtitan", place="checkpoint", folder=lambda step: f"step-{step}", check=_torchtitan),
        Layout(
            "megatron-bridge",
            folder=_iteration,
            check=_megatron,
            announced=_megatron_announced,
            point=_point_megatron,
        ),
        Layout(
            "deepspeed",
            folder=lambda step: f"global_step{step}",
            check=_deepspeed,
            announced=_deepspeed_announced,
            point=_point_deepspeed,
            is_bound=_is_divided,
        ),
    )
}
"""Every layout by the name of its adapter."""
