"""Trainers of others' making from the same spec: their pods, and what is said of fields that they do nothing with."""

import json
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import JOB
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.request import Objective
from deepseek_operator.domain.programs.trainers.table import TRAINERS, offered
from deepseek_operator.domain.values.command import Refusal
from deepseek_operator.kinds.training.command import HONOURED, Started, started
from deepseek_operator.kinds.training.devices import as_planned, planned
from deepseek_operator.kinds.training.settings import attempt_digest
from tests.support.leaves import schema_leaves, with_leaf
from tests.support.trainings import Life, claim, training

CHATS = ["llama-factory", "ms-swift"]
BUILT = [entry.type for entry in offered() if entry.start is Start.BUILT]
PROGRAM = {"command": ["/app/train.py", "--depth", "2"]}


def spec(trainer: str, **changes: Any) -> dict[str, Any]:
    """A full fine-tune that every trainer of chats takes, on the CPU."""
    program = PROGRAM if TRAINERS[trainer].runs_a_program else {}
    made: dict[str, Any] = training(
        model={"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/r1"}},
        datasets=[{"source": {"uri": "pvc://data/chats.jsonl"}, "format": "Messages"}],
        hyperparameters={"maxSteps": 10, "globalBatchSize": 4, "precision": "bf16"},
        trainer={"type": trainer, "image": "registry.example.com/trainer:1", **program},
        checkpoints={"everySteps": 5},
        nodes={"count": 1},
    )["spec"]
    for path, value in changes.items():
        made = with_leaf(made, path.replace("__", "."), value)
    return made


def asked(trainer: str, **changes: Any) -> Started | Refusal | None:
    document = {**training(), "spec": spec(trainer, **changes)}
    return started(DeepSeekTraining.model_validate(document).spec, None, Configuration())


def pod(**made: Any) -> dict[str, Any]:
    life = Life()
    for name in ("models", "data"):
        life.cluster.put(claim(name))
    life.begin(**made)
    (job,) = life.cluster.all(JOB)
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("trainer", [*CHATS, "deepspeed"])
def test_its_pod_runs_its_command_under_our_launcher(trainer: str) -> None:
    made = pod(**spec(trainer))
    (container,), (first,) = made["containers"], made["initContainers"]
    assert container["image"] == "registry.example.com/trainer:1"
    assert list(container["command"][:5]) == ["python3", "-m", "deepseek_runtime.launcher", "--adapter", trainer]
    assert "args" not in container, "they are part of the command"
    assert first["image"] == Configuration().runtime_image
    assert first["securityContext"]["allowPrivilegeEscalation"] is False
    (shared,) = {mount["mountPath"] for mount in first["volumeMounts"]}
    assert shared in {mount["mountPath"] for mount in container["volumeMounts"]}
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["PYTHONPATH"] == shared
    assert variables["DEEPSEEK_CHECK_TOKENIZER"] == "/model"


@pytest.mark.parametrize("trainer", CHATS)
def test_the_files_of_its_command_are_written_as_they_are(trainer: str) -> None:
    """A script is full of dollars, which the kubelet would take for variables."""
    (first,) = pod(**spec(trainer))["initContainers"]
    text = next(variable["value"] for variable in first["env"] if variable["name"] == "DEEPSEEK_FILES")
    found, wanted = json.loads(text.replace("$$", "$")), asked(trainer)
    assert isinstance(wanted, Started)
    assert found == {path.rpartition("/")[2]: content for path, content in wanted.command.files.items()}


@pytest.mark.parametrize("trainer", CHATS)
def test_a_gang_meets_by_variables_that_are_known_before_they_are_named(trainer: str) -> None:
    (container,) = pod(**spec(trainer, nodes={"count": 2}, hyperparameters__globalBatchSize=8))["containers"]
    names = [variable["name"] for variable in container["env"]]
    assert names.index("DEEPSEEK_NODES") < names.index("NNODES")
    assert names.index("DEEPSEEK_NODE_RANK") < names.index("NODE_RANK")
    assert len(names) == len(set(names))


@pytest.mark.parametrize("trainer", CHATS)
def test_ones_own_path_of_modules_stays_beside_ours(trainer: str) -> None:
    made = spec(trainer)
    made["trainer"]["env"] = [{"name": "PYTHONPATH", "value": "/app"}]
    (container,) = pod(**made)["containers"]
    assert [v["value"] for v in container["env"] if v["name"] == "PYTHONPATH"] == ["/etc/deepseek:/app"]


@pytest.mark.parametrize("trainer", ["torchtitan", "megatron-bridge"])
def test_one_that_only_pre_trains_names_those_that_fine_tune(trainer: str) -> None:
    found = asked(trainer)
    assert isinstance(found, Refusal)
    assert "ms-swift" in found.instead


TEXTS = [{"source": {"uri": "pvc://data/books"}, "format": "Text"}]
PRE_TRAINERS = [name for name in BUILT if Objective.PRETRAIN in TRAINERS[name].objectives]


