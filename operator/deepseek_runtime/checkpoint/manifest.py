"""What a checkpoint or an export says about itself.

A directory is a checkpoint exactly when it holds `manifest.json`, which is renamed into place after
every rank is done. JSON knows neither NaN nor infinity, so a metric that is not finite is written as
null: `healthy` tells the difference.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from deepseek_runtime.checkpoint.document import Unreadable
from deepseek_runtime.contract import FORMAT_VERSION

MANIFEST_NAME = "manifest.json"
# JSON's readers agree on whole numbers up to here (RFC 8259).
WHOLE_LIMIT = 1 << 53


class ManifestError(Unreadable):
    """The document is no manifest of a version that this program reads."""


@dataclass(frozen=True)
class File:
    """One file beside the manifest: path relative to the directory, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Position:
    """A checkpoint by name. `training_uid` is set only when it belongs to another training (resume.from)."""

    incarnation: str
    step: int
    training_uid: str | None = None

    def to_json(self) -> dict[str, object]:
        own: dict[str, object] = {"incarnation": self.incarnation, "step": self.step}
        return own if self.training_uid is None else {"trainingUID": self.training_uid, **own}

    @staticmethod
    def from_json(value: object) -> "Position | None":
        match value:
            case None:
                return None
            case {"incarnation": str(incarnation), "step": int(step), "trainingUID": str(uid)}:
                return Position(incarnation, step, uid)
            case {"incarnation": str(incarnation), "step": int(step)}:
                return Position(incarnation, step)
            case _:
                raise ManifestError(f"{value!r} names no checkpoint")


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`; `created_at` is RFC 3339, metrics are finite or None.

    `expert` is over how many processes the experts of a layer were dealt out; whatever it was, tensors are whole here.
    `copies` is how often all states were there, divided over the processes of a node each.
    """

    kind: Literal["Checkpoint", "Export"]
    training_uid: str
    attempt: int
    job_uid: str
    incarnation: str
    step: int
    world_size: int
    sharding: Literal["fsdp", "none"]
    parent: Position | None
    files: tuple[File, ...]
    metrics: Mapping[str, float | None]
    healthy: bool
    created_at: str
    expert: int = 1
    copies: int = 1

    @property
    def position(self) -> Position:
        return Position(self.incarnation, self.step)

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)


def encode(manifest: Manifest) -> str:
    """The manifest as JSON text, files sorted by path."""
    return json.dumps(
        {
            "formatVersion": FORMAT_VERSION,
            "kind": manifest.kind,
            "trainingUID": manifest.training_uid,
            "attempt": manifest.attempt,
            "jobUID": manifest.job_uid,
            "incarnation": manifest.incarnation,
            "step": manifest.step,
            "worldSize": manifest.world_size,
            "layout": {
                "sharding": manifest.sharding,
                **({"expert": manifest.expert} if manifest.expert > 1 else {}),
                **({"copies": manifest.copies} if manifest.copies > 1 else {}),
            },
            "parent": manifest.parent.to_json() if manifest.parent else None,
            "files": [vars(file) for file in sorted(manifest.files, key=lambda file: file.path)],
            "metrics": {name: finite(value) for name, value in sorted(manifest.metrics.items())},
            "healthy": manifest.healthy,
            "createdAt": manifest.created_at,
        },
        indent=1,
    )


def decode(document: object) -> Manifest:
    """A manifest from its JSON value. Raises ManifestError when it is foreign or of another version."""
    try:
        value: Any = document
        if value["formatVersion"] != FORMAT_VERSION:
            raise ManifestError(f"formatVersion is {value['formatVersion']!r}, this program reads {FORMAT_VERSION}")
        return Manifest(
            kind=value["kind"],
            training_uid=str(value["trainingUID"]),
            attempt=_whole(value["attempt"]),
            job_uid=str(value["jobUID"]),
            incarnation=str(value["incarnation"]),
            step=_whole(value["step"]),
            world_size=_whole(value["worldSize"]),
            sharding=value["layout"]["sharding"],
            parent=Position.from_json(value["parent"]),
            files=tuple(_file(entry) for entry in value["files"]),
            metrics={str(name): finite(metric) for name, metric in value["metrics"].items()},
            healthy=value["healthy"] is True,
            created_at=str(value["createdAt"]),
            expert=_whole(value["layout"].get("expert", 1)),
            copies=_whole(value["layout"].get("copies", 1)),
        )
    except ManifestError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ManifestError(f"no manifest: {type(error).__name__} {error}") from None


def finite(value: float | None) -> float | None:
    """The number itself, or None where there is none or it is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def _whole(value: Any) -> int:
    number = int(value)
    if not 0 <= number < WHOLE_LIMIT:
        raise ManifestError(f"{str(value)[:40]} is no number of steps, ranks or bytes")
    return number


def _file(entry: Mapping[str, object]) -> File:
    path, size, sha256 = entry["path"], entry["size"], entry["sha256"]
    if not isinstance(path, str) or not isinstance(size, int) or not isinstance(sha256, str):
        raise ManifestError(f"{entry!r} is no file entry")
    if path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ManifestError(f"file {path!r} lies outside the checkpoint's directory")
    if not path.isprintable():
        raise ManifestError(f"file {path!r} has a name that no file of a checkpoint has")
    return File(path, _whole(size), sha256)
