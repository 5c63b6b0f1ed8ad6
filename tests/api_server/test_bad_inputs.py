"""What a careless or hostile user writes is refused at the door, by the API server alone, with words that help."""

from collections.abc import Mapping
from typing import Any

import pytest

from examples.local_cluster.api import ApiError
from examples.local_cluster.control_plane import Cluster
from tests.support.api_objects import UID, changed, collection, minimal_serving, minimal_training

Changes = Mapping[str, Any]

VOLUME = "spec.checkpoints.volume"
POD = "spec.trainer.pod"
HYPER = "spec.hyperparameters"
TASK = {"uri": "builtin://uppercase"}


def _env(name: str, **more: Any) -> Changes:
    return {"spec.trainer.env": [{"name": name, **more}]}


def _dataset(uri: str, **more: Any) -> Changes:
    return {"spec.datasets": [{"source": {"uri": uri}, **more}]}


HELDOUT = {"spec.datasets": [{"source": TASK}, {"source": TASK, "split": "Heldout"}]}
MLFLOW = "spec.tracking.mlflow"
EVALUATED = {**HELDOUT, f"{HYPER}.evalEverySteps": 5}


def _best(metric: str, **more: Any) -> Changes:
    return {**HELDOUT, "spec.checkpoints.best": {"metric": metric, **more}}


ONE_BIT = {"type": "OneBitAdam", "freezeSteps": 20}
CHATS = _dataset("builtin://uppercase", format="Messages")

