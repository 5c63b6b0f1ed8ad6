"""Every field of `spec`: two values that differ in nothing else, where they show, and what editing one into the other does.

A field that is accepted and ignored can have no row here; the last test names it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import ROLE_LABEL
from deepseek_operator.core.resources import CLAIM, JOB, POD, Manifest
from deepseek_operator.workloads.batch.fetch import ROLE
from tests.support.leaves import schema_leaves, with_leaf
from tests.support.trainings import NAME, NAMESPACE, Life, claim, ended, training

Edit = Literal["FixedFieldChanged", "SpecChanged", "Suspended", "Running"]
"""What is said after the edit: refused, another attempt, suspended, or nothing because the attempt goes on."""
Scene = Callable[[Life], object]


@dataclass(frozen=True)
class Row:
    """Two values of the leaf at `path`, what `scene` sees of them, and what is said after an edit from one to the other.

    `expected` empty: the values themselves. `beside` replaces fields of the spec so that both are legal, `only` those
    beside one of the values.
    """

    path: str
    values: tuple[object, object]
    scene: Scene
    expected: tuple[object, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)
    edit: Edit = "FixedFieldChanged"
    only: Mapping[object, Mapping[str, Any]] = field(default_factory=dict)

    def spec(self, value: object) -> dict[str, Any]:
        beside = {**self.beside, **(self.only[value] if self.only and value in self.only else {})}
        return with_leaf({**training(nodes={"count": 1})["spec"], **beside}, self.path, value)


# --- scenes: where a value shows ------------------------------------------------------------------------------------


PINNED = {"datasets": [{"source": {"uri": "pvc://corpora/a.jsonl", "dvc": {}}}]}
BESIDE_WEIGHTS = {"model": {"source": {"uri": "pvc://models/base"}}, "method": {"type": "LoRA"}}


def at(value: Any, *path: str | int) -> Any:
    """What lies at the path; None where the path ends early."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError):
            return None
    return value


def job_of(life: Life) -> Manifest:
    (only,) = life.cluster.all(JOB)
    return only


def pod(*path: str | int) -> Scene:
    return lambda life: at(job_of(life), "spec", "template", "spec", *path)


def container(*path: str | int) -> Scene:
    return pod("containers", 0, *path)


def variable(name: str, *path: str | int) -> Scene:
    """A variable of the container, or what lies at the path of the JSON in it."""
    return lambda life: at(json.loads(life.environment()[name]), *path) if path else life.environment().get(name)


def together(*scenes: Scene) -> Scene:
    return lambda life: tuple(scene(life) for scene in scenes)


def deepspeed_file(life: Life) -> Any:
    """DeepSpeed's configuration, as the pod's first container gets it."""
    text = at(job_of(life), "spec", "template", "spec", "initContainers", 0, "env")
    files = next(one["value"] for one in text if one["name"] == "DEEPSEEK_FILES")
    return json.loads(json.loads(files.replace("$$", "$"))["deepspeed.json"])


def secret_of(name: str, part: str) -> Scene:
    """A part of the Secret's entry that a variable takes its value from."""

    def scene(life: Life) -> object:
        (found,) = [
            v for v in at(job_of(life), "spec", "template", "spec", "containers", 0, "env") if v["name"] == name
        ]
        return found["valueFrom"]["secretKeyRef"][part]

    return scene


def pod_label(key: str) -> Scene:
    return lambda life: at(job_of(life), "spec", "template", "metadata", "labels", key)


def mounted(path: str) -> Scene:
    """The claim and its folder that are mounted at `path` of the container."""

    def scene(life: Life) -> object:
        spec = job_of(life)["spec"]["template"]["spec"]
        (mount,) = [mount for mount in spec["containers"][0]["volumeMounts"] if mount["mountPath"] == path]
        (volume,) = [volume for volume in spec["volumes"] if volume["name"] == mount["name"]]
        return volume["persistentVolumeClaim"]["claimName"], mount.get("subPath")

    return scene


def made_claim(*path: str | int) -> Scene:
    """A place in the claim that the operator made for the checkpoints."""

    def scene(life: Life) -> object:
        (made,) = [made for made in life.cluster.all(CLAIM) if made["metadata"]["name"].startswith(f"{NAME}-train")]
        return at(made, "spec", *path)

    return scene


