"""Before a foreign trainer starts: the newest checkpoint that holds what its manifest says, under this attempt's name.

The trainer's output folder is fresh in every attempt, `<root>/<incarnation>/output`, so no framework ever finds what an
earlier one left torn there. The checkpoint to go on from is linked into it under the framework's own name. One that the
last attempt had finished, and died before its manifest was written, is looked for first: it may be an hour's work.
"""

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.checkpoint import resume
from deepseek_runtime.checkpoint.choice import choose, refuse_all, sibling
from deepseek_runtime.checkpoint.files import GONE_SUFFIX, entries, is_directory, remove
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import File, Manifest, Position
from deepseek_runtime.checkpoint.origin import Origin
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract, Invalid
from deepseek_runtime.foreign.layouts import Layout
from deepseek_runtime.reading import is_the_machines

OUTPUT_NAME = "output"
TAKEN_PREFIX = "_taken-"
"""What a folder is called from when its files are ours alone until it is gone; no framework looks for such a name."""
READERS = 8
"""Files that are hashed at a time: one thread reads about 1 GB/s, a shared volume gives several."""
LOOK_EVERY_S = 0.5
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True)
class Placed:
    """Where this attempt begins.

    Attributes:
        output: the trainer's output folder.
        step: that it goes on from; 0 for a beginning.
        resumed_from: the checkpoint of an earlier attempt, or of another training; None for a beginning.
        ancestors, leftovers: earlier attempts' checkpoints, as `checkpoint.retention` tells them apart.
    """

    output: Path
    step: int = 0
    resumed_from: Position | None = None
    ancestors: tuple[Manifest, ...] = ()
    leftovers: tuple[Manifest, ...] = ()


Adopt = Callable[[Placed, Path], Manifest | None]
"""Makes a checkpoint of this attempt from what lies in an earlier one's output folder; None where nothing is newer."""


def output_of(volume: Volume, incarnation: str) -> Path:
    """The folder in which an incarnation's trainer writes."""
    return volume.root / incarnation / OUTPUT_NAME


def place(contract: Contract, layout: Layout, volume: Volume, adopt: Adopt) -> Placed:
    """Prepares the output folder on rank 0 and writes the origin, which tells the other nodes that it is ready.

    `adopt` makes a checkpoint of this attempt from the newest whole folder in an earlier one's output, if it is newer than
    what was found. Raises Invalid, Damaged, or OSError where another attempt may read what this one could not.
    """
    choice = choose(contract, volume)
    source = volume if choice.training_uid is None else sibling(volume, choice.training_uid)
    found = _first_whole(choice.candidates, source, layout)
    if found is not None:
        _check_ranks(found, layout, contract)
    output = output_of(volume, contract.pod_uid)
    position = Position(found.incarnation, found.step, choice.training_uid) if found else None
    placed = Placed(output, found.step if found else 0, position, *choice.lineage(found))
    output.mkdir(parents=True, exist_ok=True)
    adopted = None
    if (last := _last_output(contract, volume)) is not None:
        _give_back(last / layout.place)
        adopted = adopt(placed, last)
    if adopted is not None:
        _put(layout, volume.step_directory(adopted.incarnation, adopted.step), output, adopted.step)
    elif found is not None:
        _put(layout, source.step_directory(found.incarnation, found.step), output, found.step)
    volume.write_origin(Origin(contract.attempt, contract.job_uid, contract.pod_uid, position))
    _clear(volume, contract)
    return placed if adopted is None else Placed(output, adopted.step, position, placed.ancestors, placed.leftovers)


