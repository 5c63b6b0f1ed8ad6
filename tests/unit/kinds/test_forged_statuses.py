"""Whatever somebody writes into a status, as far as the schema lets it in, no kind raises on it."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from deepseek_operator.api.base import parse_time
from deepseek_operator.cli.rehearsal import rehearse
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.registry import KINDS
from tests.campaign.drawn import MODELS, good_specs, mutated, schema_of, value
from tests.support.api_objects import API_VERSION

CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "models", "namespace": "team"},
    "spec": {"accessModes": ["ReadWriteMany"]},
}
SEEDS, BLOCKS = 24, 4
NO_MOMENTS = (
    *("", "soon", "0", "pvc://a/../b", "2026-01-31", "2026-01-31T08:09:10", "2026-13-31T08:09:10Z"),
    *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "24:00", "\n", "2026-01-31T08:09:10Z and later"),
)


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_a_text_that_names_no_moment_counts_as_none(text: str) -> None:
    assert parse_time(text) is None


def test_a_moment_is_read_as_kubernetes_writes_it_with_and_without_fractions() -> None:
    assert parse_time("2026-01-31T08:09:10Z") == datetime(2026, 1, 31, 8, 9, 10, tzinfo=UTC)
    assert parse_time("2026-01-31T09:09:10.000001+01:00") == datetime(2026, 1, 31, 8, 9, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("kind", MODELS)
def test_no_forged_status_is_more_than_a_kind_bears(kind: str, block: int) -> None:
    for seed in range(block, SEEDS, BLOCKS):
        random = Random(f"{kind} {seed}")
        schema = schema_of(kind, "status")
        status = mutated(random, value(random, schema), schema)
        passes(kind, random.choice(good_specs(kind)[:40]), status)


@pytest.mark.parametrize("text", NO_MOMENTS[::4])
def test_every_moment_of_a_status_may_be_none(text: str) -> None:
    attempt = {"number": 1, "recordedAt": text, "placedAt": text, "failures": [{"at": text, "cause": "Error"}]}
    history = [{"number": 1, "verdict": "Crash", "message": "", "startedAt": text, "endedAt": text}]
    condition = {"type": "Ready", "status": "False", "reason": "R", "lastTransitionTime": text}
    for more in ({}, {"verdict": "Crash"}):
        status = {
            "attempt": {**attempt, **more},
            "history": history,
            "notBefore": text,
            "conditions": [condition],
            "progress": {"observedAt": text},
        }
        passes("DeepSeekTraining", good_specs("DeepSeekTraining")[0], status)


def passes(kind: str, spec: dict[str, Any], status: dict[str, Any]) -> None:
    """Passes over an object with that status. What makes two sides undo each other is the queue's to slow down."""
    forged = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": "a", "namespace": "team", "uid": "u-1", "resourceVersion": "1", "generation": 1},
        "spec": spec,
        "status": status,
    }
    try:
        MODELS[kind].model_validate(forged)
    except ValidationError:
        return  # The API server does not let it in.
    with suppress(RuntimeError):
        asyncio.run(rehearse([forged], [CLAIM], Configuration(), KINDS))