def dev_shm(life: Life) -> object:
    (volume,) = [v for v in job_of(life)["spec"]["template"]["spec"]["volumes"] if v["name"] == "shared-memory"]
    return volume["emptyDir"]["sizeLimit"]


def of_the_users_names(life: Life) -> object:
    return sorted({"LEVEL", "MODE"} & set(life.environment()))


def attempts_until_failed(life: Life) -> object:
    life.turn()
    for number in range(1, 9):
        life.running().crash()
        if life.owner.status.result == "Failed":
            return number
        life.later(600)
    return None


def seconds_until(life: Life, happens: Callable[[], bool], pause_s: int = 10) -> int:
    """Seconds that pass before it has happened, looked at after every pause."""
    for count in range(100):
        if happens():
            return count * pause_s
        life.later(pause_s)
    raise AssertionError("it never happens")


def seconds_to_start(life: Life) -> object:
    """From when all are placed until the attempt is ended because not all run."""
    for pod in life.turn().pods():
        life.world.schedule(pod)
    life.turn()
    return seconds_until(life, lambda: life.owner.status.attempt.stopping == "StartTimeout")  # type: ignore[union-attr]


def seconds_of_a_dead_node(life: Life) -> object:
    """Beyond the grace, until the pod of a node that does not answer is given up."""
    life.turn().running()
    life.world.evict(life.pod(0), "DeletionByTaintManager")
    life.turn().later(GRACE_S)
    return seconds_until(life, lambda: life.owner.status.disruptions == 1)


def claims_after_delete(life: Life) -> object:
    life.turn().cluster.remove(TRAINING, NAMESPACE, NAME, "Background")
    return len(
        [made for made in life.gone().cluster.all(CLAIM) if made["metadata"]["name"].startswith(f"{NAME}-train")]
    )


def jobs_and_phase(life: Life) -> object:
    return life.jobs(), life.owner.status.phase


def of_the_fetch(name: str) -> Scene:
    """A variable of the pod that fetches."""
    return lambda life: next((v["value"] for v in at(*_fetch_env(life)) if v["name"] == name), None)


def token_of_the_fetch(life: Life) -> object:
    return next(v["valueFrom"]["secretKeyRef"]["name"] for v in at(*_fetch_env(life)) if v["name"] == "HF_TOKEN")


def _fetch_env(life: Life) -> tuple[Any, ...]:
    return job_of(life), "spec", "template", "spec", "containers", 0, "env"


# --- the table ------------------------------------------------------------------------------------------------------

SPEC = "DEEPSEEK_TRAINING_SPEC"
GRACE_S = 30
HUB = {"model": {"source": {"uri": "hf://a/b@main", "claimName": "models"}}}
HUB_DATA = {"datasets": [{"source": {"uri": "hf://datasets/a/b@main/c.jsonl", "claimName": "corpora"}}]}
DIGESTS = (f"sha256:{'0' * 64}", f"sha256:{'1' * 64}")
TASK = {"source": {"uri": "builtin://uppercase"}}
CHATS, TEXTS = {**TASK, "format": "Messages"}, {**TASK, "format": "Text"}
OWN_COMMAND = {"trainer": {"type": "custom", "command": ["torchrun"]}}
TOLERATION = {"trainer": {"pod": {"tolerations": [{"key": "gpu"}]}}}
ENV = {"trainer": {"env": [{"name": "LEVEL", "value": "high"}]}}
SECRET = {"trainer": {"env": [{"name": "LEVEL", "secret": {"name": "hub", "key": "token"}}]}}
HELDOUT = [TASK, {**TASK, "split": "Heldout"}]
EVALUATED = {"datasets": HELDOUT, "hyperparameters": {"maxSteps": 100, "evalEverySteps": 5}}
UIDS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
RESUME = {"checkpoints": {"volume": {"claimName": "mine"}, "resume": {"from": {"trainingUID": UIDS[0]}}}}


BY_DEEPSPEED = {
    "model": {"name": "deepseek-v2-lite", "source": {"uri": "pvc://models/base"}},
    "datasets": [{"source": {"uri": "pvc://corpora/a.jsonl"}}],
    "trainer": {"type": "deepspeed", "image": "team/ds:1", "command": ["/app/train.py"]},
    "hyperparameters": {
        "maxSteps": 100,
        "precision": "fp32",
        "gradientCompression": {"type": "OneBitAdam", "freezeSteps": 5},
    },
}
TRACKING = "DEEPSEEK_TRACKING"


