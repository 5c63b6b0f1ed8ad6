"""How the layers of our images are made, each from the least that decides its content.

    base     Debian with Python, from the package lists          (key: packages and options)
    deps     a list of requirements of pyproject.toml            (key: the list)
    source   a package of operator/                              (written every time, takes milliseconds)

The first two are cached by key outside the repository, so a change of the source costs seconds.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from examples.local_cluster import debian, oci
from examples.local_cluster.home import CACHE, REPOSITORY, locked, replace_text
from examples.local_cluster.oci import Layer
from examples.local_cluster.progress import say, step

FOLDER = CACHE / "layers"
LOCK = REPOSITORY / "requirements.lock"

SUITE = "bookworm"
PYTHON = "3.11"  # of that suite
BASE_PACKAGES = ("python3", "ca-certificates")
SITE = f"/usr/local/lib/python{PYTHON}/dist-packages"  # On the path of Debian's python3 without any setting.
UID = 65532  # The user of all our images; the number that distroless images use too.

# Only torch.compile on GPUs wants triton, and it is 0.7 GB.
DROPPED = frozenset({"triton"})
RECIPE = "2"  # To be raised when `_install` packs another content from the same list.
UNNEEDED = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})


def base() -> Layer:
    """Debian's minimal system with Python and root certificates."""
    options = _debootstrap_options()
    return _cached("base", [SUITE, *options], lambda tar: _bootstrap(options, tar))


def dependencies(name: str) -> Layer:
    """The wheels of a requirement list: `operator` or an optional list of pyproject.toml."""
    wanted = requirements(name)
    return _cached(
        f"{name}-deps",
        [RECIPE, PYTHON, SITE, *sorted(DROPPED), *wanted, LOCK.read_text()],
        lambda tar: _install(wanted, tar),
    )


def source(package: str) -> Layer:
    """A package of operator/, as it lies in the work tree now."""
    folder = REPOSITORY / "operator" / package
    entries = [(f"{SITE}/{package}", folder), *oci.files_below(folder, f"{SITE}/{package}", skip=UNNEEDED)]
    return _written(f"source-{package}", entries)


def files(name: str, pairs: Sequence[tuple[Path, str]]) -> Layer:
    """Files and folders of a user, each at the path in the image that the user named."""
    entries: list[tuple[str, Path]] = []
    for path, destination in pairs:
        entries.append((destination, path.resolve()))
        entries += oci.files_below(path.resolve(), destination) if path.is_dir() else []
    return _written(f"files-{name}", entries)


def pause() -> Layer:
    """The static program that holds a pod's namespaces."""
    program = Path(__file__).with_name("pause") / "pause.go"
    return _cached("pause", [program.read_text()], lambda tar: _compile_pause(program, tar))


