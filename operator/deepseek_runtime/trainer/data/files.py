"""Which files a dataset's path names: one, all below a folder, or those that a pattern matches, in the order of their names."""

import re
from collections.abc import Iterator
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import bounded
from deepseek_runtime.reading import reading

WHERE = "check datasets[].source.uri"
_PATTERN = re.compile(r"[*?]")
# What programs leave beside data: _SUCCESS, .crc, .gitattributes. Not read unless a pattern names them so.
_ASIDE = (".", "_")
_SHOWN = 5


def files_of(path: Path) -> list[Path]:
    """At least one file, sorted. `*` and `?` match within a name, `**` any number of folders.

    In a folder, and below `*`, names that begin with a dot or an underscore are passed over. What is a file, or names
    nothing, stays what it is: whoever reads it says what is wrong with it.
    """
    with reading(f"dataset {path}", WHERE):
        if path.is_dir():
            return _found(path, (one for one in path.rglob("*") if not _is_aside(one, path)), "holds no file")
        if not _PATTERN.search(str(path)) or path.exists():
            return [path]
        base = Path(*_before_pattern(path))
        if not base.is_dir():
            raise Invalid(f"dataset {path}: there is no folder {base}; {WHERE}")
        pattern = str(path.relative_to(base))
        matched = (one for one in base.glob(pattern) if not (_is_aside(one, base) and "_" not in pattern))
        return _found(path, matched, "matches no file", _there(base))


def _found(path: Path, files: Iterator[Path], words: str, there: str = "") -> list[Path]:
    found = sorted({one for one in files if not one.is_dir()})
    if not found:
        raise Invalid(f"dataset {path} {words}{there}; {WHERE}")
    return found


def _there(base: Path) -> str:
    names = sorted(one.name for one in base.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f": {base} holds {bounded(', '.join(names[:_SHOWN]))}{more}" if names else f": {base} is empty"


def _before_pattern(path: Path) -> list[str]:
    parts = list(path.parts)
    return parts[: next(number for number, part in enumerate(parts) if _PATTERN.search(part))]


def _is_aside(path: Path, base: Path) -> bool:
    return any(part.startswith(_ASIDE) for part in path.relative_to(base).parts)
