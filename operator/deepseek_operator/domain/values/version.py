"""Release numbers of engines and frameworks: read once, compared as numbers (0.9 is older than 0.25), rendered in one form.

``v0.33.0``, ``0.33.0`` and ``0.33`` are one release. A tag of an image has no ``v`` of its own here: a profile's reference
puts it where the registry wants it.
"""

import re
from dataclasses import dataclass

_RELEASE = re.compile(r"[vV]?(\d+)\.(\d+)(?:\.(\d+))?((?:[.\-+a-zA-Z].*)?)")
_TAG = re.compile(r"[0-9A-Za-z_.-]{1,128}")
"""What a registry takes as a tag; ``+`` of a local build (``0.33.0+cpu``) is none."""


@dataclass(frozen=True, order=True)
class Version:
    """A release; suffixes of pre-releases and builds (``rc1``, ``.post1``, ``+cpu``) do not order."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def parse(text: str) -> Version:
    """Read ``0.33.0``, ``v0.25`` or ``1.2.1.post1``. Raises ValueError on anything without two numbers."""
    major, minor, patch, _ = _numbers(text)
    return Version(int(major), int(minor), int(patch or 0))


def rendered(text: str, by_calendar: bool = False) -> str:
    """The release as its publishers write it: without ``v``, with three numbers, suffixes as they are.

    ``by_calendar``: released as year and month, whose two numbers are complete.

    Raises ValueError on anything without two numbers.
    """
    major, minor, patch, suffix = _numbers(text)
    if patch is None and not by_calendar:
        patch = "0"
    return ".".join(number for number in (major, minor, patch) if number is not None) + suffix


def tag(text: str, by_calendar: bool = False) -> str | None:
    """The release as the tag of an image; None where no registry takes it. Raises ValueError as ``rendered`` does."""
    release = rendered(text, by_calendar)
    return release if _TAG.fullmatch(release) else None


def _numbers(text: str) -> tuple[str, str, str | None, str]:
    match = _RELEASE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a release: write two or three numbers, like 0.33.0")
    major, minor, patch, suffix = match.groups()
    return major, minor, patch, suffix
