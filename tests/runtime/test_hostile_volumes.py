"""Whatever somebody else put on a volume: nothing of it is executed, nothing is waited for, and what is whole is used.

Each shape lies in the place of the newest checkpoint, with hashes that are right where there can be any: who writes to a
volume writes its manifests, too. An attempt then passes it over for the older one, or ends and says why.
"""

import hashlib
import io
import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, MetadataIndex

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.contract import Invalid
from tests.runtime.elder import elder_pickle
from tests.runtime.observed import Document
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

NEWEST, OLDER = 3, 2
METADATA, TENSORS, RANDOM, DATA = ".metadata", "__0_0.distcp", "random-00000.pt", "data.json"
MARKER = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"executed-{os.getpid()}"
ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
Shape = Callable[[Path], object]


class Evil:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(MARKER),)


class EvilState:
    """Asks for a code of the standard library by the state that it is given."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, (f"__import__('os').mkdir({str(MARKER)!r})",)


def manifest_of(place: Path) -> Document:
    value = json.loads((place / "manifest.json").read_text())
    assert isinstance(value, dict)
    return value


def told(place: Path, **fields: object) -> None:
    (place / "manifest.json").write_text(json.dumps({**manifest_of(place), **fields}))


def entry(name: str, content: bytes) -> Document:
    return {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def put(name: str, content: bytes) -> Shape:
    """A file of that content, under its right hash."""

    def shape(place: Path) -> None:
        (place / name).write_bytes(content)
        files = [one for one in manifest_of(place)["files"] if one["path"] != name]  # type: ignore[attr-defined]
        told(place, files=[*files, entry(name, content)])

    return shape


def instead(name: str, make: Callable[[Path], object], content: bytes | None = None) -> Shape:
    """Something else in the place of a file. Its size and hash are those that a look at it may give."""

    def shape(place: Path) -> None:
        (place / name).unlink()
        make(place / name)
        if content is not None and name != "manifest.json":
            files = [one for one in manifest_of(place)["files"] if one["path"] != name]  # type: ignore[attr-defined]
            told(place, files=[*files, entry(name, content)])

    return shape


def unnamed(name: str, make: Callable[[Path], object]) -> Shape:
    """The same, and no word of it in the manifest."""

    def shape(place: Path) -> None:
        (place / name).unlink()
        make(place / name)
        told(place, files=[one for one in manifest_of(place)["files"] if one["path"] != name])  # type: ignore[attr-defined]

    return shape


def field(**fields: object) -> Shape:
    return lambda place: told(place, **fields)


def text(content: str) -> Shape:
    return lambda place: (place / "manifest.json").write_text(content)


def file_named(name: str) -> Shape:
    return lambda place: told(place, files=[*manifest_of(place)["files"], entry(name, b"")])  # type: ignore[misc]


def changed(change: Callable[[Metadata], object]) -> Shape:
    """torch's metadata with something else in it."""

    def shape(place: Path) -> None:
        metadata = pickle.loads((place / METADATA).read_bytes())
        change(metadata)
        put(METADATA, pickle.dumps(metadata))(place)

    return shape


def tensor(made: object, *, described: bool = True) -> Shape:
    """A pickle in the place of a tensor, which torch's metadata says it is, or doesn't."""

    def shape(place: Path) -> None:
        stream = io.BytesIO()
        torch.save(made, stream)
        metadata = pickle.loads((place / METADATA).read_bytes())
        whole = (place / TENSORS).read_bytes()
        (index, *_) = (one for one in metadata.storage_data if one.fqn.startswith("model."))
        if not described:
            del metadata.storage_data[index]
            index = MetadataIndex(index.fqn)
            metadata.state_dict_metadata[index.fqn] = BytesStorageMetadata()
        metadata.storage_data[index] = _StorageInfo(TENSORS, len(whole), len(stream.getvalue()))
        put(TENSORS, whole + stream.getvalue())(place)
        put(METADATA, pickle.dumps(metadata))(place)

    return shape


def sliced(**fields: object) -> Shape:
    def change(metadata: Metadata) -> None:
        first = next(iter(metadata.storage_data))
        metadata.storage_data[first] = replace(metadata.storage_data[first], **fields)

    return changed(change)


def shared_chunks(metadata: Metadata) -> None:
    """A small file that describes 5,000,000 pieces."""
    tensors = [one for one in metadata.state_dict_metadata.values() if hasattr(one, "chunks")]
    chunks = tensors[0].chunks * 5_000
    for number in range(1_000):
        metadata.state_dict_metadata[f"more.{number}"] = replace(tensors[0], chunks=chunks)


def doubled() -> bytes:
    """A key of a dictionary whose hash takes 2^60 steps."""
    pair: object = "x"
    for _ in range(60):
        pair = (pair, pair)
    pickled = pickle.dumps(pair)
    return pickled[:2] + b"}" + pickled[2:-1] + b"Ns."


def as_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        made.bind(path.name)


def sparse(size: int) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        with path.open("wb") as stream:
            stream.truncate(size)

    return make


