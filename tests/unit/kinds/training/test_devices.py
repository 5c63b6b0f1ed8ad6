"""Trainings under a profile: what is sized, recorded, refused and told, and what never changes afterwards."""

from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.api.v1alpha1.training.status import TrainingPlanStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import CLAIM, JOB, Manifest
from deepseek_operator.domain.devices.profiles import BUILT_IN, Profiles, profiles_from_config
from deepseek_operator.kinds.training import training_kind
from tests.support.host_access import EVERYWHERE
from tests.support.shell import Operator
from tests.support.trainings import Life, claim

OWN = {"type": "custom", "image": "team/trainer:1", "command": ["torchrun"]}
WEIGHTS = {"uri": "pvc://models/m"}
A_TASK = [{"source": {"uri": "builtin://uppercase"}}]


def begun(life: Life | None = None, **spec: Any) -> Life:
    """A training of a catalogue model whose weights are there; nodes are left to the operator unless written."""
    life = life or Life()
    life.cluster.put(claim("models"))
    model = {"name": "deepseek-r1-distill-qwen-7b", "source": WEIGHTS}
    wanted = {"model": model, "nodes": {}, "accelerator": {"profile": "nvidia-h100-80"}, **spec}
    return life.begin(**wanted)


def plan_of(life: Life) -> TrainingPlanStatus:
    plan = life.owner.status.plan
    assert plan is not None
    return plan


def job_of(life: Life) -> Manifest:
    (job,) = life.cluster.all(JOB)
    return job


def container_of(life: Life) -> Manifest:
    container: Manifest = job_of(life)["spec"]["template"]["spec"]["containers"][0]
    return container