def rendered(trainer: str, **changes: Any) -> Started | Refusal | None:
    """As `asked`, on as many devices as sizing finds."""
    document = {**training(), "spec": {**spec(trainer, **changes), "accelerator": {"profile": "nvidia-h200-141"}}}
    document["spec"].pop("nodes")
    owner = DeepSeekTraining.model_validate(document)
    plan = planned(owner, Configuration())
    return started(as_planned(owner, plan).spec, plan, Configuration())


@pytest.mark.parametrize("trainer", PRE_TRAINERS)
def test_pre_training_is_rendered_by_every_trainer_that_has_it(trainer: str) -> None:
    changes: dict[str, Any] = {"objective": "Pretrain", "datasets": TEXTS, "model__name": "deepseek-v2-lite"}
    changes["hyperparameters__globalBatchSize"] = 64
    found, tuned = rendered(trainer, **changes), rendered(trainer, **{**changes, "objective": "SFT"})
    assert isinstance(found, Started), found
    if TRAINERS[trainer].runs_a_program:
        return  # what is learnt is the program's to say
    assert "/datasets/0/books" in " ".join([*found.command.args, *found.command.files.values()])
    assert isinstance(tuned, Started) == (Objective.SFT in TRAINERS[trainer].objectives)
    assert found != tuned


@pytest.mark.parametrize("trainer", CHATS)
def test_its_command_names_the_optimizer(trainer: str) -> None:
    found = asked(trainer, hyperparameters__optimizer="AdamW8bit")
    assert isinstance(found, Started)
    assert "adamw_8bit" in f"{found.command.args} {found.command.files}"


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Muon"])
@pytest.mark.parametrize("trainer", [*CHATS, "deepspeed"])
def test_an_optimizer_that_it_has_not_is_refused_with_who_has_it(trainer: str, optimizer: str) -> None:
    found = asked(trainer, hyperparameters__optimizer=optimizer)
    if optimizer in {one.value for one in TRAINERS[trainer].optimizers}:
        assert isinstance(found, Started)
        return
    assert isinstance(found, Refusal)
    assert optimizer in found.reason
    assert "hyperparameters.optimizer AdamW, or trainer builtin" in found.instead


PREFERRED = [{"source": {"uri": "pvc://data/pairs.jsonl"}, "format": "Preference"}]


@pytest.mark.parametrize("trainer", CHATS)
def test_preferences_are_learnt_beside_a_reference_that_sizing_knows(trainer: str) -> None:
    changes: dict[str, Any] = {"objective": "DPO", "datasets": PREFERRED}
    found = rendered(trainer, **changes)
    assert isinstance(found, Started), found
    assert "dpo" in " ".join([*found.command.args, *found.command.files.values()])

    def needed_gib(**other: Any) -> float:
        """Of one device of eight."""
        devices = {"accelerator": {"profile": "nvidia-h200-141", "perNode": 8}}
        hyper = {"maxSteps": 10, "globalBatchSize": 8, "sequenceLength": 128}
        made = {**spec(trainer, **{**changes, **other}), **devices, "hyperparameters": hyper}
        plan = planned(DeepSeekTraining.model_validate({**training(), "spec": made}), Configuration())
        assert plan is not None
        assert plan.memory is not None, plan.reason
        return float(plan.memory.needed.removesuffix(" GiB"))

    # 7.6e9 parameters in 16 bits, shared by eight, are 1.77 GiB; then comes a second short sequence.
    assert 1.7 < needed_gib() - needed_gib(objective="SFT", datasets=TEXTS) < 3.0


NOT_READ: dict[str, Any] = {
    "hyperparameters.crossEntropy": "Chunked",
    "failurePolicy.onDivergence.action": "Rollback",
    "failurePolicy.maxInPlaceRestarts": 2,
    "failurePolicy.preflightTimeoutSeconds": 30,
    "failurePolicy.minVolumeMegabytesPerSecond": 30,
    "model.custom": {"model_type": "qwen2"},
}


@pytest.mark.parametrize("trainer", CHATS)
@pytest.mark.parametrize("path", NOT_READ)
def test_a_field_that_the_built_in_trainer_alone_reads_is_refused_by_its_name(trainer: str, path: str) -> None:
    found = asked(trainer, **{path: NOT_READ[path]})
    assert isinstance(found, Refusal)
    assert path.split(".")[-1] in found.reason
    assert "trainer.type builtin" in found.instead


