"""A checkpoint of this trainer on a volume, read back without executing anything that lies there.

Tensors are read by torch.load with weights_only, torch's own description of them by `metadata`. Whatever is not what this trainer writes is Damaged, with why.
"""

import io
import os
import random
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystem, FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import ReadItem

from deepseek_runtime.checkpoint.document import Unreadable, opened, read
from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.reading import CONTROL, is_the_machines, words
from deepseek_runtime.trainer import course
from deepseek_runtime.trainer.course import Course
from deepseek_runtime.trainer.metadata import LIMIT_BYTES, METADATA_NAME, read_metadata

DATA_NAME = "data.json"
ADAPTER_NAME = "adapter.json"
COURSE_NAME = "course.json"


def random_file(rank: int) -> str:
    return f"random-{rank:05d}.pt"


@dataclass(frozen=True)
class Held:
    """A checkpoint's files, of which only those that its manifest names are opened, and nothing in them is executed.

    Each rank reads on its own: a plan that torch lets all ranks make together travels between them as pickles.
    """

    directory: Path
    manifest: Manifest

    @staticmethod
    def on(volume: Volume, manifest: Manifest) -> "Held":
        """The checkpoint of that manifest, where a volume has it."""
        return Held(volume.step_directory(manifest.incarnation, manifest.step), manifest)

    @property
    def metadata(self) -> Metadata:
        """What torch wrote of the tensors. Raises Damaged."""
        sizes = {file.path: file.size for file in self.manifest.files}
        with self.reading(METADATA_NAME):
            return read_metadata(read(self._named(METADATA_NAME), LIMIT_BYTES), sizes)

    def fill(self, tensors: dict[str, Any]) -> None:
        """Reads into the given tensors, on this rank alone."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*assuming the intent is to load in a single process")
            dcp.load(tensors, storage_reader=_Reader(self), planner=_Planner(), no_dist=True)

    def identity(self) -> bytes | None:
        """The content of data.json; None where the checkpoint holds none. Raises Damaged."""
        return self._content(DATA_NAME)

    def adapter(self) -> bytes | None:
        """The content of adapter.json; None where the checkpoint is no adapter's. Raises Damaged."""
        return self._content(ADAPTER_NAME)

    def course(self) -> Course:
        """What the training had decided on its way, by its course.json. Raises Damaged."""
        content = self._content(COURSE_NAME)
        with self.reading(COURSE_NAME):
            return course.decode(content)

    def check(self, rank: int) -> None:
        """Raises Damaged where something that this rank will read can't be read, tensors excepted."""
        if rank == 0:
            _ = self.metadata
        self.identity()
        self.adapter()
        self.course()
        self._random_state(rank)

    def restore_random_state(self, rank: int, seed: int) -> bool:
        """Goes on where this rank's random sources were; a rank that did not exist then gets fresh ones and False."""
        saved = self._random_state(rank)
        if saved is None:
            torch.manual_seed(seed)
            random.seed(seed)
            return False
        with self.reading(random_file(rank)):
            torch.set_rng_state(saved["torch"])
            if saved["cuda"] is not None and torch.cuda.is_available():
                torch.cuda.set_rng_state(saved["cuda"])
            version, numbers, gauss = saved["python"]
            random.setstate((version, tuple(numbers), gauss))
        return True

    @contextmanager
    def reading(self, name: str = "") -> Iterator[None]:
        """Raises Damaged for whatever is raised inside because of what lies here, and is not the machine's fault."""
        try:
            yield
        except (Damaged, *CONTROL):
            raise
        except BaseException as error:
            # torch's CheckpointException is no Exception; it carries what was raised by rank.
            failures = getattr(error, "failures", None)
            cause = next(iter(failures.values()))[0] if failures else error
            if is_the_machines(cause):
                raise
            raise Damaged(f"{self.directory / name} can't be read: {words(cause)}") from error

    def _random_state(self, rank: int) -> dict[str, Any] | None:
        content = self._content(random_file(rank))
        if content is None:
            return None
        with self.reading(random_file(rank)):
            saved = torch.load(io.BytesIO(content), weights_only=True)
            if not isinstance(saved, dict) or not {"torch", "cuda", "python"} <= saved.keys():
                raise Unreadable("it holds no state of random sources")
            return saved

    def _content(self, name: str) -> bytes | None:
        if not self._is_named(name):
            return None
        with self.reading(name):
            return read(self._named(name))

    def _named(self, name: str) -> Path:
        """Raises Unreadable for a file that the manifest does not name: nobody has compared it with its hash."""
        if not self._is_named(name):
            raise Unreadable(f"its manifest names no {name}")
        return self.directory / name

    def _is_named(self, name: str) -> bool:
        return any(file.path == name for file in self.manifest.files)


class _RegularFiles(FileSystem):
    """torch's files, without waiting for a pipe and without following a link."""

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], mode: str) -> Generator[IO[bytes], None, None]:
        with opened(Path(path)) as stream:
            yield stream


class _Reader(FileSystemReader):
    """torch's reader of checkpoints without its `pickle.load`."""

    def __init__(self, held: Held) -> None:
        super().__init__(held.directory)
        self.fs = _RegularFiles()
        self._held = held

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        return self._held.metadata


class _Planner(DefaultLoadPlanner):
    """torch's planner of loads without its `torch.load` of whatever is no tensor."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        raise Unreadable(f"{read_item.dest_index.fqn} is no tensor")
