"""Release numbers of engines and frameworks, compared as numbers: 0.9 is older than 0.25."""

import re
from dataclasses import dataclass

_RELEASE = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[.\-+a-z].*)?")


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
    match = _RELEASE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a release: write two or three numbers, like 0.33.0")
    major, minor, patch = match.groups()
    return Version(int(major), int(minor), int(patch or 0))