def tracked(name: str, scene: Scene) -> Row:
    beside = {"tracking": {"mlflow": {"uri": "http://mlflow:5000"}}}
    return Row(f"tracking.mlflow.{name}", ("a", "b"), scene, beside=beside, edit="Running")


def evaluation_resources(name: str, one: str, other: str, *place: str) -> Row:
    """Of the container beside the trainer's."""
    beside = {**EVALUATED, "evaluation": {"command": ["a"], "image": "a:1"}}
    scene = pod("initContainers", 0, "resources", *place)
    return Row(f"evaluation.resources.{name}", (one, other), scene, beside=beside, edit="Running")


def hyper(name: str, one: object, other: object, **beside: Any) -> Row:
    """A hyperparameter: the trainer reads it under its own name."""
    return Row(f"hyperparameters.{name}", (one, other), variable(SPEC, "hyperparameters", name), beside=beside)


def lora(name: str, one: object, other: object) -> Row:
    """A setting of an adapter: the trainer reads it under its own name."""
    return Row(f"method.lora.{name}", (one, other), variable(SPEC, "method", "lora", name), beside=BESIDE_WEIGHTS)


def rollback(name: str, one: int, other: int) -> Row:
    """A setting of action Rollback; what runs goes on with its own."""
    beside = {"failurePolicy": {"onDivergence": {"action": "Rollback"}}}
    scene = variable(SPEC, "onDivergence", name)
    return Row(f"failurePolicy.onDivergence.{name}", (one, other), scene, beside=beside, edit="Running")


def setting(path: str, one: object, other: object, place: str | int, *rest: str | int, **beside: Any) -> Row:
    """A pod setting: it stands at that place of the pod."""
    return Row(f"trainer.pod.{path}", (one, other), pod(place, *rest), beside=beside, edit="SpecChanged")


def policy(path: str, one: int, other: int, name: str) -> Row:
    """A number that the pod reads from a variable; what runs goes on with its own."""
    return Row(path, (one, other), variable(name), (str(one), str(other)), edit="Running")


