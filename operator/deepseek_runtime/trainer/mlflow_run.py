"""A training's run on an MLflow server: found by the training's uid, so that all attempts write to one.

MLflow can't take a number back. A step that is made again after a resume or a rollback is not sent again, so a run has
every step once, as it was first made. How far it has come is a tag, which is written together with the numbers.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract
from deepseek_runtime.trainer.tracking import MLflow, Record, step_of

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run
    from mlflow.tracking import MlflowClient

UID, LAST_STEP, LAST_EVALUATION = (f"deepseek-operator.io/{name}" for name in ("uid", "last-step", "last-evaluation"))
ATTEMPT, DIGEST = "deepseek-operator.io/attempt", "deepseek-operator.io/manifest-sha256"
BEST = "best"
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Of MLflow's client. It else tries for minutes, where the thread above asks again; and nobody else is told of a run."""
_MOST_METRICS, _MOST_PARAMETERS, _LONGEST = 1000, 100, 500
"""Of one request; and characters of a parameter that servers of every release take."""


@dataclass
class MlflowRun:
    """One attempt's way to the run. `specification` is what the trainer was asked to do, as JSON."""

    server: MLflow
    contract: Contract
    specification: str
    title: str = "the tracking server"
    _client: "MlflowClient | None" = None
    _id: str = ""
    _sent: dict[str, int] = field(default_factory=dict)

    def open(self) -> Mapping[str, int]:
        """Finds the run, or makes it; returns the last step that it has of each event, -1 for none."""
        os.environ.update({**_SETTINGS, **os.environ})
        from mlflow.tracking import MlflowClient

        client = self._client = MlflowClient(tracking_uri=self.server.uri, registry_uri=self.server.uri)
        known = client.get_experiment_by_name(self.server.experiment)
        experiment = known.experiment_id if known else client.create_experiment(self.server.experiment)
        run = self._found(client, experiment) or self._made(client, experiment)
        self._id = run.info.run_id
        client.update_run(self._id, status="RUNNING")
        client.set_tag(self._id, ATTEMPT, str(self.contract.attempt))
        self._sent = {
            event: int(run.data.tags.get(tag, -1))
            for event, tag in (("step", LAST_STEP), ("evaluation", LAST_EVALUATION))
        }
        return self._sent

    def send(self, records: Sequence[Record]) -> None:
        """Adds the numbers of steps and evaluations that the run lacks; an end ends it, with its exports registered."""
        assert self._client is not None
        metrics: list[Metric] = []
        reached = dict(self._sent)
        for record in records:
            step, event = step_of(record), str(record.get("event"))
            if step is not None and step > reached[event]:
                reached[event] = step
                metrics += _metrics(record, step)
                if len(metrics) >= _MOST_METRICS - 50:
                    self._log(self._client, metrics, reached)
                    metrics = []
        if metrics:
            self._log(self._client, metrics, reached)
        for record in records:
            if record.get("event") == "stop":
                self._client.set_terminated(self._id, "KILLED")
            elif record.get("event") == "complete":
                self._register(self._client, record.get("best"))
                self._client.set_terminated(self._id, "FINISHED")

    def _found(self, client: "MlflowClient", experiment: str) -> "Run | None":
        runs = client.search_runs([experiment], f"tags.`{UID}` = '{self.contract.training_uid}'", max_results=1)
        return runs[0] if runs else None

    def _made(self, client: "MlflowClient", experiment: str) -> "Run":
        from mlflow.entities import Param

        run = client.create_run(experiment, run_name=self.contract.name, tags={UID: self.contract.training_uid})
        parameters = [Param(name, value) for name, value in flat(json.loads(self.specification))]
        client.log_batch(run.info.run_id, params=parameters[:_MOST_PARAMETERS])
        return run

    def _log(self, client: "MlflowClient", metrics: Sequence["Metric"], reached: Mapping[str, int]) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(LAST_STEP, str(reached["step"])), RunTag(LAST_EVALUATION, str(reached["evaluation"]))]
        client.log_batch(self._id, metrics=metrics, tags=tags)
        self._sent = dict(reached)

    def _register(self, client: "MlflowClient", best: object) -> None:
        """Makes a version of each export that has none, and names the best one so."""
        name = self.server.registered_model
        if name is None:
            return
        if not client.search_registered_models(f"name = '{_quoted(name)}'"):
            client.create_registered_model(name)
        volume = Volume(self.contract.checkpoints.root)
        for manifest in volume.exports():
            version = self._version(client, name, volume, manifest)
            if manifest.step == best:
                client.set_registered_model_alias(name, BEST, version)

    def _version(self, client: "MlflowClient", name: str, volume: Volume, manifest: Manifest) -> str:
        folder = volume.export_directory(manifest.step)
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        known = client.search_model_versions(f"name = '{_quoted(name)}' and tags.`{DIGEST}` = '{digest}'")
        if known:
            return str(known[0].version)
        source = f"{self.server.volume}/{self.contract.training_uid}/{folder.relative_to(volume.root)}"
        tags = {DIGEST: digest, UID: self.contract.training_uid, "step": str(manifest.step)}
        return str(client.create_model_version(name, source, self._id, tags=tags).version)


def _metrics(record: Record, step: int) -> Iterator["Metric"]:
    from mlflow.entities import Metric

    at = round(datetime.fromisoformat(str(record["time"])).timestamp() * 1000)
    for name, value in record.items():
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield Metric(name, float(value), at, step)


def flat(value: object, path: str = "") -> Iterable[tuple[str, str]]:
    """The leaves of a document by their paths, as MLflow takes parameters."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from flat(inner, f"{path}.{name}" if path else str(name))
        return
    if isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, inner in enumerate(value):
            yield from flat(inner, f"{path}.{index}")
        return
    yield path[:250], _shown(value)[:_LONGEST]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(name: str) -> str:
    return name.replace("'", "")
