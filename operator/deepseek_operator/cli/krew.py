"""The manifest by which krew installs `kubectl deepseek`, for whoever builds and hosts an archive of it for each platform.

Krew's form is v1alpha2: https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest. An archive holds the program
`kubectl-deepseek` at its top, with all that it needs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

NAME, PROGRAM = "deepseek", "kubectl-deepseek"
SYSTEMS, MACHINES = ("linux", "darwin", "windows"), ("amd64", "arm64")
"""Of krew's platforms those that Python is built for."""
SHORT = "Look at DeepSeek trainings and servings, and act on them"
"""Krew wants at most fifty or so letters, without a full stop, and not kubectl's own words."""
DESCRIPTION = (
    "Shows where a training or a serving of the DeepSeek operator stands and why, the log that tells, its loss and load as a "
    "drawing, and who holds the devices; suspends, resumes, promotes and rolls back. It asks the API server alone, with your "
    "own rights."
)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Archive:
    """Of one platform, as `linux/amd64`; the digest is SHA-256 in 64 hexadecimal digits.

    Raises:
        ValueError: krew would not take it; says what to write instead.
    """

    platform: str
    uri: str
    sha256: str

    def __post_init__(self) -> None:
        system, _, machine = self.platform.partition("/")
        if system not in SYSTEMS or machine not in MACHINES:
            raise ValueError(
                f"{self.platform!r}: write one of {', '.join(SYSTEMS)}, / and one of {', '.join(MACHINES)}"
            )
        if not self.uri.startswith("https://") or not self.uri.endswith((".tar.gz", ".zip")):
            raise ValueError(f"{self.uri!r}: write the https:// address of a .tar.gz or .zip")
        if not _HASH.fullmatch(self.sha256):
            raise ValueError(
                f"{self.sha256!r}: write the archive's SHA-256 as sha256sum prints it, 64 hexadecimal digits"
            )

    def wire(self) -> dict[str, Any]:
        """As the manifest has it."""
        system, _, machine = self.platform.partition("/")
        return {
            "selector": {"matchLabels": {"os": system, "arch": machine}},
            "uri": self.uri,
            "sha256": self.sha256,
            "bin": f"{PROGRAM}.exe" if system == "windows" else PROGRAM,
        }


def manifest(version: str, homepage: str, archives: Sequence[Archive]) -> str:
    """YAML for a file that must be called deepseek.yaml.

    Raises:
        ValueError: there is no archive, or two of one platform; or `homepage` is no address.
    """
    platforms = [one.platform for one in archives]
    if not platforms or len({*platforms}) < len(platforms):
        raise ValueError("write one --archive for each platform")
    if not homepage.startswith("https://"):
        raise ValueError(f"--homepage {homepage!r}: write an https:// address")
    told = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": NAME},
        "spec": {
            "version": f"v{version}",
            "homepage": homepage,
            "shortDescription": SHORT,
            "description": DESCRIPTION,
            "platforms": [one.wire() for one in sorted(archives, key=lambda one: one.platform)],
        },
    }
    return yaml.safe_dump(told, sort_keys=False, width=120)
