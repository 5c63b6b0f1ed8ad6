"""What ranks tell each other as objects, read by an allow-list.

torch's object collectives, and its checkpoints through them, send pickles: whoever could take a rank's place would have
code of theirs run in the others. torch has no setting for how they are read, only a name in a module of its own, which
is replaced here; tests hold that it is the one that is used.
"""

import builtins
import pickle
from collections.abc import Mapping
from enum import EnumMeta

import torch
from torch.distributed import distributed_c10d

_CHECKPOINT = "torch.distributed.checkpoint"
_NAMES: Mapping[str, tuple[str, ...]] = {
    "deepseek_runtime.checkpoint.choice": ("Choice",),
    "deepseek_runtime.checkpoint.manifest": ("File", "Manifest", "Position"),
    "deepseek_runtime.checkpoint.volume": ("Superseded",),
    "deepseek_runtime.trainer.identity": ("Identity", "Mark"),
    "deepseek_runtime.trainer.saver": ("Lineage", "_Kept"),
    f"{_CHECKPOINT}.api": ("CheckpointException",),
    f"{_CHECKPOINT}.filesystem": ("_StorageInfo", "_StoragePrefix"),
    f"{_CHECKPOINT}.metadata": (
        *("BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta"),
        *("TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING"),
    ),
    f"{_CHECKPOINT}.planner": ("SavePlan", "TensorWriteData", "WriteItem", "WriteItemType"),
    f"{_CHECKPOINT}.storage": ("WriteResult",),
    "pathlib": ("PosixPath",),
    "pathlib._local": ("PosixPath",),
    "torch": ("Size", *(name for name, kind in vars(torch).items() if isinstance(kind, torch.dtype))),
    "torch.serialization": ("_get_layout",),
    "traceback": ("FrameSummary", "StackSummary"),
    "builtins": tuple(
        name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
    ),
}
ALLOWED = frozenset((module, name) for module, names in _NAMES.items() for name in names)


class PlainUnpickler(pickle.Unpickler):
    """Makes values of the classes that ranks tell each other, and no others."""

    def find_class(self, module: str, name: str) -> object:
        """The class. Raises UnpicklingError for what no rank of ours sends."""
        if (module, name) == ("builtins", "getattr"):
            return _member
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"a rank sent {module}.{name}, which no rank of a training sends")
        return super().find_class(module, name)


def _member(kind: object, name: str) -> object:
    """A member of an enumeration of the list: Python before 3.11.4, Debian 12's among them, sends it as a `getattr`."""
    if isinstance(kind, EnumMeta) and (kind.__module__, kind.__name__) in ALLOWED:
        return kind[name]
    raise pickle.UnpicklingError(f"a rank sent {name!r} of {kind!r}, which no rank of a training sends")


def read_by_allow_list() -> None:
    """From now on, in this process."""
    assert hasattr(distributed_c10d, "_unpickler")
    distributed_c10d._unpickler = PlainUnpickler