def test_nodes_devices_and_volume_are_sized_recorded_and_used() -> None:
    life = begun()
    plan = plan_of(life)
    assert (plan.nodes, plan.per_node, plan.gpus) == (1, 2, 2)
    assert "FSDP over 2" in plan.layout
    assert "because" not in plan.reason
    assert "2 ranks" in plan.reason
    assert container_of(life)["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert job_of(life)["spec"]["completions"] == 1
    (volume,) = [c for c in life.cluster.all(CLAIM) if c["metadata"]["name"] != "models"]
    assert volume["spec"]["resources"]["requests"]["storage"] == "453Gi"
    assert plan.checkpoint_bytes == pytest.approx(14 * 7.6e9, rel=0.02)


def test_the_volume_grows_with_the_checkpoints_that_are_kept() -> None:
    sizes = []
    for keep in (2, 4):
        life = begun(checkpoints={"keepLast": keep, "keepBest": 0})
        (volume,) = [c for c in life.cluster.all(CLAIM) if c["metadata"]["name"] != "models"]
        sizes.append(int(volume["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")))
    assert sizes[1] - sizes[0] == pytest.approx(2 * 14 * 7.6e9 * 1.1 / 2**30, rel=0.02)


def test_a_written_number_of_nodes_and_devices_is_kept() -> None:
    life = begun(nodes={"count": 2}, accelerator={"profile": "nvidia-h100-80", "perNode": 8})
    assert job_of(life)["spec"]["completions"] == 2
    assert container_of(life)["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_what_can_not_fit_is_stalled_with_the_missing_memory_and_what_would() -> None:
    life = begun(nodes={"count": 1}, accelerator={"profile": "nvidia-h100-80", "perNode": 1})
    assert life.told == ("Stalled", "DoesNotFit")
    assert "lacks" in life.message
    assert "GiB" in life.message
    assert "Would fit: more devices: 2 devices" in life.message
    assert "; LoRA: 1 device" in life.message
    assert "QLoRA" not in life.message, "a change that the built-in trainer can't make is no advice"
    assert not life.cluster.all(JOB)


def test_a_base_in_4_bits_is_offered_where_the_trainer_holds_one_and_takes_less() -> None:
    one: dict[str, Any] = {"nodes": {"count": 1}, "accelerator": {"profile": "nvidia-h100-80", "perNode": 1}}
    for trainer in ("llama-factory", "ms-swift"):
        told: dict[str, Any] = {
            **one,
            "trainer": {"type": trainer, "image": "x"},
            "datasets": [{"source": {"uri": "pvc://models/few.jsonl"}}],
            "checkpoints": {"everySteps": 10},
        }
        assert "; QLoRA: 1 device" in begun(**told).message
        needed = []
        for kind in ("LoRA", "QLoRA"):
            life = begun(**told, method={"type": kind, "lora": {"export": "Adapter"}})
            assert life.told[1] == "Starting", life.message
            memory = plan_of(life).memory
            assert memory is not None
            needed.append(float(str(memory.needed).removesuffix("GiB")))
        assert needed[0] - needed[1] == pytest.approx(7.6e9 * (2 - 0.5625) / 2**30, rel=0.15)


def test_an_adapter_is_sized_with_its_frozen_base_and_its_checkpoints_hold_it_alone() -> None:
    """Qwen 7B: hidden 3584, 28 layers, 28 heads of 128 and 4 for keys; the base in 2 bytes, 14 for what is trained."""
    one: dict[str, Any] = {"nodes": {"count": 1}, "accelerator": {"profile": "nvidia-h100-80", "perNode": 1}}
    life = begun(**one, method={"type": "LoRA"})
    plan = plan_of(life)
    assert life.told[1] == "Starting"
    trained = 28 * 16 * (2 * (3584 + 3584) + 2 * (3584 + 512))
    assert plan.checkpoint_bytes == 14 * trained
    assert plan.export_bytes == pytest.approx(2 * 7.6e9, rel=0.02), "merged"
    assert plan.memory is not None
    assert float(str(plan.memory.needed).removesuffix("GiB")) < 40
    (volume,) = [c for c in life.cluster.all(CLAIM) if c["metadata"]["name"] != "models"]
    assert volume["spec"]["resources"]["requests"]["storage"] == "17Gi"
    kept = plan_of(begun(**one, method={"type": "LoRA", "lora": {"export": "Adapter"}}))
    assert (kept.checkpoint_bytes, kept.export_bytes) == (14 * trained, 2 * trained)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"targets": ["Attention"]}, {"targets": ["Linear"]}),
        ({"targets": ["Attention"]}, {"targets": ["Attention", "shared_experts.up_proj"]}),
        ({"targets": ["Linear"]}, {"targets": ["Experts"]}),
        ({"targets": ["shared_experts.up_proj"]}, {"targets": ["experts.gate_up_proj"]}),
        ({"rank": 8}, {"rank": 64}),
    ],
)
def test_more_targets_and_a_higher_rank_weigh_more(less: dict[str, Any], more: dict[str, Any]) -> None:
    model = {"name": "deepseek-v2-lite", "source": WEIGHTS}
    plans = [plan_of(begun(model=model, method={"type": "LoRA", "lora": lora})) for lora in (less, more)]
    assert (plans[0].checkpoint_bytes or 0) < (plans[1].checkpoint_bytes or 0)