# What is wrong, the edit of a valid training that brings it about, and words of the answer.
TRAININGS: tuple[tuple[str, Changes, str], ...] = (
    # The shape of a training.
    ("no spec at all", {"spec": None}, "spec: Required value"),
    (
        "neither weights nor a configuration",
        {"spec.model": {}},
        "model.source (weights on a claim), model.fromTraining",
    ),
    (
        "weights and a configuration",
        {"spec.model.source": {"uri": "pvc://a/b"}},
        "or model.custom (config.json fields), not both",
    ),
    ("nothing to learn from", {"spec.datasets": None}, "write datasets with at least one of split Train"),
    ("only held-out data", _dataset("builtin://uppercase", split="Heldout"), "at least one of split Train"),
    ("an unknown split", _dataset("builtin://uppercase", split="Test"), 'supported values: "Train", "Heldout"'),
    ("a dataset that is never drawn", _dataset("builtin://uppercase", weight="0"), "must be above 0"),
    (
        "a weight where nothing is learnt",
        {"spec.datasets": [{"source": TASK}, {"source": TASK, "split": "Heldout", "weight": "2"}]},
        "leave it out of a dataset with split Heldout",
    ),
    (
        "a form of data that nobody knows",
        _dataset("builtin://uppercase", format="ShareGPT"),
        'values: "PromptCompletion"',
    ),
    (
        "a chat template without chats",
        {"spec.chatTemplate": {"name": "DeepSeek"}},
        "write a dataset of format Messages",
    ),
    (
        "two chat templates",
        {**CHATS, "spec.chatTemplate": {"name": "DeepSeek", "text": "{{ messages }}"}},
        "write chatTemplate.name (a template that the trainer knows) or chatTemplate.text (Jinja), one of them",
    ),
    (
        "a chat template of neither kind",
        {**CHATS, "spec.chatTemplate": {}},
        "or chatTemplate.text (Jinja), one of them",
    ),
    ("an unknown chat template", {**CHATS, "spec.chatTemplate": {"name": "Llama"}}, 'supported values: "DeepSeek"'),
    ("chats for a fresh model", CHATS, "has no chat template: write chatTemplate, for example {name: DeepSeek}"),
    ("answers in texts", {**_dataset("builtin://uppercase", format="Text"), "spec.lossOn": "All"}, "leave lossOn out"),
    ("an unknown loss", {"spec.lossOn": "Prompt"}, 'supported values: "Completion", "AssistantTurns", "All"'),
    ("no end", {f"{HYPER}.maxSteps": None}, "write hyperparameters.maxSteps or hyperparameters.epochs"),
    ("two ends", {f"{HYPER}.epochs": 2}, "hyperparameters.maxSteps or hyperparameters.epochs, not both"),
    (
        "a batch that the workers can't share",
        {"spec.nodes": {"count": 3}},
        "must be divisible by the number of processes",
    ),
    (
        "a batch that the accelerators can't share",
        {"spec.accelerator": {"resource": "nvidia.com/gpu", "perNode": 5}},
        "must be divisible by the number of processes",
    ),
    (
        "warm-up that never ends",
        {f"{HYPER}.warmupSteps": 100},
        "warmupSteps must be less than hyperparameters.maxSteps",
    ),
    (
        "batches to leave out where it stops",
        {"spec.failurePolicy.onDivergence": {"skipSteps": 2}},
        "skipSteps and max are of action Rollback: write action: Rollback",
    ),
    (
        "an answer to divergence that nobody knows",
        {"spec.failurePolicy.onDivergence": {"action": "Restart"}},
        'supported values: "Stop", "Rollback"',
    ),
    (
        "rollbacks of a command",
        {
            "spec.failurePolicy.onDivergence": {"action": "Rollback"},
            "spec.trainer": {"type": "custom", "command": ["torchrun"]},
        },
        "let your command go back to a checkpoint itself",
    ),
    (
        "a preflight of a command",
        {"spec.failurePolicy.preflightTimeoutSeconds": 9, "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "let your command try first what it needs",
    ),
    (
        "a speed that nothing measures",
        {"spec.failurePolicy": {"preflightTimeoutSeconds": 0, "minVolumeMegabytesPerSecond": 9}},
        "write preflightTimeoutSeconds above 0, or leave one of them out",
    ),
    (
        "restarts in place of a command",
        {"spec.failurePolicy.maxInPlaceRestarts": 2, "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "let your command start its processes again itself",
    ),
    (
        "no rollback at all",
        {"spec.failurePolicy.onDivergence": {"action": "Rollback", "max": 0}},
        "greater than or equal to 1",
    ),
    (
        "answers to no prompt",
        {
            "spec.datasets": [{"source": TASK}, {"source": TASK, "split": "Heldout", "format": "Text"}],
            f"{HYPER}.evalSamples": 2,
        },
        "hyperparameters.evalSamples answers prompts",
    ),
    (
        "an optimizer that nobody knows",
        {f"{HYPER}.optimizer": "Lion"},
        'supported values: "AdamW", "AdamW8bit", "Muon"',
    ),
    (
        "matrices where vectors are learnt",
        {
            "spec.model": {"source": {"uri": "pvc://models/base"}},
            "spec.method": {"type": "PromptTuning"},
            f"{HYPER}.optimizer": "Muon",
        },
        "write hyperparameters.optimizer AdamW",
    ),
    ("too many answers", {**HELDOUT, f"{HYPER}.evalSamples": 17}, "less than or equal to 16"),
    (
        "the length of no answer",
        {**HELDOUT, f"{HYPER}.evalSampleTokens": 8},
        "evalSampleTokens is how long the answers",
    ),
    ("weights of nobody", {"spec.initFrom": {}}, "write initFrom.training (a DeepSeekTraining of this namespace)"),
    (
        "weights of two",
        {"spec.initFrom": {"training": "first", "source": {"uri": "pvc://a/b"}}},
        "write initFrom.training (a DeepSeekTraining of this namespace)",
    ),
    (
        "weights and a resume",
        {
            "spec.initFrom": {"training": "first"},
            "spec.checkpoints.resume": {"from": {"training": "first"}},
            "spec.checkpoints.volume": None,
        },
        "or checkpoints.resume.from (goes on with optimizer and steps), not both",
    ),
    (
        "two trainings to begin with",
        {"spec.initFrom": {"training": "first"}, "spec.model": {"fromTraining": {"name": "second"}}},
        "write that as model.source or model.custom",
    ),
    (
        "weights for a command",
        {"spec.initFrom": {"training": "first"}, "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "let your command read the checkpoint",
    ),
    (
        "no checkpoint",
        {"spec.initFrom": {"training": "first", "checkpoint": "Newest"}},
        "Latest, Best, or a quoted step",
    ),
    ("a metric that is one batch's", _best("loss"), "an easy batch is no better model: write evalLoss"),
    ("the highest loss", _best("evalLoss", mode="Max"), "leave checkpoints.best.mode out"),
    ("the lowest accuracy", _best("accuracy", mode="Min"), "leave checkpoints.best.mode out"),
    ("a metric that nobody measures", _best("bleu", mode="Max"), "the built-in trainer measures evalLoss and accuracy"),
    (
        "a metric of one's own, whichever way",
        {**_best("bleu"), "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "whether the lowest (Min) or the highest (Max)",
    ),
    ("a metric that is no name", _best("../bleu", mode="Max"), "write a metric's name in the manifests"),
    (
        "the best of nothing",
        {"spec.checkpoints.best": {"metric": "evalLoss"}},
        "checkpoints.best needs something to be measured on",
    ),
    (
        "answers that no text holds",
        {
            "spec.checkpoints.best": {"metric": "accuracy"},
            "spec.datasets": [{"source": TASK}, {"source": TASK, "split": "Heldout", "format": "Text"}],
        },
        "write checkpoints.best.metric evalLoss",
    ),
    ("a tracking server of none", {"spec.tracking": {"mlflow": {"uri": "mlflow:5000"}}}, "http or https address"),
    ("a password in it", {"spec.tracking": {"mlflow": {"uri": "http://me:pw@mlflow"}}}, "address without a user"),
    ("an experiment's folder", {f"{MLFLOW}": {"uri": "http://m", "experiment": "a/b"}}, "without '/' and ':'"),
    ("a run's folder", {"spec.tracking.tensorboard": {"run": "a/b"}}, "without '/' and ':'"),
    (
        "a folder of events",
        {"spec.tracking.tensorboard": {"folder": "a"}},
        'unknown field "spec.tracking.tensorboard.folder"',
    ),
    (
        "events of a script",
        {"spec.trainer": {"type": "custom", "command": ["x"]}, "spec.tracking": {"tensorboard": {}}},
        "let your program tell its server itself",
    ),
    (
        "tracking of a script",
        {"spec.trainer": {"type": "custom", "command": ["x"]}, MLFLOW: {"uri": "http://m"}},
        "let your program tell its server itself",
    ),
    ("compression of all parameters", {f"{HYPER}.gradientCompression": {"type": "PowerSGD"}}, "with method LoRA"),
    ("1-bit Adam of another trainer", {f"{HYPER}.gradientCompression": ONE_BIT}, "write trainer.type deepspeed"),
    (
        "1-bit Adam without an end of plain steps",
        {f"{HYPER}.gradientCompression": {"type": "OneBitAdam"}},
        "write there after how many steps",
    ),
    (
        "columns that save nothing",
        {
            f"{HYPER}.gradientCompression": {"type": "PowerSGD", "rank": 8},
            "spec.model": {"source": {"uri": "pvc://a/b"}},
            "spec.method": {"type": "LoRA"},
        },
        "below half of method.lora.rank",
    ),
    ("experts over other processes", {"spec.parallelism": {"expert": 2}}, "must divide the number of processes"),
    (
        "a copy on one node",
        {"spec.parallelism": {"sharding": "Hybrid"}},
        "keeps a copy on each node: write nodes.count 2 or more",
    ),
    (
        "nothing to share out within a node",
        {"spec.parallelism": {"sharding": "Hybrid"}, "spec.nodes": {"count": 2}},
        "shares states out within a node: write accelerator.perNode 2 or more",
    ),
    (
        "experts and copies",
        {
            "spec.parallelism": {"sharding": "Hybrid", "expert": 2},
            "spec.nodes": {"count": 2},
            "spec.accelerator": {"resource": "nvidia.com/gpu", "perNode": 2},
        },
        "deals experts out over all processes: write parallelism.sharding Full",
    ),
    (
        "another trainer's sharding",
        {"spec.parallelism": {"sharding": "Full"}, "spec.trainer": {"type": "llama-factory"}},
        "parallelism.sharding is the built-in trainer's",
    ),
    (
        "a part of layers beside experts that are dealt out",
        {
            "spec.parallelism": {"expert": 2},
            "spec.nodes": {"count": 2},
            "spec.hyperparameters.activationRecomputation": "Selective",
        },
        "write activationRecomputation Full or None",
    ),
    ("a sharding that there is not", {"spec.parallelism": {"sharding": "ZeRO3"}}, "Hybrid"),
    ("a recomputation that there is not", {"spec.hyperparameters.activationRecomputation": "Some"}, "Selective"),
    ("experts over none", {"spec.parallelism": {"expert": 0}}, "greater than or equal to 1"),
    (
        "experts of a command",
        {"spec.parallelism": {"expert": 2}, "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "let your command lay itself out",
    ),
    (
        "adapters of experts that are dealt out",
        {
            "spec.parallelism": {"expert": 2},
            "spec.nodes": {"count": 2},
            "spec.model": {"source": {"uri": "pvc://a/b"}},
            "spec.method": {"type": "LoRA", "lora": {"targets": ["Attention", "Experts"]}},
        },
        "or Experts out of method.lora.targets",
    ),
    (
        "a metric that nobody measures",
        _best("bleu", mode="Max"),
        "or the program that measures another as evaluation.command",
    ),
    (
        "a metric of nobody's mode",
        {**_best("bleu"), "spec.evaluation": {"command": ["x"]}},
        "whether the lowest (Min) or the highest (Max)",
    ),
    ("a measure without its program", {"spec.evaluation": {"timeoutSeconds": 5}}, "spec.evaluation.command"),
    ("a program of no words", {"spec.evaluation": {"command": []}}, "at least 1"),
    (
        "resources of no container",
        {"spec.evaluation": {"command": ["x"], "resources": {"cpu": 1}}},
        "write it too, or count the program into trainer.resources",
    ),
    ("an image of no name", {"spec.evaluation": {"command": ["x"], "image": "a b"}}, "spec.evaluation.image"),
    (
        "too little memory to measure in",
        {"spec.evaluation": {"command": ["x"], "image": "a:1", "resources": {"memory": "1Mi"}}},
        "at least 16Mi",
    ),
    (
        "fewer cores to measure with than are asked for",
        {"spec.evaluation": {"command": ["x"], "image": "a:1", "resources": {"cpu": 2, "cpuLimit": 1}}},
        "resources.cpuLimit must be at least resources.cpu",
    ),
    ("no time to measure", {"spec.evaluation": {"command": ["x"], "timeoutSeconds": 0}}, "greater than or equal to 1"),
    (
        "a program beside a script",
        {"spec.trainer": {"type": "custom", "command": ["x"]}, "spec.evaluation": {"command": ["x"]}},
        "metrics of its own into the manifests of its checkpoints",
    ),
    ("evaluations of nothing", {f"{HYPER}.evalEverySteps": 5}, "or evaluation.command"),
    ("patience with nothing", {"spec.earlyStopping": {"patience": 3}}, "write hyperparameters.evalEverySteps"),
    ("no patience", {**EVALUATED, "spec.earlyStopping": {"minDelta": "1"}}, "earlyStopping.patience"),
    ("patience of nothing", {**EVALUATED, "spec.earlyStopping": {"patience": 0}}, "greater than or equal to 1"),
    (
        "a delta below zero",
        {**EVALUATED, "spec.earlyStopping": {"patience": 1, "minDelta": "-1"}},
        "write a quoted decimal",
    ),
    (
        "a best that is not kept",
        {**EVALUATED, "spec.earlyStopping": {"patience": 3}, "spec.checkpoints.keepBest": 0},
        "write checkpoints.keepBest 1 or more",
    ),
    (
        "patience of a command",
        {"spec.earlyStopping": {"patience": 3}, "spec.trainer": {"type": "custom", "command": ["torchrun"]}},
        "let your command end with exit code 0",
    ),
    ("evaluation of nothing", {f"{HYPER}.evalEverySteps": 10}, "write a dataset with split Heldout"),
    (
        "an objective of another tool",
        {"spec.objective": "DPO"},
        "write trainer.type llama-factory, ms-swift, deepspeed or custom",
    ),
    ("arguments of the built-in trainer", {"spec.trainer.args": ["--lr", "1"]}, "trainer.args are not read by builtin"),
    (
        "a command of the built-in trainer",
        {"spec.trainer.command": ["train"]},
        "write trainer.type deepspeed or custom",
    ),
    ("a program of one's own without a command", {"spec.trainer": {"type": "custom"}}, "write trainer.command"),
    ("a trainer that is not there", {"spec.trainer.type": "axolotl"}, 'supported values: "builtin", "torchtitan"'),
    ("the block's former name", {"spec.runtime": {"image": "x:1"}}, 'unknown field "spec.runtime"'),
    # Numbers.
    ("a rate that YAML reads as a float", {f"{HYPER}.learningRate": 1e-5}, "must be of type integer,string"),
    ("a rate in words", {f"{HYPER}.learningRate": "fast"}, 'write a quoted decimal, for example "3e-5"'),
    ("a rate of zero", {f"{HYPER}.learningRate": "0"}, "must be above 0 and at most 10"),
    ("an infinite rate", {f"{HYPER}.learningRate": "1e999"}, "write a quoted decimal"),
    ("a negative decay", {f"{HYPER}.weightDecay": "-1"}, "write a quoted decimal"),
    ("no nodes", {"spec.nodes": {"count": 0}}, "greater than or equal to 1"),
    ("2^31 nodes", {"spec.nodes": {"count": 2**31}}, "less than or equal to 1024"),
    ("more steps than there will ever be", {f"{HYPER}.maxSteps": 10**9}, "less than or equal to 100000000"),
    ("a step count of 64 bits", {f"{HYPER}.maxSteps": 2**63}, "must be of type integer"),
    ("half a step", {f"{HYPER}.maxSteps": 1.5}, "must be of type integer"),
    ("a number in quotes", {f"{HYPER}.maxSteps": "100"}, "must be of type integer"),
    ("negative restarts", {"spec.failurePolicy": {"maxRestarts": -1}}, "greater than or equal to 0"),
    (
        "a heartbeat that no training keeps",
        {"spec.failurePolicy": {"stallTimeoutSeconds": 0}},
        "greater than or equal to 10",
    ),
    # Names and paths.
    ("a name of 41 characters", {"metadata.name": "a" * 41}, "at most 40 characters"),
    ("a name that begins with a digit", {"metadata.name": "7b"}, "start with a letter"),
    ("a name with a dot", {"metadata.name": "a.b"}, "of a-z, 0-9 and '-'"),
    (
        "a path out of the volume",
        {f"{VOLUME}": {"claimName": "c", "subPath": "../../etc"}},
        "relative path without . and ..",
    ),
    (
        "a path with a step up inside",
        {f"{VOLUME}": {"claimName": "c", "subPath": "a/../../b"}},
        "relative path without . and ..",
    ),
    ("an absolute path", {f"{VOLUME}": {"claimName": "c", "subPath": "/etc"}}, "relative path"),
    ("an expanded path", {f"{VOLUME}": {"claimName": "c", "subPath": "$(NODE)"}}, "relative path"),
    ("an encoded step up", _dataset("pvc://corpora/%2e%2e/a"), "write pvc://<claim>/<file>"),
    ("a zero byte", _dataset("pvc://corpora/a\0"), "write pvc://<claim>/<file>"),
    (
        "a claim of another namespace",
        {"spec.model": {"source": {"uri": "pvc://other/../claim"}}},
        "write pvc://<claim of this namespace>",
    ),
    ("a namespace in a reference", {f"{VOLUME}": {"claimName": "other/claim"}}, "write a name of a-z, 0-9"),
    ("a file of the node", _dataset("file:///etc/passwd"), "write pvc://<claim>/<file>"),
    (
        "a dataset from the network",
        _dataset("http://169.254.169.254/latest"),
        "data that is fetched (hf://, s3://, https://) needs claimName",
    ),
    (
        "weights from the network",
        {"spec.model": {"source": {"uri": "https://example.com/weights"}}},
        "write pvc://<claim of this namespace>",
    ),
    (
        "weights from a bucket that are kept nowhere",
        {"spec.model": {"source": {"uri": "s3://bucket/weights"}}},
        "a source that is fetched needs claimName",
    ),
    # Volumes and resuming.
    ("a claim and a class", {f"{VOLUME}": {"claimName": "c", "size": "1Gi"}}, "write claimName (an existing claim) or"),
    ("a folder of a new claim", {f"{VOLUME}": {"subPath": "a"}}, "subPath needs claimName"),
    (
        "a volume for one node under two",
        {"spec.nodes": {"count": 2}, f"{VOLUME}": {"accessMode": "ReadWriteOnce"}},
        "write checkpoints.volume.accessMode ReadWriteMany",
    ),
    ("a volume of nothing", {f"{VOLUME}": {"size": "0"}}, "write a unit, for example 100Gi"),
    ("a size in words", {f"{VOLUME}": {"size": "big"}}, "write a quantity, for example 64Gi"),
    (
        "two intervals",
        {"spec.checkpoints": {"everySteps": 5, "everySeconds": 5}},
        "everySteps or checkpoints.everySeconds, not both",
    ),
    (
        "deleting a user's claim",
        {"spec.checkpoints": {"volume": {"claimName": "c"}, "onDelete": "Delete"}},
        "is never deleted",
    ),
    (
        "another training's folder in a new volume",
        {"spec.checkpoints": {"resume": {"from": {"trainingUID": UID}}}},
        "or name a training that still exists as resume.from.training",
    ),
    (
        "another training twice",
        {
            "spec.checkpoints": {
                "volume": {"claimName": "c"},
                "resume": {"from": {"trainingUID": UID, "training": "elder"}},
            }
        },
        "write checkpoints.resume.from.training",
    ),
    (
        "nothing to resume from",
        {"spec.checkpoints": {"resume": {"from": {}}}},
        "write checkpoints.resume.from.training",
    ),
    (
        "another training's checkpoints in a claim of its own",
        {"spec.checkpoints": {"volume": {"size": "1Gi"}, "resume": {"from": {"training": "elder"}}}},
        "leave checkpoints.volume out",
    ),
    (
        "more steps of nothing",
        {f"{HYPER}": {"moreSteps": 5}},
        "moreSteps counts from a checkpoint of checkpoints.resume.from",
    ),
    (
        "more steps of nobody knows how many",
        {
            f"{HYPER}": {"moreSteps": 5},
            "spec.checkpoints": {"volume": {"claimName": "c"}, "resume": {"from": {"trainingUID": UID}}},
        },
        "beside trainingUID a step as checkpoint",
    ),
    ("three ends", {f"{HYPER}.moreSteps": 2}, "moreSteps or maxSteps or epochs, one of them"),
    (
        "two sources of weights",
        {"spec.model.fromTraining": {"name": "elder"}},
        "write model.fromTraining (another training's export), model.source or model.custom",
    ),
    (
        "weights and a checkpoint of other trainings",
        {
            "spec.model": {"fromTraining": {"name": "elder"}},
            "spec.checkpoints": {"resume": {"from": {"training": "elder"}}},
        },
        "write model.fromTraining (weights alone, steps from 0) or checkpoints.resume.from",
    ),
    (
        "never to resume, but from there",
        {
            "spec.checkpoints": {
                "volume": {"claimName": "c"},
                "resume": {"policy": "Never", "from": {"trainingUID": UID}},
            }
        },
        "remove it, or write policy Auto",
    ),
    (
        "a path for a uid",
        {"spec.checkpoints": {"volume": {"claimName": "c"}, "resume": {"from": {"trainingUID": "../other"}}}},
        "write the uid of a training",
    ),
    # Environment, images and pods: never more than the author may do without us.
    ("the operator's variable", _env("DEEPSEEK_TRAINING_UID", value="x"), "choose another name"),
    ("the rendezvous", _env("MASTER_ADDR", value="evil"), "remove them from trainer.env"),
    (
        "a Secret in a variable",
        _env("TOKEN", valueFrom={"secretKeyRef": {"name": "s", "key": "k"}}),
        'unknown field "spec.trainer.env[0].valueFrom"',
    ),
    ("every Secret", {"spec.trainer.envFrom": [{"secretRef": {"name": "s"}}]}, 'unknown field "spec.trainer.envFrom"'),
    ("a variable twice", {"spec.trainer.env": [{"name": "A"}, {"name": "A"}]}, "Duplicate value"),
    ("a variable with a space", _env("A B"), "for example LOG_LEVEL"),
    (
        "10,000 variables",
        {"spec.trainer.env": [{"name": f"V{i}"} for i in range(10_000)]},
        "must have at most 128 items",
    ),
    ("a variable of a megabyte", _env("A", value="x" * 1_000_000), "may not be more than 4096"),
    ("an image with a password", {"spec.trainer.image": "user:secret@registry.example.com/a"}, "[host/]path[:tag]"),
    ("an image by URL", {"spec.trainer.image": "https://registry.example.com/a"}, "[host/]path[:tag]"),
    ("an image with a look-alike letter", {"spec.trainer.image": "registry.ex\u0430mple.com/a"}, "[host/]path[:tag]"),
    ("an image of a thousand characters", {"spec.trainer.image": "a" * 1024}, "may not be more than 512"),
    ("an image with half a digest", {"spec.trainer.image": "a@sha256:1234"}, "[host/]path[:tag]"),
    ("the user root", {f"{POD}": {"runAsUser": 0}}, "greater than or equal to 1"),
    ("the host's network", {f"{POD}": {"hostNetwork": True}}, 'unknown field "spec.trainer.pod.hostNetwork"'),
    (
        "a folder of the host",
        {f"{POD}": {"volumes": [{"hostPath": {"path": "/"}}]}},
        'unknown field "spec.trainer.pod.volumes"',
    ),
    (
        "a stronger account",
        {f"{POD}": {"serviceAccountName": "admin"}},
        'unknown field "spec.trainer.pod.serviceAccountName"',
    ),
    (
        "a privileged container",
        {"spec.trainer.securityContext": {"privileged": True}},
        'unknown field "spec.trainer.securityContext"',
    ),
    ("labels for other controllers", {f"{POD}": {"labels": {"job-name": "b"}}}, "choose another key"),
    ("a label of Kubernetes", {f"{POD}": {"labels": {"kubernetes.io/a": "b"}}}, "write a key of your own"),
    ("a label that is ours", {f"{POD}": {"labels": {"app.kubernetes.io/name": "b"}}}, "write a key of your own"),
    ("a queue on the pods", {f"{POD}": {"labels": {"kueue.x-k8s.io/queue-name": "b"}}}, "belongs into metadata.labels"),
    ("the operator's label", {f"{POD}": {"labels": {"deepseek-operator.io/owner": "b"}}}, "write a key of your own"),
    (
        "an annotation that unlocks",
        {f"{POD}": {"annotations": {"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"}}},
        "write a key of your own",
    ),
    ("a pull secret elsewhere", {f"{POD}": {"imagePullSecrets": ["other/a"]}}, "write a name of a-z, 0-9"),
    (
        "a pull secret as in a pod",
        {f"{POD}": {"imagePullSecrets": [{"name": "a"}]}},
        'unknown field "spec.trainer.pod.imagePullSecrets[0].name"',
    ),
    ("a value and a Secret", _env("A", value="b", secret={"name": "s", "key": "k"}), "value or secret of a variable"),
    ("a Secret elsewhere", _env("A", secret={"name": "other/s", "key": "k"}), "write a name of a-z, 0-9"),
    ("a Secret without a key", _env("A", secret={"name": "s"}), "secret.key: Required value"),
    (
        "a limit below the request",
        {"spec.trainer.resources": {"cpu": 4, "cpuLimit": "2"}},
        "must be at least resources.cpu",
    ),
    (
        "a selector that is no label",
        {f"{POD}": {"nodeSelector": {"a b": "c"}}},
        "for example topology.kubernetes.io/zone",
    ),
    (
        "a toleration that compares nothing",
        {f"{POD}": {"tolerations": [{"operator": "Equal"}]}},
        "operator Equal needs key",
    ),
    ("an accelerator without a name", {"spec.accelerator": {"perNode": 8}}, "write accelerator.resource"),
    (
        "a profile and a resource",
        {"spec.accelerator": {"profile": "nvidia-h100-80", "resource": "nvidia.com/gpu"}},
        "and not both",
    ),
    ("a profile in capitals", {"spec.accelerator": {"profile": "H100"}}, "for example nvidia-h100-80"),
    ("CPU as an accelerator", {"spec.accelerator": {"resource": "cpu"}}, "for example nvidia.com/gpu"),
    (
        "a resource of Kubernetes",
        {"spec.accelerator": {"resource": "node.kubernetes.io/x"}},
        "not one of Kubernetes itself",
    ),
    ("cores as a fraction without quotes", {"spec.trainer.resources": {"cpu": 1.5}}, "must be of type integer,string"),
    ("fewer than no cores", {"spec.trainer.resources": {"cpu": -8}}, "write a quantity, for example 64Gi"),
    ("64 bytes of memory", {"spec.trainer.resources": {"memory": "64"}}, "write a unit, for example 64Gi"),
    (
        "more shared memory than memory",
        {"spec.trainer.resources": {"memory": "1Gi", "sharedMemory": "2Gi"}},
        "write more memory or less sharedMemory",
    ),
    ("a field that does not exist", {"spec.hyperparamters": {}}, 'unknown field "spec.hyperparamters"'),
    (
        "129 fields in a configuration",
        {"spec.model.custom": {f"f{i}": i for i in range(129)}},
        "must have at most 128 items",
    ),
    (
        "more words for a container than it takes",
        {"spec.trainer": {"type": "custom", "command": ["train"], "args": ["x" * 4096] * 32}},
        "trainer.command, args and the values of env may have 131,072 characters together",
    ),
)

ENGINE = "spec.engine"
SCALING = "spec.autoscaling"
PROFILE = {"profile": "nvidia-h200-141"}
CUSTOM = {"type": "custom", "image": "registry.example.com/engine:1"}


SCHEDULE: Changes = {"name": "day", "from": "08:00", "to": "18:00", "zone": "Europe/Berlin", "minReplicas": 1}


def _signals(*targets: int) -> list[dict[str, Any]]:
    return [{"type": "InFlight", "target": target} for target in targets]


def _judged_by(metric: Changes, weight: int = 25) -> Changes:
    """A step of a canary."""
    return {"weight": weight, "analysis": {"metrics": [metric]}}


SERVINGS: tuple[tuple[str, Changes, str], ...] = (
    ("no spec at all", {"spec": None}, "spec: Required value"),
    ("no model", {"spec": {}}, "spec.model: Required value"),
    ("a model from nowhere", {"spec.model": {}}, "write exactly one of model.source"),
    ("a model from two places", {"spec.model.fromTraining": {"name": "t"}}, "write exactly one of model.source"),
    (
        "a checkpoint that is no step",
        {"spec.model": {"fromTraining": {"name": "t", "checkpoint": "newest"}}},
        "write Latest, Best",
    ),
    (
        "a checkpoint as a number",
        {"spec.model": {"fromTraining": {"name": "t", "checkpoint": 200}}},
        "must be of type string",
    ),
    (
        "a training of another namespace",
        {"spec.model": {"fromTraining": {"name": "b", "namespace": "a"}}},
        "unknown field",
    ),
    ("a training by path", {"spec.model": {"fromTraining": {"name": "../b"}}}, "write a name of a-z, 0-9"),
    (
        "a repository without a revision",
        {"spec.model": {"source": {"uri": "hf://deepseek-ai/DeepSeek-V3", "claimName": "models"}}},
        "hf://<organisation>/<model>@<branch, tag or commit>",
    ),
    (
        "a bucket without a prefix",
        {"spec.model": {"source": {"uri": "s3://models", "claimName": "models"}}},
        "s3://<bucket>/<prefix>",
    ),
    (
        "a folder of a web server without its slash",
        {"spec.model": {"source": {"uri": "https://artifacts.example.org/v2", "claimName": "models"}}},
        "https://<host>/<folder>/",
    ),
    (
        "a folder of a web server with a password",
        {"spec.model": {"source": {"uri": "https://u:p@artifacts.example.org/v2/", "claimName": "models"}}},
        "https://<host>/<folder>/",
    ),
    (
        "a folder of a web server that is kept nowhere",
        {"spec.model": {"source": {"uri": "https://artifacts.example.org/v2/"}}},
        "a source that is fetched needs claimName",
    ),
    (
        "a repository with a path out of it",
        {"spec.model": {"source": {"uri": "hf://deepseek-ai/../x@main", "claimName": "models"}}},
        "hf://<organisation>/<model>@<branch, tag or commit>",
    ),
    (
        "a repository that is kept nowhere",
        {"spec.model": {"source": {"uri": "hf://deepseek-ai/DeepSeek-V3@main"}}},
        "a source that is fetched needs claimName",
    ),
    (
        "a folder of a claim that is kept on another",
        {"spec.model": {"source": {"uri": "pvc://models/v2", "claimName": "other"}}},
        "a folder of a claim (pvc://) has none of them",
    ),
    (
        "a folder of a claim with a token",
        {"spec.model": {"source": {"uri": "pvc://models/v2", "credentials": "hub"}}},
        "a folder of a claim (pvc://) has none of them",
    ),
    (
        "a token in the place of its Secret",
        {"spec.model": {"source": {"uri": "hf://a/b@main", "claimName": "c", "credentials": "hf_Secret"}}},
        "write a name of a-z, 0-9",
    ),
    (
        "a digest of another kind",
        {"spec.model": {"source": {"uri": "hf://a/b@main", "claimName": "c", "digest": "md5:0"}}},
        "write the digest that status.sources shows",
    ),
    (
        "a folder out of the volume",
        {"spec.model": {"source": {"uri": "pvc://models/../x"}}},
        "write pvc://<claim of this namespace>",
    ),
    (
        "a model from the network",
        {"spec.model": {"source": {"uri": "https://example.com/m"}}},
        "write pvc://<claim of this namespace>",
    ),
    ("a model name that breaks a label", {"spec.model.name": 'x"} or vector(1)'}, "write a name of letters, digits"),
    (
        "more words for an engine than it takes",
        {ENGINE: {**CUSTOM, "env": [{"name": f"V{number}", "value": "x" * 4096} for number in range(33)]}},
        "engine.command, args and the values of env may have 131,072 characters together",
    ),
    ("an own engine without an image", {ENGINE: {"type": "custom"}}, "engine.type custom needs engine.image"),
    ("arguments of the builtin engine", {ENGINE: {"args": ["--x"]}}, "are for engine.type custom"),
    ("a command of the builtin engine", {ENGINE: {"command": ["sh"]}}, "are for engine.type custom"),
    ("another health path of the builtin engine", {ENGINE: {"healthPath": "/ok"}}, "is for engine.type custom"),
    (
        "a health path with a query",
        {ENGINE: {**CUSTOM, "healthPath": "/ok?a=b"}},
        "write an absolute path without query",
    ),
    (
        "a health check elsewhere",
        {ENGINE: {**CUSTOM, "healthPath": "http://169.254.169.254/"}},
        "write an absolute path",
    ),
    ("an empty command", {ENGINE: {**CUSTOM, "command": []}}, "should have at least 1 items"),
    (
        "an unknown engine",
        {ENGINE: {"type": "llama"}},
        'supported values: "builtin", "vllm", "sglang", "tensorrt-llm", "triton", "custom"',
    ),
    ("vLLM on a device that nobody named", {ENGINE: {"type": "vllm"}}, "need accelerator.profile"),
    (
        "vLLM on a bare resource",
        {ENGINE: {"type": "vllm"}, "spec.accelerator": {"resource": "nvidia.com/gpu"}},
        "need accelerator.profile",
    ),
    (
        "a command for vLLM",
        {ENGINE: {"type": "vllm", "command": ["vllm"]}, "spec.accelerator": PROFILE},
        "write further flags as engine.args",
    ),
    (
        "another port for vLLM",
        {ENGINE: {"type": "vllm", "port": 9000}, "spec.accelerator": PROFILE},
        "write limits as engine.options",
    ),
    (
        "options of the builtin engine",
        {ENGINE: {"options": {"maxSequences": 64}}},
        "options are for engine.type vllm, sglang, tensorrt-llm and triton",
    ),
    (
        "a watchdog around an image whose command nobody wrote",
        {ENGINE: {"type": "custom", "image": "e:1", "watchdog": {}}},
        "write that as engine.command",
    ),
    (
        "a watchdog around an engine that does not tell of its tokens",
        {ENGINE: {"type": "tensorrt-llm", "watchdog": {}}, "spec.accelerator": PROFILE},
        "unlike tensorrt-llm and triton: leave it out",
    ),
    (
        "a key of an engine that would write it into its log",
        {ENGINE: {"type": "sglang", "apiKey": {"name": "chat-key", "key": "key"}}, "spec.accelerator": PROFILE},
        "unlike sglang, tensorrt-llm and triton: leave it out and let the gateway check keys",
    ),
    ("a key as it is", {f"{ENGINE}.apiKey": {"value": "sk-literal"}}, 'unknown field "spec.engine.apiKey.value"'),
    (
        "an engine that nobody can scale",
        {
            ENGINE: {"type": "tensorrt-llm"},
            "spec.accelerator": PROFILE,
            "spec.autoscaling": {"maxReplicas": 2, "signals": [{"type": "InFlight", "target": 4}]},
        },
        "write replicas and leave autoscaling out",
    ),
    (
        "a command for TensorRT-LLM",
        {ENGINE: {"type": "tensorrt-llm", "command": ["mpirun"]}, "spec.accelerator": PROFILE},
        "write further flags as engine.args",
    ),
    (
        "Triton scaled by its load",
        {
            ENGINE: {"type": "triton"},
            "spec.accelerator": PROFILE,
            "spec.autoscaling": {"maxReplicas": 2, "signals": [{"type": "TimeToFirstToken"}]},
        },
        "engine.type tensorrt-llm and triton can't tell what runs and waits",
    ),
    ("TensorRT-LLM on a device that nobody named", {ENGINE: {"type": "tensorrt-llm"}}, "need accelerator.profile"),
    ("a watchdog without patience", {f"{ENGINE}.watchdog": {"stallSeconds": 1}}, "30"),
    (
        "a release of the builtin engine",
        {ENGINE: {"version": "0.33.0"}},
        "are for engine.type vllm, sglang, tensorrt-llm and triton",
    ),
    ("a release that is a word", {ENGINE: {"type": "vllm", "version": "latest"}}, "write a quoted release"),
    ("a layout of the builtin engine", {"spec.parallelism": {"tensor": 2}}, "parallelism is for engine.type vllm"),
    ("a quantization of the builtin engine", {"spec.model.quantization": "awq"}, "is for engine.type vllm"),
    ("a config that nothing reads", {"spec.model.custom": {"hidden_size": 1}}, "write accelerator.profile too"),
    ("a privileged port", {ENGINE: {"port": 80}}, "greater than or equal to 1024"),
    ("a port beyond all ports", {ENGINE: {"port": 65536}}, "less than or equal to 65535"),
    ("no concurrency", {ENGINE: {"maxConcurrency": 0}}, "greater than or equal to 1"),
    ("the operator's variable", {ENGINE: {"env": [{"name": "DEEPSEEK_MODEL_PATH"}]}}, "choose another name"),
    ("a Secret in a variable", {ENGINE: {"env": [{"name": "A", "valueFrom": {}}]}}, "unknown field"),
    ("minus one replica", {"spec.replicas": -1}, "greater than or equal to 0"),
    ("2^31 replicas", {"spec.replicas": 2**31}, "less than or equal to 1000"),
    ("replicas in quotes", {"spec.replicas": "3"}, "must be of type integer"),
    ("scaling without a ceiling", {SCALING: {"signals": _signals(8)}}, "maxReplicas: Required value"),
    ("scaling by nothing", {SCALING: {"maxReplicas": 3}}, "signals: Required value"),
    ("scaling by an empty list", {SCALING: {"maxReplicas": 3, "signals": []}}, "should have at least 1 items"),
    (
        "a floor above the ceiling",
        {SCALING: {"minReplicas": 4, "maxReplicas": 3, "signals": _signals(8)}},
        "minReplicas must be at most",
    ),
    (
        "a register that switches the autoscaler off",
        {SCALING: {"maxReplicas": 3, "signals": _signals(8)}, "spec.replicas": 0},
        "with autoscaling, replicas must be 1 or more",
    ),
    (
        "scaling below nothing",
        {SCALING: {"minReplicas": -1, "maxReplicas": 3, "signals": _signals(8)}},
        "greater than or equal to 0",
    ),
    ("one signal twice", {SCALING: {"maxReplicas": 3, "signals": _signals(8, 9)}}, "Duplicate value"),
    (
        "a signal without a target",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "InFlight"}]}},
        "write target: of the signals only RequestRate, TimeToFirstToken, KVCache and DeviceUtilization have a usual one",
    ),
    (
        "a time that nobody can guess",
        {SCALING: {"maxReplicas": 3, "signals": [*_signals(8), {"type": "EndToEnd"}]}},
        "write target",
    ),
    (
        "times alone",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "TimeToFirstToken"}, {"type": "KVCache"}]}},
        "write one at least of InFlight, RequestRate, TokensPerSecond and PromQL among autoscaling.signals",
    ),
    (
        "more than all of a cache",
        {SCALING: {"maxReplicas": 3, "signals": [*_signals(8), {"type": "KVCache", "target": 101}]}},
        "the target of KVCache and DeviceUtilization is in percent",
    ),
    (
        "a quantile of a sum",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "RequestRate", "quantile": "0.9"}]}},
        "quantile is for type TimeToFirstToken, InterToken and EndToEnd",
    ),
    (
        "a quantile of one",
        {SCALING: {"maxReplicas": 3, "signals": [*_signals(8), {"type": "TimeToFirstToken", "quantile": "1"}]}},
        "quantile: Invalid value",
    ),
    (
        "a query of the operator's own",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "InFlight", "target": 8, "query": "vector(1)"}]}},
        "type PromQL needs query, which no other type has",
    ),
    (
        "PromQL without a query",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "PromQL", "target": 8}]}},
        "type PromQL needs query",
    ),
    (
        "an empty query",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "PromQL", "target": 8, "query": ""}]}},
        "query: Invalid value",
    ),
    (
        "PromQL by guesswork",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "PromQL", "query": "vector(1)"}]}},
        "write target",
    ),
    (
        "devices that nobody knows",
        {SCALING: {"maxReplicas": 3, "signals": [*_signals(8), {"type": "DeviceUtilization"}]}},
        "signal DeviceUtilization is told by the devices' exporter, whose metrics accelerator.profile names",
    ),
    (
        "devices of the user's own words",
        {
            SCALING: {"maxReplicas": 3, "signals": [*_signals(8), {"type": "DeviceUtilization"}]},
            "spec.accelerator": {"resource": "nvidia.com/gpu"},
        },
        "signal DeviceUtilization is told by the devices' exporter",
    ),
    *(
        (f"a schedule with {what}", {SCALING: {"maxReplicas": 3, "signals": _signals(8), "schedules": [one]}}, words)
        for what, one, words in (
            ("a floor above the ceiling of all times", {**SCHEDULE, "minReplicas": 4}, "minReplicas of each schedule"),
            ("a floor above its ceiling", {**SCHEDULE, "minReplicas": 3, "maxReplicas": 2}, "at most its maxReplicas"),
            ("no floor", {**SCHEDULE, "minReplicas": 0}, "greater than or equal to 1"),
            ("a time of no day", {**SCHEDULE, "from": "24:00"}, "write a time of day in quotes"),
            ("a time without a zero", {**SCHEDULE, "to": "8:00"}, "write a time of day in quotes"),
            ("a time that YAML reads as a number", {**SCHEDULE, "from": 480}, "must be of type string"),
            ("a zone with a blank", {**SCHEDULE, "zone": "Central European Time"}, "write a zone of the IANA database"),
            ("a zone by its distance", {**SCHEDULE, "zone": "+01:00"}, "write a zone of the IANA database"),
            ("a path for a zone", {**SCHEDULE, "zone": "../../etc/passwd"}, "write a zone of the IANA database"),
            ("no zone", {key: value for key, value in SCHEDULE.items() if key != "zone"}, "zone: Required value"),
            ("a day in full", {**SCHEDULE, "days": ["Monday"]}, 'supported values: "Mon"'),
            ("one day twice", {**SCHEDULE, "days": ["Mon", "Mon"]}, "Duplicate value"),
            ("no day", {**SCHEDULE, "days": []}, "should have at least 1 items"),
            ("a name that is none", {**SCHEDULE, "name": "Office hours"}, "write a name of a-z"),
        )
    ),
    (
        "a ceiling of a schedule below the floor of all times",
        {
            SCALING: {
                "minReplicas": 2,
                "maxReplicas": 3,
                "signals": _signals(8),
                "schedules": [{**SCHEDULE, "maxReplicas": 1}],
            }
        },
        "maxReplicas at least autoscaling.minReplicas",
    ),
    (
        "two schedules of one name",
        {SCALING: {"maxReplicas": 3, "signals": _signals(8), "schedules": [SCHEDULE, SCHEDULE]}},
        "Duplicate value",
    ),
    (
        "a signal of a processor",
        {SCALING: {"maxReplicas": 3, "signals": [{"type": "CPU", "target": 8}]}},
        "Unsupported value",
    ),
    ("a target of zero", {SCALING: {"maxReplicas": 3, "signals": _signals(0)}}, "greater than or equal to 1"),
    (
        "a target that a full replica equals",
        {SCALING: {"maxReplicas": 3, "signals": _signals(4)}, ENGINE: {"maxConcurrency": 4, "queueLimit": 0}},
        "must be below engine.maxConcurrency + engine.queueLimit",
    ),
    (
        "a target beyond the usual queue",
        {SCALING: {"maxReplicas": 3, "signals": _signals(100)}},
        "must be below engine.maxConcurrency + engine.queueLimit",
    ),
    (
        "an unknown strategy",
        {"spec.rollout": {"strategy": "BlueGreen"}},
        'supported values: "RollingUpdate", "Recreate"',
    ),
    (
        "a share of errors that no version can have",
        {"spec.rollout": {"canary": {"steps": [_judged_by({"type": "ErrorRate", "max": "5"})]}}},
        'write "0.05" for 5 %',
    ),
    (
        "a drop that no mark can have",
        {
            "spec.rollout": {
                "canary": {"steps": [_judged_by({"type": "Accuracy", "data": "builtin://uppercase", "maxDrop": 1})]}
            }
        },
        "write a share below 1 in quotes",
    ),
    (
        "a comparison with what gets no requests",
        {
            "spec.gateway": {"parentRef": {"name": "public"}},
            "spec.rollout": {
                "canary": {"steps": [_judged_by({"type": "Latency", "maxIncreasePercent": 20}, weight=100)]}
            },
        },
        "write max in place of maxIncreasePercent",
    ),
    (
        "a name of clients' that is an adapter's",
        {
            "spec.gateway": {"parentRef": {"name": "public"}, "models": ["chat", "legal"]},
            "spec.adapters": [{"name": "legal", "source": {"uri": "pvc://models/legal"}}],
        },
        "one of gateway.models is the name of one of adapters",
    ),
    (
        "a name of clients' with a space",
        {"spec.gateway": {"parentRef": {"name": "public"}, "models": ["deep seek"]}},
        "write a name of letters, digits",
    ),
    (
        "a name of clients' twice",
        {"spec.gateway": {"parentRef": {"name": "public"}, "models": ["a", "a"]}},
        "Duplicate value",
    ),
    ("the user root", {"spec.pod": {"runAsUser": 0}}, "greater than or equal to 1"),
    ("a stronger account", {"spec.pod": {"serviceAccountName": "admin"}}, "unknown field"),
    ("the host's processes", {"spec.pod": {"hostPID": True}}, "unknown field"),
    ("a grace of a day", {"spec.pod": {"terminationGracePeriodSeconds": 86400}}, "less than or equal to 7200"),
    ("an image with a password", {ENGINE: {**CUSTOM, "image": "u:p@example.com/a"}}, "[host/]path[:tag]"),
    ("a name of 41 characters", {"metadata.name": "a" * 41}, "at most 40 characters"),
    ("a name that begins with a digit", {"metadata.name": "7b"}, "start with a letter"),
    ("a misspelt field", {"spec.replica": 3}, 'unknown field "spec.replica"'),
)

