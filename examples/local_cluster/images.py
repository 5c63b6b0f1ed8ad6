"""The images of the repository, built without a container engine and loaded without a registry."""

import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from examples.local_cluster import containers, layers, oci
from examples.local_cluster.home import Home
from examples.local_cluster.oci import Image, Layer
from examples.local_cluster.progress import say, step

REGISTRY = "deepseek-operator.io"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


def pause() -> Image:
    return _image("pause", (layers.pause(),), ("/pause",), env=False)


def operator() -> Image:
    """The controller; its arguments come from the Deployment."""
    own = (layers.base(), layers.dependencies("operator"), layers.source("deepseek_operator"))
    return _image("operator", own, ("python3", "-m", "deepseek_operator"))


def gate() -> Image:
    """The authorizer of a gateway, on the layers that the operator's image has as well."""
    own = (layers.base(), layers.dependencies("operator"), layers.source("deepseek_gate"))
    return _image("gate", own, ("python3", "-m", "deepseek_gate"))


def runtime() -> Image:
    """Trainer and engine; a pod names its command."""
    return _image("runtime", (layers.base(), layers.dependencies("runtime"), layers.source("deepseek_runtime")))


IMAGES: dict[str, Callable[[], Image]] = {"pause": pause, "operator": operator, "gate": gate, "runtime": runtime}


def custom(name: str, parent: str, files: Sequence[tuple[Path, str]]) -> Image:
    """A user's own image: one of ours and some files, each as (path here, path in the image)."""
    below = IMAGES[parent]()
    own = layers.files(name.rpartition("/")[2].replace(":", "-"), files)
    return Image(name, (*below.layers, own), below.entrypoint, below.user, below.env, below.architecture)


def load(home: Home, image: Image) -> None:
    """Import an image into the node's store, with only the layers that it lacks, and keep it there."""
    absent = [layer for layer in image.layers if not containers.blob(home, layer.digest).exists()]
    total, sent = sum(layer.size for layer in image.layers), sum(layer.size for layer in absent)
    started = time.monotonic()
    with step(f"import {image.name}"), tempfile.TemporaryDirectory(dir=layers.FOLDER) as folder:
        archive = Path(folder) / "image.tar"
        oci.write_archive(image, absent, archive)
        containers.import_image(home, archive)
        containers.pin(home, image.name)
    for layer in absent:
        _share(layer, containers.blob(home, layer.digest))
    say(f"{image.name}: {total / 1e6:.0f} MB, {sent / 1e6:.0f} MB new, {time.monotonic() - started:.1f} s")


def _share(layer: Layer, blob: Path) -> None:
    """Let the cached tar and the store's copy be one file: gigabytes lie on the disk once."""
    temporary = layer.tar.with_name(f".{layer.tar.name}.link")
    try:
        temporary.hardlink_to(blob)
        temporary.replace(layer.tar)
    except OSError:
        temporary.unlink(missing_ok=True)  # Another file system: two copies it is.


def _image(name: str, own: tuple[Layer, ...], entrypoint: tuple[str, ...] = (), env: bool = True) -> Image:
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    user = f"{layers.UID}:{layers.UID}"
    return Image(f"{REGISTRY}/{name}:dev", own, entrypoint, user, ENVIRONMENT if env else {}, architecture)
