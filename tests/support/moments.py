"""When the lives of tests begin."""

from datetime import UTC, datetime

START = datetime(2026, 1, 1, tzinfo=UTC)