ROWS = (
    Row("model.name", ("deepseek-v2-lite", "ours"), variable(SPEC, "model", "name")),
    Row(
        "model.source.uri",
        ("pvc://models/r1/v2", "pvc://corpora"),
        together(mounted("/model"), variable(SPEC, "model", "path")),
        ((("models", "r1/v2"), "/model"), (("corpora", None), "/model")),
        {"model": {}},
    ),
    Row(
        "model.source.claimName",
        ("models", "mine"),
        pod("volumes", 0, "persistentVolumeClaim", "claimName"),
        beside=HUB,
    ),
    Row("model.source.credentials", ("hub", "mirror"), token_of_the_fetch, beside=HUB, edit="Running"),
    Row("model.source.digest", DIGESTS, of_the_fetch("DEEPSEEK_SOURCE_DIGEST"), beside=HUB),
    Row(
        "model.fromTraining.name",
        ("elder", "younger"),
        lambda life: mounted("/model")(life)[0],  # type: ignore[index]
        ("mine", "theirs"),
        {"model": {}},
    ),
    Row(
        "model.fromTraining.checkpoint",
        ("Best", "Latest"),
        lambda life: mounted("/model")(life)[1].rpartition("/")[2],  # type: ignore[index]
        ("10", "20"),
        {"model": {"fromTraining": {"name": "elder"}}},
    ),
    Row(
        "initFrom.training",
        ("elder", "younger"),
        together(lambda life: mounted("/init")(life)[0], variable(SPEC, "initFrom", "checkpoint")),  # type: ignore[index]
        (("mine", "20"), ("theirs", "40")),
    ),
    Row(
        "initFrom.source.uri",
        ("pvc://models/a", "pvc://corpora/b"),
        mounted("/init"),
        (("models", "a"), ("corpora", "b")),
    ),
    Row(
        "initFrom.checkpoint",
        ("Best", "15"),
        variable(SPEC, "initFrom", "checkpoint"),
        ("10", "15"),
        {"initFrom": {"training": "elder"}},
    ),
    Row("model.custom", ({"hidden_size": 8}, {"hidden_size": 16}), variable(SPEC, "model", "custom")),
    Row(
        "datasets[].source.uri",
        ("pvc://corpora/a.jsonl", "pvc://models/b/c.txt"),
        together(mounted("/datasets/0"), variable(SPEC, "datasets", 0, "source", "path")),
        ((("corpora", None), "/datasets/0/a.jsonl"), (("models", None), "/datasets/0/b/c.txt")),
    ),
    Row(
        "datasets[].source.claimName",
        ("corpora", "mine"),
        pod("volumes", 0, "persistentVolumeClaim", "claimName"),
        beside=HUB_DATA,
    ),
    Row("datasets[].source.credentials", ("hub", "mirror"), token_of_the_fetch, beside=HUB_DATA, edit="Running"),
    Row("datasets[].source.digest", DIGESTS, of_the_fetch("DEEPSEEK_SOURCE_DIGEST"), beside=HUB_DATA),
    Row(
        "datasets[].source.dvc.file",
        ("a.dvc", "b/c.dvc"),
        variable(SPEC, "datasets", 0, "source", "dvc", "file"),
        ("/datasets/0/a.dvc", "/datasets/0/b/c.dvc"),
        beside=PINNED,
    ),
    Row(
        "datasets[].source.dvc.md5",
        ("0" * 32, "1" * 32 + ".dir"),
        variable(SPEC, "datasets", 0, "source", "dvc", "md5"),
        beside=PINNED,
    ),
    Row(
        "datasets[].split",
        ("Train", "Heldout"),
        variable(SPEC, "datasets", 0, "split"),
        beside={"datasets": [TASK] * 2},
    ),
    Row("datasets[].format", ("PromptCompletion", "Text"), variable(SPEC, "datasets", 0, "format")),
    Row("datasets[].weight", ("0.5", "2"), variable(SPEC, "datasets", 0, "weight")),
    Row(
        "chatTemplate.name",
        ("DeepSeek", None),
        variable(SPEC, "chatTemplate", "name"),
        beside={"datasets": [CHATS]},
        only={None: {"chatTemplate": {"text": "a"}}},
    ),
    Row("chatTemplate.text", ("a", "b"), variable(SPEC, "chatTemplate", "text"), beside={"datasets": [CHATS]}),
    Row("objective", ("SFT", "Pretrain"), variable(SPEC, "objective"), beside={"datasets": [TEXTS]}),
    Row("lossOn", ("Completion", "All"), variable(SPEC, "lossOn")),
    Row("data.normalize", ("NFC", "NFKC"), variable(SPEC, "data", "normalize")),
    Row("data.deduplicate", ("Exact", "Near"), variable(SPEC, "data", "deduplicate")),
    Row(
        "data.nearSimilarity",
        ("0.7", "0.9"),
        variable(SPEC, "data", "nearSimilarity"),
        beside={"data": {"deduplicate": "Near"}},
    ),
    Row("data.minTokens", (1, 2), variable(SPEC, "data", "minTokens")),
    Row("data.maxTokens", (100, 200), variable(SPEC, "data", "maxTokens")),
    Row("data.languages[]", (["en"], ["zh"]), variable(SPEC, "data", "languages")),
    Row("data.minLetters", ("0.4", "0.5"), variable(SPEC, "data", "minLetters")),
    Row("data.maxRepetition", ("0.2", "0.3"), variable(SPEC, "data", "maxRepetition")),
    Row(
        "data.decontaminateWords",
        (8, 13),
        variable(SPEC, "data", "decontaminateWords"),
        beside={"datasets": [TASK, {**TASK, "split": "Heldout"}]},
    ),
    Row("data.packing", (None, "Documents"), variable(SPEC, "data", "packing"), only={None: {"data": {}}}),
    hyper("globalBatchSize", 8, 16),
    hyper("microBatchSize", 2, 4),
    hyper("sequenceLength", 64, 128),
    hyper("learningRate", "3e-5", "1e-4"),
    hyper("schedule", "Linear", "Constant"),
    hyper("warmupSteps", 5, 10),
    hyper("maxSteps", 50, 100),
    Row(
        "hyperparameters.moreSteps",
        (5, 10),
        variable(SPEC, "hyperparameters", "maxSteps"),
        (25, 30),
        {"hyperparameters": {}, "checkpoints": {"resume": {"from": {"training": "elder"}}}},
    ),
    hyper("epochs", 1, 2, hyperparameters={}),
    hyper("precision", "fp32", "bf16"),
    Row("method.type", ("Full", "LoRA"), variable(SPEC, "method", "type"), beside=BESIDE_WEIGHTS),
    lora("rank", 8, 32),
    lora("alpha", 8, 32),
    lora("dropout", "0", "0.1"),
    Row(
        "method.lora.targets[]",
        (["Attention"], ["q_proj", "v_proj"]),
        variable(SPEC, "method", "lora", "targets"),
        beside=BESIDE_WEIGHTS,
    ),
    lora("export", "Merged", "Adapter"),
    Row(
        "method.prompt.virtualTokens",
        (10, 30),
        variable(SPEC, "method", "prompt", "virtualTokens"),
        beside={**BESIDE_WEIGHTS, "method": {"type": "PromptTuning"}},
    ),
    Row(
        "method.prompt.encoderHiddenSize",
        (64, 256),
        variable(SPEC, "method", "prompt", "encoderHiddenSize"),
        beside={**BESIDE_WEIGHTS, "method": {"type": "PTuning"}},
    ),
    hyper("crossEntropy", "Whole", "Chunked"),
    hyper("activationRecomputation", "Selective", "Full"),
    hyper("optimizer", "AdamW8bit", "Muon"),
    Row(
        "hyperparameters.gradientCompression.type",
        ("PowerSGD", "OneBitAdam"),
        variable(SPEC, "hyperparameters", "gradientCompression", "type"),
        beside=BESIDE_WEIGHTS,
        only={"OneBitAdam": {**BY_DEEPSPEED, "method": {"type": "Full"}}},
    ),
    Row(
        "hyperparameters.gradientCompression.rank",
        (1, 4),
        variable(SPEC, "hyperparameters", "gradientCompression", "rank"),
        beside={**BESIDE_WEIGHTS, "hyperparameters": {"maxSteps": 100, "gradientCompression": {"type": "PowerSGD"}}},
    ),
    Row(
        "hyperparameters.gradientCompression.freezeSteps",
        (10, 20),
        lambda life: deepspeed_file(life)["optimizer"]["params"]["freeze_step"],
        beside=BY_DEEPSPEED,
    ),
    hyper("weightDecay", "0", "0.01"),
    hyper("gradientClipNorm", "0", "1"),
    hyper("seed", 1, 2),
    hyper("evalEverySteps", 5, 10, datasets=[TASK, {**TASK, "split": "Heldout"}]),
    hyper("evalSamples", 1, 4, datasets=[TASK, {**TASK, "split": "Heldout"}]),
    hyper(
        "evalSampleTokens",
        8,
        64,
        datasets=[TASK, {**TASK, "split": "Heldout"}],
        hyperparameters={"maxSteps": 100, "evalSamples": 2},
    ),
    Row(
        "earlyStopping.patience",
        (2, 5),
        variable(SPEC, "earlyStopping", "patience"),
        beside=EVALUATED,
        edit="Running",
    ),
    Row(
        "earlyStopping.minDelta",
        ("0", "0.01"),
        variable(SPEC, "earlyStopping", "minDelta"),
        beside={**EVALUATED, "earlyStopping": {"patience": 2}},
        edit="Running",
    ),
    Row("tracking.mlflow.uri", ("http://a:5000", "https://b"), variable(TRACKING, "mlflow", "uri"), edit="Running"),
    tracked("experiment", variable(TRACKING, "mlflow", "experiment")),
    tracked("registeredModel", variable(TRACKING, "mlflow", "registeredModel")),
    Row(
        "evaluation.command[]",
        (["a"], ["b", "-c"]),
        variable(SPEC, "evaluation", "command"),
        beside=EVALUATED,
        edit="Running",
    ),
    Row(
        "evaluation.timeoutSeconds",
        (60, 900),
        variable(SPEC, "evaluation", "timeoutSeconds"),
        beside={**EVALUATED, "evaluation": {"command": ["a"]}},
        edit="Running",
    ),
    Row(
        "evaluation.image",
        ("a:1", "b:1"),
        pod("initContainers", 0, "image"),
        beside={**EVALUATED, "evaluation": {"command": ["a"]}},
        edit="Running",
    ),
    evaluation_resources("cpu", "1", "500m", "requests", "cpu"),
    evaluation_resources("cpuLimit", "1", "500m", "limits", "cpu"),
    evaluation_resources("memory", "1Gi", "2Gi", "limits", "memory"),
    Row("tracking.tensorboard.run", ("a", "b"), variable(TRACKING, "tensorboard", "run"), edit="Running"),
    tracked("credentials", secret_of("MLFLOW_TRACKING_TOKEN", "name")),
    Row(
        "accelerator.profile",
        ("nvidia-h100-80", "amd-mi300x-192"),
        container("resources", "limits"),
        ({"nvidia.com/gpu": "8"}, {"amd.com/gpu": "8"}),
        edit="SpecChanged",
    ),
    Row(
        "accelerator.resource",
        ("nvidia.com/gpu", "example.com/npu"),
        together(container("resources", "limits"), container("resources", "requests")),
        (({"nvidia.com/gpu": "1"},) * 2, ({"example.com/npu": "1"},) * 2),
        edit="SpecChanged",
    ),
    Row(
        "accelerator.perNode",
        (1, 4),
        together(container("resources", "limits"), variable("DEEPSEEK_PROCESSES_PER_NODE"), variable("WORLD_SIZE")),
        (({"nvidia.com/gpu": "1"}, "1", "1"), ({"nvidia.com/gpu": "4"}, "4", None)),
        {"accelerator": {"resource": "nvidia.com/gpu"}},
        "SpecChanged",
    ),
    Row(
        "parallelism.expert",
        (2, 4),
        variable(SPEC, "parallelism", "expert"),
        beside={"nodes": {"count": 4}},
        edit="SpecChanged",
    ),
    Row(
        "parallelism.sharding",
        ("Full", "Hybrid"),
        variable(SPEC, "parallelism", "sharding"),
        (None, "Hybrid"),
        {"nodes": {"count": 2}, "accelerator": {"resource": "nvidia.com/gpu", "perNode": 2}},
        "SpecChanged",
    ),
    Row(
        "nodes.count",
        (2, 4),
        together(
            lambda life: at(job_of(life), "spec", "completions"), variable("DEEPSEEK_NODES"), variable("WORLD_SIZE")
        ),
        ((2, "2", "2"), (4, "4", "4")),
        edit="SpecChanged",
    ),
    Row("trainer.image", ("team/train:1", "team/train:2"), container("image"), edit="SpecChanged"),
    Row(
        "trainer.type",
        ("builtin", "custom"),
        container("command"),
        (["python3", "-m", "deepseek_runtime.launcher"], ["torchrun"]),
        only={"custom": {"trainer": {"command": ["torchrun"]}}},
        edit="SpecChanged",
    ),
    Row(
        "trainer.command[]",
        (["torchrun"], ["accelerate", "-m"]),
        container("command"),
        beside={"trainer": {"type": "custom"}},
        edit="SpecChanged",
    ),
    Row("trainer.args[]", (["--fast"], ["--slow"]), container("args"), beside=OWN_COMMAND, edit="SpecChanged"),
    Row("trainer.env[].name", ("LEVEL", "MODE"), of_the_users_names, (["LEVEL"], ["MODE"]), ENV, "SpecChanged"),
    Row("trainer.env[].value", ("high", "low"), variable("LEVEL"), beside=ENV, edit="SpecChanged"),
    Row(
        "trainer.resources.cpu",
        ("8", "500m"),
        together(container("resources", "requests", "cpu"), variable("DEEPSEEK_CPUS")),
        (("8", "8"), ("500m", "1")),
        edit="SpecChanged",
    ),
    Row("trainer.resources.cpuLimit", ("8", "12"), container("resources", "limits", "cpu"), edit="SpecChanged"),
    Row(
        "trainer.env[].secret.name",
        ("hub", "mirror"),
        secret_of("LEVEL", "name"),
        beside=SECRET,
        edit="SpecChanged",
    ),
    Row("trainer.env[].secret.key", ("token", "other"), secret_of("LEVEL", "key"), beside=SECRET, edit="SpecChanged"),
    Row("trainer.pod.labels", ({"team": "a"}, {"team": "b"}), pod_label("team"), ("a", "b"), edit="SpecChanged"),
    Row(
        "trainer.pod.annotations",
        ({"contact": "a"}, {"contact": "b"}),
        lambda life: at(job_of(life), "spec", "template", "metadata", "annotations", "contact"),
        ("a", "b"),
        edit="SpecChanged",
    ),
    Row(
        "trainer.pod.imagePullSecrets[]",
        (["a"], ["b"]),
        pod("imagePullSecrets"),
        ([{"name": "a"}], [{"name": "b"}]),
        edit="SpecChanged",
    ),
    Row(
        "trainer.resources.memory",
        ("8Gi", "16Gi"),
        together(container("resources", "requests", "memory"), container("resources", "limits", "memory")),
        (("8Gi", "8Gi"), ("16Gi", "16Gi")),
        edit="SpecChanged",
    ),
    Row("trainer.resources.sharedMemory", ("2Gi", "4Gi"), dev_shm, edit="SpecChanged"),
    setting("nodeSelector", {"zone": "a"}, {"zone": "b"}, "nodeSelector"),
    setting("tolerations[].key", "gpu", "spot", "tolerations", 0, "key", **TOLERATION),
    setting("tolerations[].operator", "Exists", "Equal", "tolerations", 0, "operator", **TOLERATION),
    setting("tolerations[].value", "a", "b", "tolerations", 0, "value", **TOLERATION),
    setting("tolerations[].effect", "NoSchedule", "NoExecute", "tolerations", 0, "effect", **TOLERATION),
    setting("priorityClassName", "high", "low", "priorityClassName"),
    setting("runAsUser", 1001, 1002, "securityContext", "runAsUser"),
    setting("fsGroup", 1001, 1002, "securityContext", "fsGroup"),
    Row(
        "trainer.pod.terminationGracePeriodSeconds",
        (60, 300),
        together(pod("terminationGracePeriodSeconds"), variable("DEEPSEEK_GRACE_SECONDS")),
        ((60, "60"), (300, "300")),
        edit="SpecChanged",
    ),
    policy("checkpoints.everySteps", 5, 10, "DEEPSEEK_CHECKPOINT_EVERY_STEPS"),
    policy("checkpoints.everySeconds", 60, 300, "DEEPSEEK_CHECKPOINT_EVERY_SECONDS"),
    Row(
        "checkpoints.volume.claimName", ("mine", "theirs"), mounted("/checkpoints"), (("mine", None), ("theirs", None))
    ),
    Row(
        "checkpoints.volume.subPath",
        ("runs/a", "runs/b"),
        mounted("/checkpoints"),
        (("mine", "runs/a"), ("mine", "runs/b")),
        {"checkpoints": {"volume": {"claimName": "mine"}}},
    ),
    Row("checkpoints.volume.storageClassName", ("fast", "cheap"), made_claim("storageClassName")),
    Row("checkpoints.volume.size", ("1Gi", "2Gi"), made_claim("resources", "requests", "storage"), edit="Running"),
    Row("checkpoints.volume.accessMode", ("ReadWriteOnce", "ReadWriteMany"), made_claim("accessModes", 0)),
    policy("checkpoints.keepLast", 3, 5, "DEEPSEEK_CHECKPOINT_KEEP_LAST"),
    policy("checkpoints.keepBest", 0, 2, "DEEPSEEK_CHECKPOINT_KEEP_BEST"),
    Row(
        "checkpoints.best.metric",
        ("evalLoss", "accuracy"),
        variable("DEEPSEEK_CHECKPOINT_BEST_METRIC"),
        beside={"datasets": HELDOUT},
        edit="Running",
    ),
    Row(
        "checkpoints.best.mode",
        ("Min", "Max"),
        variable("DEEPSEEK_CHECKPOINT_BEST_MODE"),
        beside={**OWN_COMMAND, "checkpoints": {"best": {"metric": "bleu"}}},
        edit="Running",
    ),
    Row("checkpoints.onDelete", ("Retain", "Delete"), claims_after_delete, (1, 0), edit="Running"),
    Row("checkpoints.resume.policy", ("Auto", "Never"), variable("DEEPSEEK_RESUME_POLICY")),
    Row("checkpoints.resume.from.trainingUID", UIDS, variable("DEEPSEEK_RESUME_FROM", "trainingUID"), beside=RESUME),
    Row(
        "checkpoints.resume.from.checkpoint",
        ("Best", "50"),
        variable("DEEPSEEK_RESUME_FROM", "checkpoint"),
        beside=RESUME,
    ),
    Row(
        "checkpoints.resume.from.training",
        ("elder", "younger"),
        together(mounted("/checkpoints"), variable("DEEPSEEK_RESUME_FROM", "checkpoint")),
        ((("mine", None), "20"), (("theirs", None), "40")),
    ),
    Row("failurePolicy.maxRestarts", (0, 2), attempts_until_failed, (1, 3), edit="Running"),
    Row("failurePolicy.startTimeoutSeconds", (20, 40), seconds_to_start, edit="Running"),
    policy("failurePolicy.stallTimeoutSeconds", 60, 120, "DEEPSEEK_STALL_TIMEOUT_SECONDS"),
    policy("failurePolicy.preflightTimeoutSeconds", 30, 60, "DEEPSEEK_PREFLIGHT_SECONDS"),
    policy("failurePolicy.minVolumeMegabytesPerSecond", 5, 50, "DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND"),
    policy("failurePolicy.maxInPlaceRestarts", 1, 5, "DEEPSEEK_MAX_IN_PLACE_RESTARTS"),
    Row(
        "failurePolicy.onDivergence.action",
        ("Stop", "Rollback"),
        variable(SPEC, "onDivergence", "action"),
        (None, "Rollback"),
        edit="Running",
    ),
    rollback("skipSteps", 1, 20),
    rollback("max", 1, 9),
    Row(
        "failurePolicy.nodeLostSeconds",
        (30, 60),
        seconds_of_a_dead_node,
        (40, 70),  # the first look after the limit
        {
            "checkpoints": {"volume": {"accessMode": "ReadWriteMany"}},
            "trainer": {"pod": {"terminationGracePeriodSeconds": GRACE_S}},
        },
        "Running",
    ),
    Row("suspend", (False, True), jobs_and_phase, ((["1"], "Starting"), ([], "Suspended")), edit="Suspended"),
)


