"""Every resource under examples/ is one that a user can apply as it stands."""

from pathlib import Path

import pytest
import yaml

from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import API_VERSION, collection

EXAMPLES = Path(__file__).parents[2] / "examples"
OURS = [
    pytest.param(document, id=f"{path.relative_to(EXAMPLES)}: {document['metadata']['name']}")
    for path in sorted(EXAMPLES.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
    if document and document["apiVersion"] == API_VERSION
]


@pytest.mark.parametrize("manifest", OURS)
def test_an_example_is_accepted_with_every_field_known(api_server: Cluster, manifest: dict[str, object]) -> None:
    made = api_server.api.create(
        collection(manifest, "default"),
        {**manifest, "metadata": {**manifest["metadata"], "namespace": "default"}},  # type: ignore[dict-item]
        dryRun="All",
        fieldValidation="Strict",
    )
    assert made["spec"]
