"""Images as the OCI image specification writes them: a configuration, a manifest, an archive of blobs.

Layers are plain tars: their diff id is their digest, so nothing is compressed only to be decompressed a moment later.
An archive leaves out the layers that the receiving store holds already.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Layer:
    """A tar of files. `digest` is `sha256:<hex>` of the tar, `size` its bytes."""

    tar: Path
    digest: str
    size: int


@dataclass(frozen=True)
class Image:
    """Layers from the bottom up, and how a container of them starts."""

    name: str
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"

    def config(self) -> bytes:
        """The image configuration; without a creation time, so that equal content is an equal image."""
        started = {
            "Entrypoint": list(self.entrypoint) or None,
            "User": self.user,
            "Env": [f"{name}={value}" for name, value in sorted(self.env.items())],
            "WorkingDir": "/",
        }
        value = {
            "architecture": self.architecture,
            "os": "linux",
            "config": {name: setting for name, setting in started.items() if setting},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
        }
        return _json(value)

    def manifest(self) -> bytes:
        """The image manifest, which names configuration and layers by digest."""
        value = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(CONFIG_TYPE, self.config()),
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in self.layers],
        }
        return _json(value)

    def index(self) -> bytes:
        """The index of an archive with this one image, under the name that a pod uses."""
        names = {"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.name}
        entry = {**_descriptor(MANIFEST_TYPE, self.manifest()), "annotations": names}
        return _json({"schemaVersion": 2, "manifests": [entry]})


def write_archive(image: Image, absent: Iterable[Layer], output: Path) -> None:
    """Write an OCI archive that carries only the layers which the receiver lacks."""
    with tarfile.open(output, "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", image.index())
        for content in (image.manifest(), image.config()):
            _add(archive, _blob(digest_of(content)), content)
        for layer in absent:
            archive.add(layer.tar, _blob(layer.digest))


def write_layer(entries: Iterable[tuple[str, Path]], tar: Path) -> Layer:
    """Write files, folders and links as (path in the image, path here): owned by root, without times."""
    unfinished = tar.with_name(f".{tar.name}")
    with unfinished.open("wb") as file:
        hashing = _Hashing(file)
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for name, path in entries:
                _add_path(archive, name, path)
    unfinished.replace(tar)
    return Layer(tar, f"sha256:{hashing.hash.hexdigest()}", tar.stat().st_size)


def files_below(folder: Path, destination: str, skip: frozenset[str] = frozenset()) -> list[tuple[str, Path]]:
    """Every entry below a folder, sorted, parents first; names in `skip` are left out with all they hold."""
    entries = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not skip.intersection(relative.parts):
            entries.append((f"{destination}/{relative}", path))
    return entries


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class _Hashing(io.RawIOBase):
    """Hashes what passes through: a layer of gigabytes is read only once."""

    def __init__(self, file: io.BufferedWriter) -> None:
        super().__init__()
        self._file = file
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.hash.update(data)
        return self._file.write(data)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _add_path(archive: tarfile.TarFile, name: str, path: Path) -> None:
    info = archive.gettarinfo(path, name.lstrip("/"))
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = 0
    # Whatever umask the builder had, a container's user can read it.
    info.mode = (info.mode | 0o444) & 0o755
    if info.isdir() or info.mode & 0o100:
        info.mode |= 0o555
    if info.islnk():
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
    if info.isreg():
        with path.open("rb") as file:
            archive.addfile(info, file)
    else:
        archive.addfile(info)


def _descriptor(media_type: str, content: bytes) -> dict[str, str | int]:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _json(value: object) -> bytes:
    return dumps(value, sort_keys=True, separators=(",", ":")).encode()