LORA = {"type": "LoRA", "lora": {"export": "Adapter"}}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no name of the catalogue": ({"model.name": "our-own"}, "write model.name"),
    "a generated task": ({"datasets": [{"source": {"uri": "builtin://uppercase"}}]}, "write a file of a claim"),
    "a pattern": ({"datasets": [{"source": {"uri": "pvc://data/*.jsonl"}}]}, "write a file of a claim"),
    "saves by the clock": ({"checkpoints": {"everySeconds": 60}}, "write checkpoints.everySteps"),
    "saves by default": ({"checkpoints": {}}, "write checkpoints.everySteps"),
    "a merged export": ({"method": {"type": "LoRA"}}, "write method.lora.export: Adapter"),
    "experts": (
        {"method": {"type": "LoRA", "lora": {"export": "Adapter", "targets": ["Experts"]}}},
        "trainer.type builtin",
    ),
    "one layer": (
        {"method": {"type": "LoRA", "lora": {"export": "Adapter", "targets": ["q_proj"]}}},
        "trainer.type builtin",
    ),
    "a chat template": ({"chatTemplate": {"name": "DeepSeek"}}, "leave chatTemplate out"),
    "devices by resource": ({"accelerator": {"resource": "nvidia.com/gpu", "perNode": 1}}, "write accelerator.profile"),
    "its own flag": ({"trainer.args": ["seed=3", "--seed", "3"]}, "write hyperparameters.seed"),
    "no image": ({"trainer.image": None}, "write trainer.image"),
}


@pytest.mark.parametrize("trainer", CHATS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_it_can_not_do_is_refused_with_what_to_write(trainer: str, case: str) -> None:
    changes, instead = REFUSED[case]
    found = asked(trainer, **changes)
    assert isinstance(found, Refusal), found
    assert instead in str(found)


RECOMPUTED = {
    "llama-factory": {
        "None": '"disable_gradient_checkpointing": true',
        "Full": '"disable_gradient_checkpointing": false',
    },
    "ms-swift": {"None": "--gradient_checkpointing false", "Full": "--gradient_checkpointing true"},
}


@pytest.mark.parametrize("trainer", CHATS)
@pytest.mark.parametrize("level", ["None", "Full"])
def test_recomputation_reaches_it_as_its_own_flag(trainer: str, level: str) -> None:
    found = asked(trainer, hyperparameters__activationRecomputation=level)
    assert isinstance(found, Started)
    assert RECOMPUTED[trainer][level] in " ".join([*found.command.args, *found.command.files.values()])


@pytest.mark.parametrize(
    ("trainer", "level", "instead"),
    [
        ("llama-factory", "Selective", "write None or Full"),
        ("ms-swift", "Selective", "write None or Full"),
        ("deepspeed", "Full", "leave it out"),
        ("deepspeed", "None", "leave it out"),
    ],
)
def test_recomputation_that_it_can_not_be_told_is_refused(trainer: str, level: str, instead: str) -> None:
    found = asked(trainer, hyperparameters__activationRecomputation=level)
    assert isinstance(found, Refusal)
    assert instead in str(found)


@pytest.mark.parametrize("trainer", CHATS)
def test_an_adapter_has_the_settings_of_the_spec(trainer: str) -> None:
    lora = {
        "type": "LoRA",
        "lora": {"export": "Adapter", "rank": 7, "alpha": 21, "dropout": "0.125", "targets": ["Linear"]},
    }
    found = asked(trainer, method=lora)
    assert isinstance(found, Started)
    said = " ".join([*found.command.args, *found.command.files.values()])
    for name, value in (("lora_rank", "7"), ("lora_alpha", "21"), ("lora_dropout", "0.125")):
        assert f'"{name}": {value}' in said or f"--{name} {value}" in said
    plain = asked(trainer, method=LORA)
    assert isinstance(plain, Started)
    assert "lora_dropout" in " ".join([*plain.command.args, *plain.command.files.values()]), (
        "its own default may differ"
    )


def test_the_refusal_is_told_and_no_pod_is_made() -> None:
    life = Life()
    for name in ("models", "data"):
        life.cluster.put(claim(name))
    life.begin(**spec("llama-factory", hyperparameters__crossEntropy="Chunked"))
    assert life.cluster.all(JOB) == []
    (live,) = life.cluster.all(TRAINING)
    (stalled,) = [c for c in live["status"]["conditions"] if c["type"] == "Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", "Unsupported")
    assert "crossEntropy" in stalled["message"]


@pytest.mark.parametrize("trainer", BUILT)
def test_another_trainer_is_another_attempt(trainer: str) -> None:
    def digest(name: str) -> str:
        document = {**training(), "spec": spec(trainer)}
        document["spec"]["trainer"]["type"] = name
        return attempt_digest(DeepSeekTraining.model_validate(document).spec)

    assert digest(trainer) not in {digest(other) for other in (*BUILT, "custom") if other != trainer}


def test_every_field_that_is_honoured_is_one_of_the_spec() -> None:
    leaves = {leaf.removeprefix("spec.") for leaf in schema_leaves(TRAINING.plural, "spec")}
    for name in HONOURED:
        known = name.removesuffix(".*")
        assert any(leaf == known or leaf.startswith((f"{known}.", f"{known}[")) for leaf in leaves), name