def linked_to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def many(name: str, count: int) -> Shape:
    """Folders beside the checkpoint, as a program gone wild leaves them."""

    def shape(place: Path) -> None:
        for number in range(count):
            (place.parent / name.format(number)).mkdir()
        shutil.rmtree(place)

    return shape


def in_folder(place: Path) -> None:
    """A file whose folder is a link to a device's."""
    (place / "sub").symlink_to("/dev")
    file_named("sub/null")(place)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": as_socket,
    "a folder": Path.mkdir,
    "a link to a device": linked_to("/dev/zero"),
    "a link in a ring": lambda path: path.symlink_to(path),
}

SHAPES: dict[str, Shape] = {
    # Pickles with the right hash, in torch's own description of the tensors.
    **{f"metadata that calls, protocol {one}": put(METADATA, pickle.dumps(Evil(), one)) for one in range(6)},
    "metadata that evaluates": put(METADATA, pickle.dumps(EvilState())),
    "metadata that calls in its planner's part": changed(lambda m: setattr(m, "planner_data", Evil())),
    "metadata that calls in its storage's part": changed(lambda m: setattr(m, "storage_meta", Evil())),
    "metadata that calls among its tensors": changed(lambda m: m.state_dict_metadata.update(more=Evil())),
    "metadata that calls as a key": changed(lambda m: m.storage_data.update({"more": Evil()})),
    "metadata of operating system's name": put(METADATA, b"cos\nsystem\n(S'true'\ntR."),
    "metadata that makes an instance": put(METADATA, b"(S'true'\nios\nsystem\n."),
    "metadata with a persistent name": put(METADATA, b"Pname\n."),
    "metadata with a dotted name": put(METADATA, pickle.dumps(("torch", "os.system"))[:-1] + b"\x93."),
    "metadata that changes a class": put(METADATA, b"\x80\x04ctorch\nSize\n}b."),
    "metadata with a key of endless hash": put(METADATA, doubled()),
    "metadata with a great place in memory": put(METADATA, b"\x80\x02Nr\xff\xff\xff\x7f."),
    "metadata nested deep": put(METADATA, b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "metadata of another kind": put(METADATA, pickle.dumps({"state_dict_metadata": {}})),
    "metadata that is text": put(METADATA, b"not a pickle"),
    "metadata that is empty": put(METADATA, b""),
    "metadata that shares its pieces": changed(shared_chunks),
    "metadata out of its folder": sliced(relative_path="../step-00000002/__0_0.distcp"),
    "metadata of an absolute file": sliced(relative_path="/etc/passwd"),
    "metadata behind a file's end": sliced(offset=1 << 40),
    "metadata before a file's beginning": sliced(offset=-1),
    "metadata of endless length": sliced(length=10**30),
    "metadata with a foreign form": sliced(transform_descriptors=["zstd"]),
    "metadata that lacks a tensor": changed(lambda m: m.state_dict_metadata.pop(next(iter(m.state_dict_metadata)))),
    # And in what it leads to.
    "tensor that calls": tensor(Evil()),
    "tensor that calls, described as a value": tensor(Evil(), described=False),
    "tensor that is text": tensor("weights"),
    "tensor of another size": tensor(torch.ones(2, 3, 5)),
    "tensor that claims to be vast": tensor(torch.ones(1).expand(1 << 40)),
    "random state that calls": put(RANDOM, pickle.dumps(Evil())),
    "random state that is another's": put(RANDOM, b"PK\x03\x04"),
    "data nested deep": put(DATA, b"[" * 100_000),
    "data that is endless": put(DATA, b'{"fingerprint": "", "seed": 1, "globalBatchSize": 4, "maxSteps": -1}'),
    # What is no file.
    **{
        f"{name} that is {what}": instead(name, make, b"")
        for name in ("manifest.json", METADATA, TENSORS, RANDOM, DATA)
        for what, make in NO_FILES.items()
    },
    **{
        f"{name} that is a pipe, unnamed": unnamed(name, os.mkfifo) for name in (METADATA, TENSORS, RANDOM, DATA)
    },
    "metadata that is a link to the older one's": instead(METADATA, linked_to("../step-00000002/.metadata"), b""),
    "manifest that is a link out": instead("manifest.json", linked_to("/etc/hostname")),
    "manifest of a sparse gigabyte": instead("manifest.json", sparse(1 << 30)),
    "metadata of a sparse gigabyte": instead(METADATA, sparse(1 << 30)),
    "file in a folder that is a link": in_folder,
    # Manifests.
    "manifest nested deep": text("[" * 100_000 + "]" * 100_000),
    "manifest of endless objects": text('{"a":' * 100_000),
    "manifest in another encoding": lambda place: (place / "manifest.json").write_bytes(b"\xff\xfe{\x00}\x00"),
    "manifest with a huge number": lambda place: text((place / "manifest.json").read_text().replace('"step": 3', '"step": ' + "9" * 5000))(place),
    "manifest that says a thing twice": lambda place: text('{"step": 2, ' + (place / "manifest.json").read_text()[1:])(place),
    "manifest that is a number": text("3"),
    "manifest of another version": field(formatVersion=10**30),
    "manifest of step NaN": field(step=float("nan")),
    "manifest of a step without end": field(step=float("inf")),
    "manifest of a negative step": field(step=-3),
    "manifest of true ranks": field(worldSize=[2]),
    "manifest of files that are none": field(files="all"),
    "manifest of a file that is none": field(files=[None]),
    "manifest of negative sizes": field(files=[{"path": "a", "size": -1, "sha256": ""}]),
    "manifest of a parent that is none": field(parent=7),
    "manifest of metrics that are none": field(metrics={"loss": "low"}),
    "manifest of another incarnation": field(incarnation="../first"),
    **{
        f"manifest of a file named {name[:20]!r}": file_named(name)
        for name in ("../first", "/etc/passwd", "a/../../b", "nul\0", "line\nline", "\ud800", "", ".", "a//b", "x" * 5000)
    },
    "5,000 folders of steps": many("step-1{:08d}", 5_000),
}  # fmt: skip

# What stays is a checkpoint as another trainer may have written it, without the name of its data or random states.
WHOLE = {
    *(
        "data nested deep",
        "data that is endless",
        f"{DATA} that is a pipe, unnamed",
        f"{RANDOM} that is a pipe, unnamed",
    ),
}


@pytest.fixture(scope="module")
def written(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume with steps 2 and 3."""
    volume = tmp_path_factory.mktemp("written")
    steps = {"hyperparameters.maxSteps": NEWEST}
    workplace.attempt(volume, steps, CHECKPOINT_EVERY_STEPS="1", CHECKPOINT_KEEP_LAST="2", CHECKPOINT_KEEP_BEST="0")
    return volume


def go_on(workplace: Workplace, volume: Path) -> tuple[object, object]:
    """Where an attempt after the first one begins; it is asked to stop at once."""
    steps = {"hyperparameters.maxSteps": NEWEST + 1}
    told: dict[str, Any] = {"POD_UID": "second", "ATTEMPT": "2", "JOB_UID": "job-2", "RESUME_ANCESTRY": ANCESTRY}
    return workplace.attempt(volume, steps, wants_stop=lambda _: True, **told).began


@pytest.fixture(autouse=True)
def _unmarked() -> None:
    if MARKER.exists():
        MARKER.rmdir()


@pytest.mark.parametrize("name", SHAPES)
def test_hostile_checkpoint_is_passed_over_or_refused_with_words(
    workplace: Workplace, written: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(written, tmp_path / "volume")
    place = tmp_path / "volume" / "training-uid" / "first" / f"step-{NEWEST:08d}"
    SHAPES[name](place)
    problem = None
    began: tuple[object, object] = (OLDER, "first")
    try:
        began = go_on(workplace, tmp_path / "volume")
    except (Damaged, Invalid) as error:
        problem = str(error)
    assert not MARKER.exists()
    assert began == (NEWEST if name in WHOLE else OLDER, "first")
    assert problem is None or f"step-{NEWEST:08d}" in problem


def test_volume_is_gone_on_from_where_nobody_was(workplace: Workplace, written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "volume")
    assert go_on(workplace, tmp_path / "volume") == (NEWEST, "first")


def test_checkpoint_that_an_earlier_python_wrote_is_gone_on_from(
    workplace: Workplace, written: Path, tmp_path: Path
) -> None:
    shutil.copytree(written, tmp_path / "volume")
    place = tmp_path / "volume" / "training-uid" / "first" / f"step-{NEWEST:08d}"
    content = elder_pickle(pickle.loads((place / METADATA).read_bytes()))
    assert b"getattr" in content
    put(METADATA, content)(place)
    assert go_on(workplace, tmp_path / "volume") == (NEWEST, "first")


def test_another_trainings_checkpoint_is_trusted_no_more_than_an_own_one(
    workplace: Workplace, written: Path, tmp_path: Path
) -> None:
    shutil.copytree(written, tmp_path / "volume")
    for step, kind in ((NEWEST, METADATA), (OLDER, RANDOM)):
        put(kind, pickle.dumps(Evil()))(tmp_path / "volume" / "training-uid" / "first" / f"step-{step:08d}")
    with pytest.raises(Damaged, match=r"none of 2 checkpoints is whole: .*names 'posix\.mkdir'.*; .*random-00000.pt"):
        workplace.attempt(
            tmp_path / "volume",
            CHECKPOINT_ROOT=str(tmp_path / "volume" / "other"),
            TRAINING_UID="other",
            RESUME_FROM='{"trainingUID": "training-uid", "checkpoint": "Latest"}',
        )
    assert not MARKER.exists()


@pytest.mark.parametrize(
    "name", ["manifest.json that is a pipe", "manifest nested deep", "manifest of another version"]
)
def test_training_whose_checkpoints_nobody_can_read_does_not_begin_anew_in_silence(
    workplace: Workplace, written: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(written, tmp_path / "volume")
    for place in (tmp_path / "volume" / "training-uid" / "first").glob("step-*"):
        SHAPES[name](place)
    with pytest.raises(Damaged, match=r"nothing in .*step-00000002, .*step-00000003 can be read"):
        go_on(workplace, tmp_path / "volume")