def applied(spec: Mapping[str, Any]) -> Life:
    """A life in which the user has applied the spec, beside claims of their own, and the operator has acted."""
    life = Life()
    for name in ("corpora", "mine", "models", "theirs"):
        life.cluster.put(claim(name))
    ended(life.cluster, "elder", "mine", (10, 20))
    ended(life.cluster, "younger", "theirs", (30, 40))
    life.cluster.put({**training(), "spec": dict(spec)})
    life.operator.settle()
    return life


def brought(life: Life) -> Life:
    """What is fetched has come."""
    for pod in life.turn().cluster.all(POD):
        if pod["metadata"]["labels"].get(ROLE_LABEL) == ROLE:
            digest = next(
                (v["value"] for v in pod["spec"]["containers"][0]["env"] if "DIGEST" in v["name"]), DIGESTS[0]
            )
            uri = next(v["value"] for v in pod["spec"]["containers"][0]["env"] if v["name"] == "DEEPSEEK_SOURCE_URI")
            place = "datasets--a--b" if "datasets/" in uri else "a--b"
            said = {"folder": f"sources/hf/{place}/1", "revision": "1", "digest": digest, "bytes": 1}
            life.world.end(pod, 0, json.dumps({"source": said}))
    return life.turn()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_a_field_shows_where_it_acts(row: Row) -> None:
    seen = tuple(row.scene(applied(row.spec(value))) for value in row.values)
    assert seen == (row.expected or row.values)
    assert seen[0] != seen[1]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_an_edit_of_a_running_training_is_refused_or_restarts_it_or_leaves_it_alone(row: Row) -> None:
    before, after = (row.spec(value) for value in row.values)
    life = brought(applied(before)).running()
    assert life.told == ("Ready", "Running")
    life.cluster.edit(TRAINING, NAMESPACE, NAME, lambda live: live.update(spec=after))
    life.operator.settle()
    assert life.owner.status.attempt is not None
    assert (life.owner.status.attempt.stopping or life.told[1]) == row.edit


def test_no_field_is_accepted_that_has_no_row() -> None:
    paths = [row.path for row in ROWS]
    assert len(paths) == len(set(paths))
    assert {f"spec.{path}" for path in paths} == schema_leaves(TRAINING.plural, "spec")