def requirements(name: str) -> list[str]:
    """The requirement list of an image, from pyproject.toml; KeyError if there is no such list."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"] if name == "operator" else project["optional-dependencies"][name])


def key(kind: str, inputs: Sequence[str]) -> str:
    """Name of a cached layer: two lists of inputs share it only if they are equal."""
    return f"{kind}-{sha256(json.dumps(inputs).encode()).hexdigest()[:16]}"


def _cached(kind: str, inputs: Sequence[str], write: Callable[[Path], None]) -> Layer:
    """A layer that is made once; digest and size stand beside it, so that gigabytes are not hashed again."""
    tar = FOLDER / f"{key(kind, inputs)}.tar"
    record = tar.with_suffix(".json")
    with locked(FOLDER / f".{kind}.lock"):
        if tar.exists() and record.exists():
            return Layer(tar, **json.loads(record.read_text()))
        with step(f"layer {kind}"):
            write(tar)
            layer = Layer(tar, oci.digest_of_file(tar), tar.stat().st_size)
        say(f"layer {kind}: {layer.size / 1e6:.0f} MB")
        replace_text(record, json.dumps({"digest": layer.digest, "size": layer.size}))
        _drop_others(kind, tar)
        return layer


def _drop_others(kind: str, kept: Path) -> None:
    """Only the newest layer of a kind stays: they are large, and made again when they are wanted."""
    for path in FOLDER.glob(f"{kind}-{'[0-9a-f]' * 16}.*"):
        if path.stem != kept.stem:
            path.unlink()


def _written(name: str, entries: Sequence[tuple[str, Path]]) -> Layer:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return oci.write_layer(entries, FOLDER / f"{name}.tar")


def _debootstrap_options() -> list[str]:
    excluded = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
    user = f'echo "deepseek:x:{UID}:{UID}::/tmp:/usr/sbin/nologin" >> "$1/etc/passwd"'
    group = f'echo "deepseek:x:{UID}:" >> "$1/etc/group"'
    return [
        "--variant=minbase",
        f"--include={','.join(BASE_PACKAGES)}",
        *(f"--dpkgopt=path-exclude={path}" for path in excluded),
        f"--customize-hook={user}",
        f"--customize-hook={group}",
    ]


def _bootstrap(options: Sequence[str], tar: Path) -> None:
    debian.ensure(debian.IMAGES)
    unfinished = tar.with_name(f".{tar.name}")
    command = ["mmdebstrap", "--quiet", *options, SUITE, str(unfinished), *_package_sources()]
    # Files carry the time of their package, not of this build.
    _run(command, {"SOURCE_DATE_EPOCH": "0"})
    unfinished.replace(tar)


def _package_sources() -> list[str]:
    """The machine's own package sources if they are of the suite (a mirror may be configured there), else none."""
    release = Path("/etc/os-release")
    if release.exists() and f"VERSION_CODENAME={SUITE}\n" in release.read_text():
        candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
        return [str(path) for path in candidates if path.exists()][:1]
    return []


def _install(wanted: Sequence[str], tar: Path) -> None:
    """Resolve the list, leave out what is dropped, install the rest into a folder, and pack it."""
    folder = tar.with_suffix(".unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        exact = _resolve(wanted)
        say(f"{len(exact)} distributions")
        _run([*_pip(folder), "--no-deps", "--no-compile", *exact])
        _compile(folder)
        shutil.rmtree(folder / "bin", ignore_errors=True)  # Command line scripts, with the builder's interpreter.
        oci.write_layer([(SITE, folder), *oci.files_below(folder, SITE)], tar)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _resolve(wanted: Sequence[str]) -> list[str]:
    """Exact versions of a list and all that it needs, without what is dropped."""
    report = _run(
        [*_pip(FOLDER / "none"), "--dry-run", "--ignore-installed", "--report=-", f"--constraint={LOCK}", *wanted]
    )
    found = [entry["metadata"] for entry in json.loads(report)["install"]]
    return sorted(f"{meta['name']}=={meta['version']}" for meta in found if meta["name"] not in DROPPED)


def _pip(folder: Path) -> list[str]:
    """pip for the image's Python, whichever runs here."""
    target = [f"--target={folder}", f"--python-version={PYTHON}", "--only-binary=:all:", "--no-cache-dir"]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-conflicts", *target]


def _compile(folder: Path) -> None:
    """Bytecode, since a pod may not write it; unchecked, because the files of a layer carry no times."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == PYTHON:
        command = [
            sys.executable,
            "-m",
            "compileall",
            "-q",
            "-j",
            "2",
            "--invalidation-mode=unchecked-hash",
            str(folder),
        ]
        subprocess.run(command, capture_output=True)  # Templates in some packages are no valid Python: not an error.


def _compile_pause(program: Path, tar: Path) -> None:
    binary = tar.with_suffix(".bin")
    _run(["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(binary), str(program)], {"CGO_ENABLED": "0"})
    try:
        oci.write_layer([("/pause", binary)], tar)
    finally:
        binary.unlink(missing_ok=True)


def _run(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:300]}:\n{done.stderr.strip()[-3000:]}")
    return done.stdout
