"""Programs of Debian packages that were unpacked into a folder (`unpacked` of environment.sh), with their own libraries."""

from pathlib import Path


def command(root: Path, program: str) -> list[str]:
    """What starts the program there, whatever this machine has."""
    loader = next((root / "usr/lib64").glob("ld-linux-*"), None) or next((root / "lib64").glob("ld-linux-*"), None)
    loader = loader or next((root / "usr/lib").glob("ld-linux-*"))
    libraries = [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")]
    return [str(loader), "--library-path", ":".join(map(str, libraries)), str(root / program)]
