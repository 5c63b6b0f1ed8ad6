"""Where an incarnation began: `origin.json`, written before its first step.

The chain of origins is what makes an ancestor's later files recognisable as a zombie's.
"""

import json
from dataclasses import dataclass

from deepseek_runtime.checkpoint.manifest import ManifestError, Position
from deepseek_runtime.contract import FORMAT_VERSION

ORIGIN_NAME = "origin.json"


@dataclass(frozen=True)
class Origin:
    """`resumed_from` is None when the incarnation began at step 0."""

    attempt: int
    job_uid: str
    incarnation: str
    resumed_from: Position | None


def encode(origin: Origin) -> str:
    """The origin as JSON text."""
    return json.dumps(
        {
            "formatVersion": FORMAT_VERSION,
            "attempt": origin.attempt,
            "jobUID": origin.job_uid,
            "incarnation": origin.incarnation,
            "resumedFrom": origin.resumed_from.to_json() if origin.resumed_from else None,
        }
    )


def decode(document: object) -> Origin:
    """An origin from its JSON value. Raises ManifestError when it is none."""
    match document:
        case {"formatVersion": 1, "attempt": int(attempt), "jobUID": str(job), "incarnation": str(own), **rest}:
            return Origin(attempt, job, own, Position.from_json(rest.get("resumedFrom")))
    raise ManifestError("no origin of a version that this program reads")