def test_random_weights_are_offered_no_adapter() -> None:
    config = {"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80}
    life = begun(
        model={"custom": {**config, "num_attention_heads": 64, "vocab_size": 128256, "max_position_embeddings": 4096}},
        nodes={"count": 1},
        accelerator={"profile": "nvidia-h100-80", "perNode": 4},
    )
    assert life.told == ("Stalled", "DoesNotFit")
    assert "LoRA" not in life.message


def test_an_edit_to_what_fits_starts_it() -> None:
    life = begun(nodes={"count": 1}, accelerator={"profile": "nvidia-h100-80", "perNode": 1})
    life.edit(lambda spec: spec["accelerator"].update(perNode=8))
    assert life.told[1] == "Starting"
    assert container_of(life)["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_an_unknown_profile_is_refused_with_its_neighbours_and_never_becomes_cpu() -> None:
    life = begun(accelerator={"profile": "nvidia-h1000"})
    assert life.told == ("Stalled", "UnknownProfile")
    assert "nvidia-h100-80" in life.message
    assert not life.cluster.all(JOB)


def test_a_full_fine_tune_of_70b_on_16_a100s_is_accepted_as_tight() -> None:
    life = begun(
        model={"name": "deepseek-r1-distill-llama-70b", "source": WEIGHTS},
        hyperparameters={"maxSteps": 10, "sequenceLength": 4096},
        trainer=OWN,
        nodes={"count": 2},
        accelerator={"profile": "a100-80", "perNode": 8},
    )
    assert life.told == ("Reconciling", "Starting")
    warning = next(c for c in life.owner.status.conditions if c.type == "SizingWarning")
    assert (warning.status, warning.reason) == ("True", "Tight")
    assert plan_of(life).layout.startswith("TP 8 × DP 2")


def test_the_built_in_trainer_refuses_what_it_can_not_run_and_says_how_another_is_written() -> None:
    model = {"name": "deepseek-v2-lite", "source": WEIGHTS}
    assert begun(model=model, nodes={"count": 4}, accelerator={"profile": "h100", "perNode": 8}).told[1] == "Starting"
    life = begun(model=model, accelerator={"profile": "amd-mi300x-192"})
    assert life.told == ("Stalled", "Unsupported")
    assert "trainer.command" in life.message


def test_an_unknown_model_is_not_sized_and_not_refused() -> None:
    life = begun(model={"name": "our-own", "source": WEIGHTS})
    assert life.told[1] == "Starting"
    assert plan_of(life).reason.startswith("not sized: model.name our-own is not in the catalogue")
    assert container_of(life)["resources"]["limits"]["nvidia.com/gpu"] == "8"


def test_a_private_model_is_sized_by_its_config() -> None:
    config = {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192,
    }  # fmt: skip
    life = begun(model={"custom": config}, datasets=A_TASK)
    assert "FSDP" in plan_of(life).layout


def test_the_micro_batch_that_was_counted_is_the_one_that_runs() -> None:
    life = begun(hyperparameters={"maxSteps": 5, "globalBatchSize": 64})
    spec = next(e["value"] for e in container_of(life)["env"] if e["name"] == "DEEPSEEK_TRAINING_SPEC")
    assert '"microBatchSize":1' in spec


def test_a_changed_catalogue_touches_neither_a_running_attempt_nor_the_record() -> None:
    life = begun().running()
    before = (plan_of(life), life.jobs())
    smaller = profiles_from_config({"nvidia-h100-80": {"memoryGiB": 40}})
    life.operator = Operator(training_kind(Configuration(profiles=smaller)), life.cluster, life.clock)
    life.turn()
    assert (plan_of(life), life.jobs()) == before
    life.wipe_status()
    assert (plan_of(life), life.jobs()) == before, "a wiped status is read back from the Job"


def test_an_edit_that_is_taken_back_returns_to_the_attempts_own_plan() -> None:
    life = begun().running()
    before = (plan_of(life), life.jobs())
    smaller = profiles_from_config({"nvidia-h100-80": {"memoryGiB": 40}})
    life.operator = Operator(training_kind(Configuration(profiles=smaller)), life.cluster, life.clock)
    life.edit(lambda spec: spec.update(nodes={"count": 1}, accelerator={"profile": "nvidia-h100-80", "perNode": 1}))
    assert life.told == ("Stalled", "DoesNotFit")
    life.edit(lambda spec: spec.update(nodes={}, accelerator={"profile": "nvidia-h100-80"}))
    assert (plan_of(life), life.jobs()) == before
    assert life.told == ("Ready", "Running")


def test_another_profile_is_planned_anew_and_is_another_attempt() -> None:
    life = begun().running()
    life.edit(lambda spec: spec["accelerator"].update(profile="nvidia-h200-141")).gone()
    assert plan_of(life).profile == "nvidia-h200-141"
    assert life.jobs() == ["2"]
    assert job_of(life)["spec"]["template"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H200"}


def test_writing_what_was_found_is_no_other_attempt() -> None:
    life = begun().running()
    life.edit(lambda spec: spec.update(nodes={"count": 1}, accelerator={"profile": "nvidia-h100-80", "perNode": 2}))
    assert life.jobs() == ["1"]
    assert life.told == ("Ready", "Running")


def test_a_profile_that_was_taken_away_stops_nothing_that_runs_and_keeps_the_next_from_starting() -> None:
    lab = Profiles({**BUILT_IN.by_name, "lab": BUILT_IN.resolve("h100")})
    lab = Profiles({**lab.by_name, "lab": replace(lab.by_name["lab"], accelerator=replace(BUILT_IN.resolve("h100").accelerator, name="lab"))})  # fmt: skip
    life = begun(Life(Configuration(profiles=lab)), accelerator={"profile": "lab"}).running()
    life.operator = Operator(training_kind(Configuration()), life.cluster, life.clock)
    assert life.turn().told == ("Ready", "Running")
    life.crash()
    assert life.later(3600).told == ("Stalled", "UnknownProfile")


def test_the_administrators_patch_reaches_the_pod_and_a_tenant_can_not_write_it() -> None:
    lab = profiles_from_config(
        {
            "lab": {
                "base": "h100",
                "nodeSelector": {"pool": "lab"},
                "companions": [{"resource": "rdma/ib", "quantity": 1, "perDevice": True}],
                "env": {"NCCL_IB_HCA": "mlx5"},
                "sharedMemoryGiB": 48,
                "pod": {
                    "hostNetwork": True,
                    "capabilities": ["IPC_LOCK"],
                    "hostMounts": [{"name": "drv", "hostPath": "/opt/drv", "mountPath": "/opt/drv"}],
                    "annotations": {"k8s.v1.cni.cncf.io/networks": "rail-0", "karpenter.sh/do-not-disrupt": "false"},
                },
            }
        }
    )
    life = begun(Life(Configuration(profiles=lab, host_access=EVERYWHERE)), accelerator={"profile": "lab"})
    template, container = job_of(life)["spec"]["template"], container_of(life)
    assert template["spec"]["hostNetwork"] is True
    assert template["spec"]["nodeSelector"]["pool"] == "lab"
    assert template["metadata"]["annotations"] == {
        "k8s.v1.cni.cncf.io/networks": "rail-0",
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "false",
    }
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["IPC_LOCK"]}
    assert container["resources"]["limits"]["rdma/ib"] == container["resources"]["requests"]["rdma/ib"] == "2"
    assert {"name": "NCCL_IB_HCA", "value": "mlx5"} in container["env"]
    assert {"name": "drv", "hostPath": {"path": "/opt/drv"}} in template["spec"]["volumes"]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "48Gi"}} in template["spec"][
        "volumes"
    ]


