"""The time of day as manifests, logs and progress write it."""

from datetime import UTC, datetime


def now() -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
