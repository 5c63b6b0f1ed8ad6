"""A manifest survives its text, and no other text passes for one."""

import json
import math

import pytest

from deepseek_runtime.checkpoint.manifest import File, Manifest, ManifestError, Position, decode, encode

MANIFEST = Manifest(
    kind="Checkpoint",
    training_uid="u",
    attempt=2,
    job_uid="j",
    incarnation="i2",
    step=40,
    world_size=2,
    sharding="fsdp",
    parent=Position("i1", 20),
    files=(File("__0_0.distcp", 7, "ab"), File("__1_0.distcp", 8, "cd")),
    metrics={"accuracy": 0.5, "loss": 1.25},
    healthy=True,
    created_at="2026-01-01T00:00:00Z",
)


def test_manifest_reads_back_as_it_was_written() -> None:
    assert decode(json.loads(encode(MANIFEST))) == MANIFEST


def test_manifest_has_the_field_names_of_the_contract() -> None:
    assert json.loads(encode(MANIFEST)) == {
        "formatVersion": 1,
        "kind": "Checkpoint",
        "trainingUID": "u",
        "attempt": 2,
        "jobUID": "j",
        "incarnation": "i2",
        "step": 40,
        "worldSize": 2,
        "layout": {"sharding": "fsdp"},
        "parent": {"incarnation": "i1", "step": 20},
        "files": [
            {"path": "__0_0.distcp", "size": 7, "sha256": "ab"},
            {"path": "__1_0.distcp", "size": 8, "sha256": "cd"},
        ],
        "metrics": {"accuracy": 0.5, "loss": 1.25},
        "healthy": True,
        "createdAt": "2026-01-01T00:00:00Z",
    }


def test_loss_that_is_not_finite_is_written_as_null() -> None:
    unhealthy = Manifest(**{**vars(MANIFEST), "metrics": {"loss": math.nan}, "healthy": False})
    assert json.loads(encode(unhealthy))["metrics"] == {"loss": None}


def test_parent_of_another_training_keeps_its_uid() -> None:
    other = Manifest(**{**vars(MANIFEST), "parent": Position("i1", 20, "other")})
    assert decode(json.loads(encode(other))).parent == Position("i1", 20, "other")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        encode(MANIFEST).replace('"formatVersion": 1', '"formatVersion": 2'),
        encode(MANIFEST).replace("__0_0.distcp", "../../other/secret"),
        encode(MANIFEST).replace("__0_0.distcp", "/etc/passwd"),
        encode(MANIFEST).replace('"size": 7', '"size": "7"'),
        encode(MANIFEST).replace('"step": 40', '"step": 1e999'),
    ],
    ids=["no fields", "list", "newer version", "climbs out", "absolute", "size as text", "step without end"],
)
def test_document_that_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        decode(json.loads(text))