def await_placed(contract: Contract, volume: Volume, limit_s: float, is_stopped: Callable[[], bool]) -> Path | None:
    """On every other node: the output folder, once rank 0 has prepared it; None when SIGTERM came first.

    Raises OSError after the limit: rank 0's pod has died, or the volume shows nothing of it here.
    """
    begun = time.monotonic()
    while not is_stopped():
        own = [o for o in volume.origins().values() if (o.attempt, o.job_uid) == (contract.attempt, contract.job_uid)]
        if own:
            # A Job may have replaced rank 0's pod: the later one's folder is the one that is written.
            latest = max(own, key=lambda o: (volume.root / o.incarnation / "origin.json").stat().st_mtime_ns)
            return output_of(volume, latest.incarnation)
        if time.monotonic() - begun > limit_s:
            raise OSError(f"rank 0 has not prepared its output folder on the checkpoint volume within {limit_s:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return None


def link_tree(source: Path, target: Path) -> None:
    """Gives every file of a folder a second name below `target`; copies it where the volume has no hard links."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in entries(source):
        if is_directory(entry):
            link_tree(entry, target / entry.name)
        else:
            link_file(entry, target / entry.name)


def link_file(source: Path, target: Path) -> None:
    """Gives one file a second name; copies it where the volume has no hard links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target, follow_symlinks=False)


def _put(layout: Layout, checkpoint: Path, output: Path, step: int) -> None:
    """Under the framework's own name for the step, with what it wants to find beside it."""
    place = output / layout.place
    folder = place / layout.folder(step)
    link_tree(checkpoint, folder)
    (folder / "manifest.json").unlink(missing_ok=True)  # ours, of the step as it lies on the volume
    layout.point(place, step)


def _first_whole(candidates: Iterable[Manifest], source: Volume, layout: Layout) -> Manifest | None:
    problems, is_readable = [], True
    for manifest in candidates:
        problem = _problem_of(manifest, source)
        if problem is None:
            why = layout.why_torn(
                source.step_directory(manifest.incarnation, manifest.step), manifest.step, manifest.world_size
            )
            problem = Damaged(f"step {manifest.step} is no checkpoint of {layout.name}: {why}") if why else None
        if problem is None:
            return manifest
        is_readable &= not is_the_machines(problem)
        problems.append(str(problem))
        print(f"launcher: passed over: {problem}", file=sys.stderr, flush=True)
    refuse_all(problems, is_readable=is_readable)
    return None


def _problem_of(manifest: Manifest, source: Volume) -> Exception | None:
    shares: list[tuple[File, ...]] = [manifest.files[n::READERS] for n in range(READERS)]
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda share: source.problem_of(manifest, share), shares)
        return next((problem for problem in found if problem is not None), None)


def _check_ranks(found: Manifest, layout: Layout, contract: Contract) -> None:
    ranks = contract.gang.world_size
    if found.world_size != ranks and layout.is_bound(file.path for file in found.files):
        raise Invalid(
            f"step {found.step} was saved by {found.world_size} processes, and {layout.name} puts DeepSpeed's parts together "
            f"with as many alone, not {ranks}: write nodes.count × accelerator.perNode = {found.world_size}, or begin a "
            "new training from an export"
        )


def _last_output(contract: Contract, volume: Volume) -> Path | None:
    """The output folder of the newest attempt that began; None where nothing of it may be gone on from."""
    if contract.resume == "Never":
        return None
    origins, manifests = volume.origins(), volume.checkpoints()
    for ancestor in reversed(contract.ancestry):
        incarnation = resume.incarnation_of(ancestor, origins, manifests)
        if incarnation is not None and incarnation in origins:
            output = output_of(volume, incarnation)
            return output if is_directory(output) else None
    return None


def _give_back(place: Path) -> None:
    """A folder that was being taken when its attempt died has its own name again."""
    for taken in entries(place):
        if taken.name.startswith(TAKEN_PREFIX) and not taken.name.endswith(GONE_SUFFIX):
            with suppress(OSError):  # the framework has saved the step again meanwhile
                taken.rename(taken.with_name(taken.name.removeprefix(TAKEN_PREFIX)))


def _clear(volume: Volume, contract: Contract) -> None:
    """Earlier attempts' output folders go: what of them counts has a manifest elsewhere, and a name of its own."""
    for incarnation in volume.past(contract.pod_uid, contract.ancestry) - {contract.pod_uid, ""}:
        remove(output_of(volume, incarnation))
