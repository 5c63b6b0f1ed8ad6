"""The `.metadata` file of torch.distributed.checkpoint, read without unpickling it.

torch writes it as a pickle and reads it with `pickle.load`. A pickle is a program that may call whatever it names, and
who can write to a volume can write its hash into a manifest as well. So it is only described (see `pickled`), and torch's
values are built from that here. Nothing that isn't expected in such a file is taken, and no file is asked for but those
of the manifest.
"""

from collections.abc import Mapping

import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    StorageMeta,
    TensorProperties,
    TensorStorageMetadata,
)

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.trainer.pickled import Made, Name, Pairs, described

METADATA_NAME = ".metadata"
# About 100 bytes per tensor and rank: room for a million of them.
LIMIT_BYTES = 256 << 20

_CHECKPOINT = "torch.distributed.checkpoint.metadata."
_INDEX, _SLICE = f"{_CHECKPOINT}MetadataIndex", "torch.distributed.checkpoint.filesystem._StorageInfo"
_TENSOR, _BYTES = f"{_CHECKPOINT}TensorStorageMetadata", f"{_CHECKPOINT}BytesStorageMetadata"
_CHUNK, _PROPERTIES, _WHOLE = (
    f"{_CHECKPOINT}{name}" for name in ("ChunkStorageMetadata", "TensorProperties", "Metadata")
)
_SIZE = "torch.Size"
_KINDS = {f"torch.{name}": kind for name, kind in vars(torch).items() if isinstance(kind, torch.dtype)}
# What torch writes and nothing here needs: where it was saved, how a tensor lay in memory. The latter is a member of an
# enumeration, for which Python before 3.11.4, Debian 12's among them, writes a call of `getattr`. Nothing is called here.
_UNUSED = frozenset(
    {
        *(f"{_CHECKPOINT}StorageMeta", f"{_CHECKPOINT}_MEM_FORMAT_ENCODING", "torch.serialization._get_layout"),
        *("pathlib.PosixPath", "pathlib._local.PosixPath", "builtins.getattr"),
    }
)
ALLOWED = frozenset({_INDEX, _SLICE, _TENSOR, _BYTES, _CHUNK, _PROPERTIES, _WHOLE, _SIZE, *_KINDS, *_UNUSED})
# What many objects may share is small, or a small file would describe endless work. torch has no more dimensions.
_DIMENSIONS, _FIELDS = 64, 16


def read_metadata(content: bytes, sizes: Mapping[str, int]) -> Metadata:
    """torch's description of a checkpoint whose files have these sizes in bytes, by name. Raises Unreadable."""
    try:
        return _metadata(described(content, ALLOWED), sizes, len(content))
    except Unreadable:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Unreadable(f"it is no metadata of a checkpoint ({type(error).__name__}: {str(error)[:200]})") from None


def _metadata(value: object, sizes: Mapping[str, int], limit: int) -> Metadata:
    fields = _fields(value, _WHOLE)
    built = 0
    tensors: dict[str, TensorStorageMetadata | BytesStorageMetadata] = {}
    for key, entry in _pairs(fields["state_dict_metadata"]):
        tensors[_text(key)] = made = _entry(entry, limit - built)
        built += len(made.chunks) if isinstance(made, TensorStorageMetadata) else 0
    stored = {_index(key): _slice(entry, sizes) for key, entry in _pairs(fields["storage_data"])}
    version = fields.get("version")
    return Metadata(tensors, None, stored, StorageMeta(), version if isinstance(version, str) else None)


def _entry(value: object, limit: int) -> TensorStorageMetadata | BytesStorageMetadata:
    if isinstance(value, Made) and value.name == _BYTES:
        return BytesStorageMetadata()
    fields = _fields(value, _TENSOR)
    chunks = fields["chunks"]
    # Each chunk takes more than a byte: one list that many tensors share would be a bomb.
    if type(chunks) is not list or len(chunks) > limit:
        raise Unreadable("a tensor's chunks are no list of its own")
    return TensorStorageMetadata(
        TensorProperties(_kind(fields["properties"])), _size(fields["size"]), [_chunk(one) for one in chunks]
    )


def _kind(value: object) -> torch.dtype:
    match value:
        case Made(name=name, state=(Name(text=kind), *_)) if name == _PROPERTIES:
            return _KINDS[kind]
    raise Unreadable("a tensor has no type")


def _chunk(value: object) -> ChunkStorageMetadata:
    fields = _fields(value, _CHUNK)
    return ChunkStorageMetadata(_size(fields["offsets"]), _size(fields["sizes"]))


def _size(value: object) -> torch.Size:
    match value:
        case Made(name=name, arguments=(tuple() as numbers,)) if name == _SIZE and len(numbers) <= _DIMENSIONS:
            return torch.Size([_whole(number) for number in numbers])
    raise Unreadable("a tensor's size is none")


def _index(value: object) -> MetadataIndex:
    fields = _fields(value, _INDEX)
    offset, place = fields.get("offset"), fields.get("index")
    return MetadataIndex(
        _text(fields["fqn"]), None if offset is None else _size(offset), None if place is None else _whole(place)
    )


def _slice(value: object, sizes: Mapping[str, int]) -> _StorageInfo:
    fields = _fields(value, _SLICE)
    name, offset, length = _text(fields["relative_path"]), _whole(fields["offset"]), _whole(fields["length"])
    if name not in sizes:
        raise Unreadable(f"it names the file {name[:200]!r}, which the manifest does not")
    if offset + length > sizes[name]:
        raise Unreadable(f"it asks for bytes behind the end of {name}")
    if fields.get("transform_descriptors"):
        raise Unreadable("its files are written in a form that is not read here")
    return _StorageInfo(name, offset, length)


def _fields(value: object, name: str) -> dict[str, object]:
    """The attributes of an object of that class."""
    if not isinstance(value, Made) or value.name != name or len(_pairs(value.state)) > _FIELDS:
        raise Unreadable(f"there is no {name.rpartition('.')[2]} where one belongs")
    return {_text(key): field for key, field in _pairs(value.state)}


def _pairs(value: object) -> Pairs:
    if not isinstance(value, Pairs):
        raise Unreadable("there is no dictionary where one belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable("there is no text where one belongs")
    return value


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise Unreadable("there is no number of at least 0 where one belongs")
    return value
