"""The specs by which the fields of both kinds are told apart are ones that a user can write: the rules let them in."""

from collections.abc import Mapping
from typing import Any

import pytest

from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import collection, minimal_serving
from tests.support.trainings import training
from tests.unit.kinds.serving.test_every_field import FIELDS, Field, written
from tests.unit.kinds.training.test_every_field import ROWS, Row


def create(cluster: Cluster, spec: Mapping[str, Any]) -> None:
    manifest = minimal_serving()
    manifest["spec"] = {**manifest["spec"], **spec}
    cluster.api.create(collection(manifest, "default"), manifest, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: row.path)
def test_every_value_of_a_field_is_let_in(api_server: Cluster, row: Field) -> None:
    for value, _ in row.values:
        create(api_server, written(row, value))


def create_training(cluster: Cluster, spec: Mapping[str, Any]) -> None:
    manifest = {**training(), "metadata": {"name": "tune"}, "spec": spec}
    cluster.api.create(collection(manifest, "default"), manifest, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_both_values_of_a_trainings_field_are_let_in(api_server: Cluster, row: Row) -> None:
    for value in row.values:
        create_training(api_server, row.spec(value))
