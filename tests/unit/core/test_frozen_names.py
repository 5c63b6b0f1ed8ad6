"""Names and digests that stored objects carry: a release that changes one of them loses what runs, or restarts it."""

import pytest
import yaml

from deepseek_operator.api.resource import OWNER_NAME_LENGTH
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core import names
from deepseek_operator.kinds.serving.names import serving_revision, serving_service
from deepseek_operator.kinds.training.names import training_claim, training_job, training_service
from deepseek_operator.kinds.training.settings import attempt_digest, fixed_digest

UID = "11111111-2222-4333-8444-555555555555"

MINIMAL = """
metadata: {name: minimal}
spec:
  model: {custom: {model_type: deepseek_v3, hidden_size: 64, num_hidden_layers: 2}}
  datasets: [{source: {uri: "builtin://uppercase"}}]
  hyperparameters: {maxSteps: 100}
"""
EVERY_FIELD = """
metadata: {name: full}
spec:
  model: {name: deepseek-v2-lite, source: {uri: "pvc://models/deepseek-v2-lite"}}
  datasets:
    - {source: {uri: "pvc://corpora/a.jsonl"}, weight: "3"}
    - {source: {uri: "image:///data/b.txt"}, split: Heldout, format: Text}
  hyperparameters:
    {globalBatchSize: 256, microBatchSize: 4, sequenceLength: 4096, learningRate: "2e-5", schedule: Linear, warmupSteps: 10,
     epochs: 2, precision: fp32, weightDecay: "0.1", gradientClipNorm: "0", seed: 3, evalEverySteps: 20}
  accelerator: {resource: nvidia.com/gpu, perNode: 8}
  nodes: {count: 2}
  trainer:
    type: custom
    image: registry.example.com/team/train:1.4
    command: [python3, train.py]
    args: [--quiet]
    env: [{name: LOG_LEVEL, value: INFO}]
    resources: {cpu: "32", memory: 512Gi, sharedMemory: 64Gi}
    pod: {nodeSelector: {zone: a}, tolerations: [{key: x, operator: Exists}], priorityClassName: p, runAsUser: 4000}
  checkpoints:
    {everySteps: 5, keepLast: 7, volume: {claimName: c, subPath: s},
     resume: {policy: Never, from: {trainingUID: 0a1b2c3d-0000-4000-8000-000000000001}}}
  failurePolicy: {maxRestarts: 9}
"""


def spec(text: str) -> DeepSeekTraining:
    return DeepSeekTraining.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("made", "frozen"),
    [
        (names.digest({}), "44136fa355b3678a"),
        (names.digest({"b": [1, "é", None], "a": {"x": 1.5, "y": True}}), "0298099949521a89"),
        (names.revision_hash({"image": "a", "env": []}), "15b7ad0015"),
        (training_service("uppercase"), "uppercase-train"),
        (training_job("uppercase", UID, 12), "uppercase-train-cf4c47-12"),
        (training_claim("uppercase", UID), "uppercase-train-cf4c47"),
        (serving_revision("chat", names.revision_hash({"image": "a"})), "chat-serve-a4db6e5b12"),
        (serving_service("chat"), "chat-serve"),
        (attempt_digest(spec(MINIMAL).spec), "44136fa355b3678a"),
        (attempt_digest(spec(EVERY_FIELD).spec), "e2f7d51fe42907aa"),
        (fixed_digest(spec(MINIMAL).spec), "206e69356a17eee8"),
        (fixed_digest(spec(EVERY_FIELD).spec), "fbf9880e190f85a4"),
    ],
)
def test_a_name_or_digest_is_what_earlier_releases_stored(made: str, frozen: str) -> None:
    assert made == frozen


@pytest.mark.parametrize(
    ("field", "value", "changes_attempt", "changes_fixed"),
    [
        ("nodes", {"count": 3}, True, False),
        ("accelerator", {"resource": "nvidia.com/gpu", "perNode": 4}, True, False),
        ("trainer", {"env": [{"name": "A", "value": "b"}]}, True, False),
        ("trainer", {"pod": {"runAsUser": 7}}, True, False),
        ("hyperparameters", {"maxSteps": 101}, False, True),
        ("datasets", [], False, True),
        ("checkpoints", {"volume": {"storageClassName": "fast"}}, False, True),
        ("checkpoints", {"resume": {"policy": "Never"}}, False, True),
        ("checkpoints", {"volume": {"size": "20Gi"}, "keepLast": 9, "onDelete": "Delete"}, False, False),
        ("failurePolicy", {"maxRestarts": 9}, False, False),
        ("suspend", True, False, False),
        ("nodes", {"count": 1}, False, False),
    ],
)
def test_an_edit_changes_the_digest_of_what_it_may_change(
    field: str, value: object, changes_attempt: bool, changes_fixed: bool
) -> None:
    before, manifest = spec(MINIMAL).spec, yaml.safe_load(MINIMAL)
    manifest["spec"][field] = value
    after = DeepSeekTraining.model_validate(manifest).spec
    assert (attempt_digest(before) != attempt_digest(after)) == changes_attempt
    assert (fixed_digest(before) != fixed_digest(after)) == changes_fixed


@pytest.mark.parametrize("attempt", [1, 99999])
def test_pod_host_names_of_the_longest_owner_fit_a_dns_label(attempt: int) -> None:
    job = training_job("a" * OWNER_NAME_LENGTH, UID, attempt)
    assert len(f"{job}-999") <= 63