CASES = [
    pytest.param(manifest, changes, words, id=f"{manifest['kind']}: {what}")
    for manifest, table in ((minimal_training(), TRAININGS), (minimal_serving(), SERVINGS))
    for what, changes, words in table
]


def _create(cluster: Cluster, manifest: dict[str, Any]) -> dict[str, Any]:
    return cluster.api.create(collection(manifest, "default"), manifest, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize("manifest", [minimal_training(), minimal_serving()], ids=lambda manifest: manifest["kind"])
def test_the_smallest_object_is_accepted(api_server: Cluster, manifest: dict[str, Any]) -> None:
    assert _create(api_server, manifest)["metadata"]["name"] == manifest["metadata"]["name"]


@pytest.mark.parametrize(("manifest", "changes", "words"), CASES)
def test_a_bad_input_is_refused_with_words_that_help(
    api_server: Cluster, manifest: dict[str, Any], changes: Changes, words: str
) -> None:
    with pytest.raises(ApiError) as refusal:
        _create(api_server, changed(manifest, changes))
    assert refusal.value.code in (400, 422)
    assert words in str(refusal.value)


OWN_COMMAND = {"spec.trainer": {"type": "custom", "command": ["python3", "train.py"]}}


GOOD = [
    pytest.param(
        minimal_training(),
        {**OWN_COMMAND, "spec.model": None, "spec.datasets": None, HYPER: None},
        id="a plain script",
    ),
    pytest.param(minimal_training(), {**OWN_COMMAND, "spec.nodes": {"count": 3}}, id="a script with its own batches"),
    pytest.param(minimal_training(), {"metadata.name": "a" * 40}, id="a name of 40 characters"),
    pytest.param(
        minimal_training(), {VOLUME: {"claimName": "a.b-c", "subPath": "runs/2026"}}, id="a folder of a claim"
    ),
    pytest.param(
        minimal_training(),
        {"spec.nodes": {"count": 2}, VOLUME: {"accessMode": "ReadWriteMany"}},
        id="a shared volume",
    ),
    pytest.param(
        minimal_training(),
        {"spec.trainer.image": "registry:5000/team/a_b/c:v1@sha256:" + "0" * 64},
        id="an image by digest",
    ),
    pytest.param(minimal_training(), {f"{POD}.tolerations": [{"operator": "Exists"}]}, id="a toleration of everything"),
    pytest.param(minimal_training(), {f"{POD}.nodeSelector": {"topology.kubernetes.io/zone": "a"}}, id="a zone"),
    pytest.param(minimal_training(), {f"{HYPER}.learningRate": "1.5E-05"}, id="a decimal as Python prints it"),
    pytest.param(minimal_serving(), {"spec.model": {"fromTraining": {"name": "t", "checkpoint": "200"}}}, id="a step"),
    pytest.param(
        minimal_serving(), {ENGINE: {**CUSTOM, "healthPath": "/v1/ready", "args": ["--x"]}}, id="an own engine"
    ),
    pytest.param(minimal_serving(), {"spec.replicas": 0, "spec.suspend": True}, id="nothing running"),
    pytest.param(minimal_training(), {"spec.trainer.resources": {"cpu": 4, "memory": 17179869184}}, id="numbers"),
    pytest.param(minimal_training(), {f"{HYPER}.weightDecay": 0, f"{HYPER}.learningRate": 1}, id="whole decimals"),
]


@pytest.mark.parametrize(("manifest", "changes"), GOOD)
def test_what_a_careful_user_writes_is_accepted(
    api_server: Cluster, manifest: dict[str, Any], changes: Changes
) -> None:
    _create(api_server, changed(manifest, changes))
