"""What a user writes: words to learn on a claim, a model that has learnt some and an adapter others, and servings of both."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.e2e.written import SMALL
from tests.support.bed import RUNTIME_IMAGE
from tests.vllm.rendered import ADDED, ARGS, NAME, VERSION
from tests.vllm.shapes import SHAPES
from tests.vllm_cluster.image import KNOWN

HERE = Path(__file__).parent
SHAPE = dict(SHAPES["llama"])
BASE = {"ab=": "AB", "cd=": "CD", "ij=": "IJ"}
ONE = {"ab=": "12", "cd=": "34", "ij=": "56"}
"""What the adapter is taught instead."""
STALL_S = 30
"""The shortest that the API takes."""
AT_ONCE = 2
"""Sequences that a replica computes together; what else comes to it waits there."""
ENVIRONMENT = {
    **ADDED,
    # On two cores all replicas would choose the same one to be bound to.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CACHE_ROOT": KNOWN,
}
_SECURE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _of(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def words() -> str:
    """A claim, and the pod that writes both lists of words to it."""
    texts = {f"/words/{name}.jsonl": _lines(answers) for name, answers in (("base", BASE), ("one", ONE))}
    program = f"import json, pathlib\nfor path, text in json.loads({json.dumps(texts)!r}).items(): pathlib.Path(path).write_text(text)"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "words"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    container = {
        "name": "write",
        "image": RUNTIME_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", program],
        "securityContext": _SECURE,
        "volumeMounts": [{"name": "words", "mountPath": "/words"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "words"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"fsGroup": 65532},
            "volumes": [{"name": "words", "persistentVolumeClaim": {"claimName": "words"}}],
            "containers": [container],
        },
    }
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [claim, pod]})


def _lines(answers: Mapping[str, str]) -> str:
    return "".join(json.dumps({"prompt": prompt, "completion": answer}) + "\n" for prompt, answer in answers.items())


def training(name: str, model: Mapping[str, Any], rate: str, **spec: Any) -> str:
    """One that learns the words of its name by heart."""
    sizes = {"globalBatchSize": 4, "sequenceLength": 128, "learningRate": rate, "schedule": "Constant", "maxSteps": 150}
    return json.dumps(
        _of(
            "DeepSeekTraining",
            name,
            model=model,
            datasets=[{"source": {"uri": f"pvc://words/{name}.jsonl"}, "format": "PromptCompletion"}],
            hyperparameters={**sizes, "precision": "bf16", "gradientClipNorm": "0"},
            trainer={"resources": {"cpu": "100m", "memory": "2Gi"}},
            checkpoints={"everySteps": 150, "volume": {"size": "1Gi", "accessMode": "ReadWriteMany"}},
            **spec,
        )
    )


def base() -> str:
    """The model."""
    return training("base", {"custom": SHAPE}, "3e-3")


def one() -> str:
    """The adapter beside it."""
    lora = {"rank": 4, "alpha": 16, "targets": ["Linear"], "export": "Adapter"}
    return training("one", {"fromTraining": _export("base")}, "2e-2", method={"type": "LoRA", "lora": lora})


def _export(training: str) -> dict[str, str]:
    return {"name": training, "checkpoint": "Latest"}


def serving(name: str, *, sized: bool, **spec: Any) -> str:
    """Of both, by whichever engine is written; the model is asked for by the same name everywhere."""
    model = {"name": NAME, "fromTraining": _export("base"), **({"custom": SHAPE} if sized else {})}
    adapters = [{"name": "one", "fromTraining": _export("one")}]
    return json.dumps(_of("DeepSeekServing", name, model=model, adapters=adapters, **spec))


def ours() -> str:
    """By the built-in engine."""
    return serving("ours", sized=False, engine={"resources": SMALL}, replicas=1)


def theirs(image: str, *, env: Mapping[str, str] | None = None, **spec: Any) -> str:
    """By vLLM under a watchdog; `env` makes another version of it."""
    engine = {
        "type": "vllm",
        "version": VERSION,
        "image": image,
        "args": ARGS,
        "env": [{"name": key, "value": value} for key, value in {**ENVIRONMENT, **(env or {})}.items()],
        "options": {"maxSequences": AT_ONCE},
        "watchdog": {"stallSeconds": STALL_S},
        "resources": {"cpu": "100m", "memory": "5Gi"},
    }
    return serving("theirs", sized=True, engine=engine, accelerator={"profile": "cpu"}, **spec)
