"""`plan -f` and the API server, side by side, over every good and bad input of the tests: one answer, in the same words."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from deepseek_operator.adapters.admission import Admitted, Refused, admit
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import ApiError
from examples.local_cluster.control_plane import Cluster
from tests.api_server.test_bad_inputs import CASES, GOOD
from tests.support.api_objects import API_VERSION, changed, collection, minimal_serving
from tests.support.mistakes import MISTAKES
from tests.support.trainings import training
from tests.unit.kinds.serving.test_every_field import FIELDS, written
from tests.unit.kinds.training.test_every_field import ROWS

EXAMPLES = Path(__file__).parents[2] / "examples"


def _inputs() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for parameter in (*CASES, *GOOD):
        manifest, changes = parameter.values[:2]
        yield str(parameter.id), changed(manifest, changes)  # type: ignore[arg-type]
    for number, (manifest, changes, _) in enumerate(MISTAKES):
        yield f"mistake {number}", changed(manifest, changes)
    for row in ROWS:
        for value in row.values:
            yield row.path, {**training(), "metadata": {"name": "tune"}, "spec": row.spec(value)}
    for field in FIELDS:
        for value, _ in field.values:
            serving = minimal_serving()
            yield field.path, {**serving, "spec": {**serving["spec"], **written(field, value)}}
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document["apiVersion"] == API_VERSION:
                yield path.name, document


def _server(cluster: Cluster, manifest: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """The spec as the server would store it, or its refusal."""
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    try:
        return dict(cluster.api.create(collection(dict(manifest), "default"), dict(manifest), **query)["spec"])
    except ApiError as error:
        return str(error)


def test_both_give_one_answer_to_every_input(api_server: Cluster) -> None:
    different, count = [], 0
    for name, manifest in _inputs():
        count += 1
        offline, online = admit(manifest, KINDS.definitions), _server(api_server, manifest)
        match offline:
            case Refused(reasons) if isinstance(online, str):
                missing = [reason for reason in reasons if reason not in online]
                if missing:
                    different.append(f"{name}: {missing} is not in: {online}")
            case Admitted(stored) if not isinstance(online, str):
                if stored["spec"] != online:
                    different.append(f"{name}: stored {stored['spec']}, by the server {online}")
            case _:
                different.append(f"{name}: offline {offline}, server {online}")
    assert count > 400
    assert different == [], "\n".join(different)