def test_a_config_that_does_not_fit_the_environment_is_refused_with_its_size() -> None:
    life = Life().begin(model={"custom": {"model_type": "deepseek_v3", "note": "x" * 70_000}})
    assert life.told == ("Stalled", "InvalidSpec")
    assert "65,536 bytes" in life.message


def test_huge_pages_without_memory_are_refused_before_kubernetes_does() -> None:
    life = begun(Life(Configuration(host_access=EVERYWHERE)), accelerator={"profile": "gaudi3"}, trainer=OWN)
    assert life.told == ("Stalled", "Unsupported")
    assert "trainer.resources.memory" in life.message
    life.edit(lambda spec: spec["trainer"].update(resources={"memory": "1Ti"}))
    assert life.told == ("Reconciling", "Starting")


def test_no_profile_means_no_plan() -> None:
    assert Life().begin().owner.status.plan is None


def test_a_loss_in_pieces_is_offered_where_the_logits_are_what_is_too_much_and_counted_once_it_is_written() -> None:
    long = {"maxSteps": 100, "sequenceLength": 16384}
    life = begun(
        model={"name": "deepseek-r1-distill-qwen-1.5b", "source": WEIGHTS},
        nodes={"count": 1},
        accelerator={"profile": "nvidia-h100-80", "perNode": 2},
        hyperparameters=long,
    )
    assert life.told == ("Stalled", "DoesNotFit")
    assert "crossEntropy: Chunked" in life.message
    life.edit(lambda spec: spec.update(hyperparameters={**long, "crossEntropy": "Chunked"}))
    assert (life.told[1], plan_of(life).gpus) == ("Starting", 2)


