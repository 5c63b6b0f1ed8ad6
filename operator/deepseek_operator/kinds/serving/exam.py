"""The Job that examines one revision: which prompts it asks at whose Service, and what mark its pod leaves.

The exam is the runtime's `deepseek_runtime.examiner`, by the measure of a training's evaluation. It is no replica: it has
no device, and its pod is in no Service. Its requests count among those of the revision, as any other's.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import USUAL_SAMPLES, Analysis, AnalysisMetric
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import handed_on
from deepseek_operator.core.resources import GROUP, JOB, Manifest
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.keyed import key_variable
from deepseek_operator.kinds.serving.labels import examiner_labels
from deepseek_operator.kinds.serving.names import serving_exam, serving_revision
from deepseek_operator.workloads.batch.program import Exit, Program
from deepseek_operator.workloads.batch.single import single_spec
from deepseek_operator.workloads.last_words import document
from deepseek_operator.workloads.pod.state import terminated

ACCURACY = "Accuracy"
INVALID = "InvalidExam"
EXAMINER = Program("examiner", {64: Exit(INVALID, is_final=True)})
"""The contract of `deepseek_runtime.examiner`: 64 is what no other try can cure, data that can't be read."""
COMMAND = ("python3", "-m", "deepseek_runtime.examiner")
KEY = "DEEPSEEK_EXAM_KEY"
ABOUT = f"{GROUP}/exam"
"""Annotation of the Job: run, step, revision and try, for people; its name is a digest of them."""

_DATA_PATH = "/data"
_VOLUME = "data"
_GRACE_S = 5
"""From SIGTERM to SIGKILL: an exam has nothing to save."""
_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "100m", "memory": "1Gi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}
"""One process that waits for answers; limits of both, since a quota may ask for them."""


@dataclass(frozen=True, order=True)
class Exam:
    """Who is asked what: one for each of these in a step, however many metrics go by it."""

    revision: str
    data: str
    samples: int


@dataclass(frozen=True)
class Mark:
    """What came of one: the share of right answers, 0 to 1, among those prompts that were answered."""

    accuracy: float
    answered: int


@dataclass(frozen=True)
class Sitting:
    """One try of an exam: all that its Job's name is of.

    Attributes:
        run: number of the canary run.
        step: from 1.
        attempt: from 1.
    """

    run: int
    step: int
    exam: Exam
    attempt: int

    def job(self, owner: DeepSeekServing) -> str:
        """Name of its Job: the same in each process, so that no two are ever made."""
        exam, meta = self.exam, owner.metadata
        return serving_exam(
            meta.name, meta.uid, self.run, self.step, exam.revision, exam.data, exam.samples, self.attempt
        )


def exams_of(analysis: Analysis | None, target: str, stable: str, *, compares: bool) -> tuple[Exam, ...]:
    """The exams that a step's metrics go by: of the new revision, and of the stable one where a limit is relative to it or
    the run `compares` both."""
    found: dict[Exam, None] = {}
    for metric in _accuracies(analysis):
        found[exam_of(metric, target)] = None
        if compares or metric.max_drop is not None:
            found[exam_of(metric, stable)] = None
    return tuple(found)


def exam_of(metric: AnalysisMetric, revision: str) -> Exam:
    """The exam of one revision for a metric of type Accuracy."""
    return Exam(revision, metric.data or "", metric.samples or USUAL_SAMPLES)


def _accuracies(analysis: Analysis | None) -> Iterable[AnalysisMetric]:
    return (metric for metric in analysis.metrics if metric.type == ACCURACY) if analysis is not None else ()


def exam_job(
    owner: DeepSeekServing,
    sitting: Sitting,
    model: str,
    port: int,
    limit_s: int,
    configuration: Configuration,
    key: Mapping[str, str] | None = None,
) -> Manifest:
    """The Job: one pod, which is tried once and for `limit_s` at most. `model`: the name by which that revision answers;
    `port`: of its Service; `key`: name and key of the Secret's entry with which that revision is asked."""
    meta, exam, labels = owner.metadata, sitting.exam, examiner_labels(owner)
    claim, _, path = exam.data.removeprefix("pvc://").partition("/")
    is_claim = exam.data.startswith("pvc://")
    told = {
        "DEEPSEEK_EXAM_URL": f"http://{serving_revision(meta.name, exam.revision)}.{meta.namespace}.svc:{port}",
        "DEEPSEEK_SERVED_MODEL_NAME": model,
        "DEEPSEEK_EXAM_DATA": f"{_DATA_PATH}/{path}" if is_claim else exam.data,
        "DEEPSEEK_EXAM_SAMPLES": str(exam.samples),
    }
    container: dict[str, Any] = {
        "name": EXAMINER.container,
        "image": configuration.runtime_image,
        "imagePullPolicy": configuration.image_pull_policy,
        "command": list(COMMAND),
        "env": [*({"name": name, "value": value} for name, value in told.items()), *key_variable(KEY, key)],
        "resources": {kind: dict(amounts) for kind, amounts in _RESOURCES.items()},
        "volumeMounts": [{"name": _VOLUME, "mountPath": _DATA_PATH, "readOnly": True}] if is_claim else [],
    }
    volumes = [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}] if is_claim else []
    made = head(JOB, owner, sitting.job(owner), {**handed_on(meta.labels), **labels})
    about = {"run": sitting.run, "step": sitting.step, "revision": exam.revision, "attempt": sitting.attempt}
    annotations = {ABOUT: json.dumps(about, separators=(",", ":"))}
    return {
        **made,
        "metadata": {**made["metadata"], "annotations": annotations},
        "spec": {
            **single_spec(container, owner.spec.pod, labels, volumes, _GRACE_S),
            "activeDeadlineSeconds": limit_s,
        },
    }


def mark_of(pods: Iterable[Manifest], samples: int) -> Mark | None:
    """The mark that one of the pods of a Job that is complete left; None where none did, or what it left can't be one of so
    many prompts."""
    return next((mark for pod in pods if (mark := _mark(pod, samples)) is not None), None)


def _mark(pod: Manifest, samples: int) -> Mark | None:
    state = terminated(pod, EXAMINER.container)
    metrics = (document(str((state or {}).get("message") or "")) or {}).get("metrics")
    said = metrics if isinstance(metrics, Mapping) else {}
    accuracy, answered = _number(said.get("accuracy")), _number(said.get("samples"))
    if accuracy is None or answered is None or not 0 <= accuracy <= 1 or not 1 <= answered <= samples:
        return None
    return Mark(accuracy, int(answered))


def _number(value: object) -> float | None:
    """Of JSON, whose whole numbers may be too large for a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None