def too_much(model: str, devices: int, length: int, **more: object) -> Life:
    return begun(
        model={"name": f"deepseek-r1-distill-{model}", "source": WEIGHTS},
        nodes={"count": 1},
        accelerator={"profile": "nvidia-h100-80", "perNode": devices},
        hyperparameters={"maxSteps": 100, "sequenceLength": length, **more},
    )


@pytest.mark.parametrize(
    ("model", "devices", "length", "level", "needs_pieces"),
    [
        ("llama-8b", 8, 16384, "Selective", False),
        ("qwen-7b", 4, 8192, "Selective", False),
        ("qwen-32b", 8, 1024, "Selective", False),
        ("qwen-32b", 8, 2048, "Full", False),
        ("qwen-7b", 8, 32768, "Full", True),
        ("qwen-32b", 8, 8192, "Full", True),
    ],
)
def test_recomputation_is_offered_at_the_level_that_makes_it_fit_and_counted_once_it_is_written(
    model: str, devices: int, length: int, level: str, needs_pieces: bool
) -> None:
    life = too_much(model, devices, length)
    assert life.told == ("Stalled", "DoesNotFit")
    offered = f"activations computed again (activationRecomputation: {level})"
    both = f"{offered}, and a loss in pieces (crossEntropy: Chunked)"
    assert f"{both if needs_pieces else offered}: {devices} devices" in life.message
    assert needs_pieces == (both in life.message)
    written = {"activationRecomputation": level, **({"crossEntropy": "Chunked"} if needs_pieces else {})}
    life.edit(lambda spec: spec["hyperparameters"].update(written))
    assert (life.told[1], plan_of(life).gpus) == ("Starting", devices)


@pytest.mark.parametrize(
    "knob", [{"crossEntropy": "Chunked"}, {"activationRecomputation": "Full"}, {"optimizer": "Muon"}]
)
def test_a_plan_of_an_earlier_release_stays_where_no_memory_knob_is_written(knob: dict[str, str]) -> None:
    plain, turned = ({"maxSteps": 100, **more} for more in ({}, knob))
    references = [plan_of(begun(hyperparameters=hyper)).reference for hyper in (plain, turned)]
    assert references[0] == reference_before(begun(hyperparameters=plain).owner.spec)
    assert references[0] != references[1]


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Muon"])
def test_smaller_moments_are_offered_where_states_are_too_much_and_counted_once_they_are_written(
    optimizer: str,
) -> None:
    life = begun(
        model={"name": "deepseek-r1-distill-llama-8b", "source": WEIGHTS},
        nodes={"count": 1},
        accelerator={"profile": "nvidia-h100-80", "perNode": 2},
    )
    assert life.told == ("Stalled", "DoesNotFit")
    assert "optimizer: AdamW8bit" in life.message
    life.edit(lambda spec: spec["hyperparameters"].update(optimizer=optimizer))
    assert (life.told[1], plan_of(life).gpus) == ("Starting", 2)


@pytest.mark.parametrize("trainer", ["torchtitan", "megatron-bridge", "deepspeed"])
def test_moments_that_a_trainer_has_not_are_not_offered(trainer: str) -> None:
    refused = found_of({"type": trainer, **({"command": ["/train"]} if trainer == "deepspeed" else {})})
    assert "AdamW8bit" in found_of({"type": "llama-factory"})
    assert "AdamW8bit" not in refused


def found_of(trainer: dict[str, Any]) -> str:
    life = begun(
        model={"name": "deepseek-r1-distill-qwen-7b", "source": WEIGHTS},
        nodes={"count": 1},
        accelerator={"profile": "nvidia-h100-80", "perNode": 1},
        hyperparameters={"maxSteps": 100, "optimizer": "AdamW"},
        trainer=trainer,
    )
    return life.message


def reference_before(spec: TrainingSpec) -> str:
    """As it was before there was such a field."""
    wire = spec.to_wire()
    hyper = wire["hyperparameters"]
    return digest(
        {
            "accelerator": wire["accelerator"],
            "nodes": spec.nodes.count,
            "model": {"name": wire["model"]["name"]},
            "method": wire["method"],
            "own": False,
            "batch": [hyper["globalBatchSize"], hyper.get("microBatchSize"), hyper["sequenceLength"]],
            "precision": hyper["precision"],
        }
    )
