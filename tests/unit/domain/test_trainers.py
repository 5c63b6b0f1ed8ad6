"""Training commands: what each trainer is told, and what it refuses."""

import ast
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_operator.domain.devices.profiles import BUILT_IN
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.programs.trainers.request import (
    DataFormat,
    Dataset,
    Hyperparameters,
    LossOn,
    Objective,
    Schedule,
    Tuning,
    mixture,
)
from deepseek_operator.domain.programs.trainers.table import TRAINERS, build
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer
from deepseek_operator.domain.values.command import Command, Refusal
from tests.support.requests import training
from tests.support.search import examples

PRETRAIN: dict[str, Any] = {"objective": Objective.PRETRAIN}
V3_LAYOUT = Layout(tensor=2, pipeline=16, data=32, expert=64)


def command(trainer: str = "builtin", **values: Any) -> Command:
    built = build(trainer, training(trainer=trainer, **values))
    assert isinstance(built, Command), built
    return built


def refused(trainer: str = "builtin", **values: Any) -> Refusal:
    built = build(trainer, training(trainer=trainer, **values))
    assert isinstance(built, Refusal), built
    return built


def option(built: Command, flag: str) -> str | None:
    words = list(built.args)
    return words[words.index(flag) + 1] if flag in words else None


def document(built: Command, end: str) -> dict[str, Any]:
    return next(dict(json.loads(text)) for path, text in built.files.items() if path.endswith(end))


def test_the_built_in_trainer_is_the_launcher_of_the_runtime() -> None:
    built = command()
    assert built.args == ("python3", "-m", "deepseek_runtime.launcher")
    assert built.termination_grace_seconds == 300


def test_the_built_in_trainer_names_the_others_above_sixteen_billion() -> None:
    answer = refused(model="deepseek-v3")
    assert "671.0e9" in answer.reason
    assert "ms-swift" in answer.instead
    assert isinstance(build("builtin", training("deepseek-moe-16b")), Command)
    assert isinstance(build("builtin", training("deepseek-r1-distill-llama-70b", layout=Layout(data=64))), Command)
    assert "megatron-bridge" in refused(model="deepseek-v3", **PRETRAIN).instead


def test_p_tuning_v2_is_refused_on_latent_attention_alone() -> None:
    tuning = Tuning(Method.P_TUNING, every_layer=True)
    assert "P-tuning v2" in refused(model="deepseek-v2-lite", tuning=tuning).reason
    assert refused(tuning=tuning).reason == "the built-in trainer has no P-tuning v2"


@pytest.mark.parametrize("trainer", ["llama-factory", "ms-swift"])
@pytest.mark.parametrize("method", [Method.PROMPT_TUNING, Method.P_TUNING])
def test_soft_prompts_are_the_built_in_trainer_s(trainer: str, method: Method) -> None:
    assert isinstance(build("builtin", training("deepseek-v2-lite", tuning=Tuning(method))), Command)
    assert refused(trainer, tuning=Tuning(method)).instead == "write method LoRA, or a command of your own"


def test_the_built_in_trainer_does_lora_and_leaves_a_quantized_base_to_others() -> None:
    assert isinstance(build("builtin", training("deepseek-v2-lite", tuning=Tuning(Method.LORA))), Command)
    assert "no QLoRA" in refused(tuning=Tuning(Method.QLORA)).reason


def test_pre_training_with_transformers_v3_is_refused() -> None:
    answer = refused("llama-factory", model="deepseek-v3", **PRETRAIN)
    assert "routing bias" in answer.reason
    assert answer.instead == "write trainer megatron-bridge or torchtitan"


def test_full_tuning_of_v3_never_runs_on_a_trainer_that_loses_its_experts_on_restart() -> None:
    assert "loses" in refused("llama-factory", model="deepseek-v3", layout=Layout(data=64)).reason
    built = command("ms-swift", model="deepseek-v3", layout=Layout(data=64))
    assert "megatron" in built.args


@pytest.mark.parametrize("trainer", ["llama-factory", "builtin", "deepspeed"])
def test_trainers_that_only_shard_data_refuse_other_ranks(trainer: str) -> None:
    assert "data ranks alone" in refused(trainer, layout=Layout(tensor=8), script=("train.py",)).reason


def test_the_rendezvous_comes_from_the_pod() -> None:
    words = ("--nnodes", "$(DEEPSEEK_NODES)", "--node-rank", "$(DEEPSEEK_NODE_RANK)", "--nproc-per-node",
             "$(DEEPSEEK_PROCESSES_PER_NODE)", "--master-addr", "$(MASTER_ADDR)", "--master-port", "$(MASTER_PORT)")  # fmt: skip
    assert command("deepspeed", script=("/app/train.py",)).args[1:11] == words
    assert command("torchtitan", model="deepseek-v3", layout=Layout(data=64, expert=8), **PRETRAIN).args[1:11] == words
    env = dict(command("llama-factory").env)
    assert (env["NNODES"], env["NODE_RANK"], env["FORCE_TORCHRUN"]) == (
        "$(DEEPSEEK_NODES)",
        "$(DEEPSEEK_NODE_RANK)",
        "1",
    )


def test_workers_may_save_almost_as_long_as_the_pod_may_end() -> None:
    assert dict(command(grace_seconds=900).env)["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "890"


def test_one_device_needs_neither_torchrun_nor_deepspeed() -> None:
    alone = Layout()
    assert "FORCE_TORCHRUN" not in dict(command("llama-factory", layout=alone).env)
    assert "deepspeed" not in document(command("llama-factory", layout=alone), "llama-factory.yaml")
    assert "--deepspeed" not in command("ms-swift", layout=alone).args


def test_llama_factory_gets_one_file_with_everything() -> None:
    hyper = Hyperparameters(
        global_batch=64, micro_batch=2, sequence=4096, learning_rate="3e-5", max_steps=None, epochs=3
    )
    built = command("llama-factory", tuning=Tuning(Method.QLORA, rank=64), hyper=hyper,
                    layout=Layout(data=8, sharding=Sharding.ZERO2, shard=8))  # fmt: skip
    config = document(built, "llama-factory.yaml")
    assert config["gradient_accumulation_steps"] * config["per_device_train_batch_size"] * 8 == 64
    assert (config["learning_rate"], config["num_train_epochs"], config["cutoff_len"]) == (3e-5, 3, 4096)
    assert (config["quantization_bit"], config["lora_rank"]) == (4, 64)
    assert document(built, "zero.json")["zero_optimization"]["stage"] == 2
    assert document(built, "dataset_info.json")["train-0"]["file_name"] == "/data/train.jsonl"


def test_qlora_is_not_sharded_by_zero_3() -> None:
    assert "ZeRO2" in refused("llama-factory", tuning=Tuning(Method.QLORA)).instead


def test_llama_factory_refuses_models_without_a_template() -> None:
    assert (
        refused("llama-factory", model="deepseek-v4-flash", tuning=Tuning(Method.LORA)).instead
        == "write trainer ms-swift"
    )


def test_lora_adapts_the_attention_that_the_model_has() -> None:
    lora = {"tuning": Tuning(Method.LORA)}
    latent = document(command("llama-factory", model="deepseek-v3", **lora), ".yaml")["lora_target"]
    assert latent == "q_a_proj,q_b_proj,kv_a_proj_with_mqa,kv_b_proj,o_proj"
    plain = document(command("llama-factory", model="deepseek-v2-lite", **lora), ".yaml")["lora_target"]
    assert plain == "q_proj,kv_a_proj_with_mqa,kv_b_proj,o_proj"


def test_weights_of_datasets_become_probabilities() -> None:
    sets = (Dataset("/a", weight=3.0), Dataset("/b", weight=1.0))
    config = document(command("llama-factory", datasets=sets), "llama-factory.yaml")
    assert config["interleave_probs"] == "0.750000,0.250000"
    assert option(command("ms-swift", datasets=sets), "--interleave_prob") == "0.750000"


@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=32))
def test_probabilities_of_datasets_add_up_to_one(weights: list[float]) -> None:
    # numpy, by which datasets are drawn, refuses a sum that is off by more than 1.5e-8.
    drawn = mixture(tuple(Dataset(f"/{index}", weight=weight) for index, weight in enumerate(weights)))
    assert not drawn or abs(sum(map(float, drawn)) - 1) < 1e-9
    assert all(0 <= float(part) <= 1 for part in drawn)
    assert bool(drawn) == (len(set(weights)) > 1)


def test_llama_factory_takes_probabilities_only_for_as_many_datasets_as_it_evaluates() -> None:
    # llamafactory 0.9.5 hparams/data_args.py ends over probabilities of another length than eval_dataset
    held = Dataset("/c", held_out=True)
    weighted, alike = (Dataset("/a", weight=3.0), Dataset("/b")), (Dataset("/a"), Dataset("/b"))
    assert "draws 2 weighted datasets" in refused("llama-factory", datasets=(*weighted, held)).reason
    for sets, evaluated in (
        (weighted, None),
        ((*weighted, held, held), "held-out-0,held-out-1"),
        ((*alike, held), "held-out-0"),
    ):
        assert document(command("llama-factory", datasets=sets), "llama-factory.yaml").get("eval_dataset") == evaluated


# megatron/bridge/training/config.py; torchtitan/distributed/parallel_dims.py, which doubles for tensor ranks alone
@pytest.mark.parametrize("trainer", ["torchtitan", "megatron-bridge", "ms-swift"])
@pytest.mark.parametrize(("tensor", "context", "length"), [(1, 3, 4098), (2, 1, 4098), (2, 2, 4104)])
def test_a_sequence_that_ranks_can_not_share_is_refused(trainer: str, tensor: int, context: int, length: int) -> None:
    pieces = 2 * tensor * context if context > 1 or trainer == "torchtitan" else tensor
    objective = Objective.SFT if trainer == "ms-swift" else Objective.PRETRAIN
    hyper = Hyperparameters(global_batch=64, sequence=length - 1, max_steps=10, epochs=None)
    asked = {
        "model": "deepseek-v3", "layout": Layout(tensor=tensor, context=context, data=16, expert=16),
        "objective": objective, "datasets": (Dataset("/a", DataFormat.TEXT),),
    }  # fmt: skip
    fits = -(-(length - 1) // pieces) * pieces
    assert refused(trainer, **asked, hyper=hyper).instead == f"write sequenceLength: {fits}"
    command(trainer, **asked, hyper=replace(hyper, sequence=fits))


def test_ms_swift_does_not_recompute_v41_selectively_beside_lora() -> None:
    # ms_swift 4.6.0 swift/megatron/arguments/megatron_args.py
    wide = {"model": "deepseek-v4.1-flash", "layout": Layout(data=16, expert=16), "tuning": Tuning(Method.LORA)}
    assert "write recompute Full or None" in refused("ms-swift", **wide, recompute=Recompute.SELECTIVE).instead
    for level in (Recompute.NONE, Recompute.FULL):
        command("ms-swift", **wide, recompute=level)


def test_ms_swift_hands_its_degrees_to_megatron() -> None:
    built = command("ms-swift", model="deepseek-v3", layout=Layout(tensor=4, pipeline=4, data=2, expert=8),
                    tuning=Tuning(Method.LORA))  # fmt: skip
    wanted = {"--tensor_model_parallel_size": "4", "--pipeline_model_parallel_size": "4",
              "--expert_model_parallel_size": "8", "--tuner_type": "lora", "--train_iters": "1000"}  # fmt: skip
    assert {flag: option(built, flag) for flag in wanted} == wanted
    assert built.args[:4] == (
        "sh",
        "/etc/deepseek/resume-megatron.sh",
        "/tmp/deepseek-output",
        "--mcore_adapter",
    )
    assert (built.devices, built.nodes, built.devices_per_node) == (32, 4, 8)


def test_no_text_of_the_user_reaches_a_script() -> None:
    hostile = '$(reboot)"; touch /tmp/x; "'
    for trainer, values in (("ms-swift", {}), ("torchtitan", {"model": "deepseek-v3", **PRETRAIN})):
        built = command(trainer, path=hostile, datasets=(Dataset(hostile, DataFormat.TEXT),), **values)
        scripts = [text for path, text in built.files.items() if path.endswith((".sh", ".py"))]
        assert scripts
        assert not any("reboot" in text for text in scripts)


def test_deepspeed_needs_a_program_and_gets_a_whole_configuration() -> None:
    assert "trains nothing by itself" in refused("deepspeed").reason
    hyper = Hyperparameters(
        global_batch=64, micro_batch=4, max_steps=500, epochs=None, warmup_steps=20, schedule=Schedule.LINEAR
    )
    config = document(command("deepspeed", script=("/app/train.py",), hyper=hyper), "deepspeed.json")
    assert (
        config["train_batch_size"]
        == config["train_micro_batch_size_per_gpu"] * config["gradient_accumulation_steps"] * 8
    )
    assert config["zero_optimization"]["stage"] == 3
    assert config["scheduler"] == {"type": "WarmupDecayLR", "params": {
        "warmup_num_steps": 20, "warmup_min_lr": 0, "warmup_max_lr": 1e-5, "total_num_steps": 500}}  # fmt: skip


@pytest.mark.parametrize("sharding", [one for one in Sharding if one is not Sharding.NONE])
def test_one_bit_adam_is_refused_with_every_stage_of_zero(sharding: Sharding) -> None:
    asked = {"script": ("/app/train.py",), "hyper": Hyperparameters(precision="fp32", freeze_steps=5, schedule=Schedule.CONSTANT)}  # fmt: skip
    answer = refused("deepspeed", layout=Layout(data=8, sharding=sharding, shard=8), **asked)
    assert "without ZeRO" in answer.reason
    config = document(command("deepspeed", layout=Layout(data=8, sharding=Sharding.NONE), **asked), "deepspeed.json")
    assert config["optimizer"]["type"] == "OneBitAdam"
    assert config["optimizer"]["params"]["freeze_step"] == 5


def test_megatron_bridge_sets_the_recipes_layout() -> None:
    built = command("megatron-bridge", model="deepseek-v3", layout=V3_LAYOUT, **PRETRAIN)
    given = document(built, "megatron-bridge.json")
    assert given["assign"]["model.pipeline_model_parallel_size"] == 16
    assert given["assign"]["model.expert_model_parallel_size"] == 64
    assert given["layout"].endswith(":set_deepseek_v3_pipeline_model_parallel_layout")
    assert built.devices == 1024


def test_megatron_bridge_refuses_what_it_has_no_recipe_or_index_for() -> None:
    assert "ms-swift" in refused("megatron-bridge", model="deepseek-v3").instead
    raw = (Dataset("/data/corpus.jsonl", DataFormat.TEXT),)
    assert "preprocess_data" in refused("megatron-bridge", model="deepseek-v3", datasets=raw, **PRETRAIN).instead
    assert (
        "tensor: 1"
        in refused("megatron-bridge", model="deepseek-v4-flash", layout=Layout(tensor=2, data=4), **PRETRAIN).instead
    )


def test_megatron_bridge_cuts_v3_only_where_its_release_has_a_cut() -> None:
    answer = refused("megatron-bridge", model="deepseek-v3", layout=Layout(pipeline=2, data=32, expert=8), **PRETRAIN)
    assert "(1, 4, 8, 16)" in answer.reason


def test_torchtitan_pre_trains_and_nothing_else() -> None:
    assert "ms-swift" in refused("torchtitan", model="deepseek-v3").instead
    assert "no recipe" in refused("torchtitan", model="deepseek-v4-flash", **PRETRAIN).reason
    hyper = Hyperparameters(global_batch=64, epochs=1)
    assert "maxSteps" in refused("torchtitan", model="deepseek-v3", hyper=hyper, **PRETRAIN).instead


@pytest.mark.parametrize(
    ("trainer", "end"), [("torchtitan", "torchtitan_run.py"), ("megatron-bridge", "megatron_bridge_run.py")]
)
def test_the_programs_that_are_written_are_python(trainer: str, end: str) -> None:
    built = command(trainer, model="deepseek-v3", layout=Layout(data=64, expert=8), **PRETRAIN)
    ast.parse(next(text for path, text in built.files.items() if path.endswith(end)))


def test_a_plan_that_fits_by_recomputing_runs_that_way() -> None:
    for recompute, off in ((Recompute.NONE, True), (Recompute.SELECTIVE, False), (Recompute.FULL, False)):
        config = document(command("llama-factory", recompute=recompute), "llama-factory.yaml")
        assert config["disable_gradient_checkpointing"] is off
    bridge = command("megatron-bridge", model="deepseek-v3", layout=V3_LAYOUT, recompute=Recompute.FULL, **PRETRAIN)
    assert document(bridge, "megatron-bridge.json")["assign"]["model.recompute_granularity"] == "full"
    titan = command(
        "torchtitan", model="deepseek-v3", layout=Layout(data=64, expert=8), recompute=Recompute.SELECTIVE, **PRETRAIN
    )
    assert document(titan, "torchtitan.json")["recompute"] == "Selective"


def test_a_plan_that_fits_by_offloading_runs_that_way_or_not_at_all() -> None:
    zero = document(command("llama-factory", offload=Offload.ALL), "zero.json")["zero_optimization"]
    assert {"offload_optimizer", "offload_param"} <= zero.keys()
    assert "offload" in refused("builtin", offload=Offload.OPTIMIZER).instead
    assert "All or None" in refused("torchtitan", model="deepseek-v3", offload=Offload.OPTIMIZER, **PRETRAIN).instead


def test_small_adams_are_left_to_trainers_that_have_them() -> None:
    assert (
        document(command("llama-factory", optimizer=Optimizer.PAGED_ADAMW_8BIT), ".yaml")["optim"] == "paged_adamw_8bit"
    )
    assert "PagedAdamW8bit" in refused("builtin", optimizer=Optimizer.PAGED_ADAMW_8BIT).reason


def test_no_trainer_computes_in_a_precision_that_it_is_not_told() -> None:
    fp8 = Hyperparameters(global_batch=64, max_steps=10, epochs=None, precision="fp8")
    assert "does not compute in fp8" in refused("llama-factory", hyper=fp8).reason
    titan = command("torchtitan", model="deepseek-v3", layout=Layout(data=64, expert=8), hyper=fp8, **PRETRAIN)
    assert document(titan, "torchtitan.json")["recipe"] == "deepseek_v3_671b_float8"
    assert "no FP8" in refused("torchtitan", model="deepseek-v3", accelerator="a100-80", hyper=fp8, **PRETRAIN).reason


def test_a_batch_that_does_not_divide_is_refused_with_one_that_does() -> None:
    assert refused(hyper=Hyperparameters(global_batch=60)).instead == "write globalBatchSize: 64"


degrees = st.sampled_from([1, 2, 4, 8, 64])


@settings(max_examples=examples(150), deadline=None)
@given(
    trainer=st.sampled_from(sorted(TRAINERS)),
    model=st.sampled_from(["deepseek-v3", "deepseek-v2-lite", "deepseek-r1-distill-qwen-7b", "deepseek-v4-flash"]),
    accelerator=st.sampled_from(BUILT_IN.names()),
    layout=st.builds(
        Layout, tensor=degrees, pipeline=degrees, data=degrees, expert=degrees, sharding=st.sampled_from(Sharding)
    ),
    method=st.sampled_from(Method),
    objective=st.sampled_from(Objective),
)
def test_every_request_gets_a_whole_command_or_a_reason(
    trainer: str, model: str, accelerator: str, layout: Layout, method: Method, objective: Objective
) -> None:
    asked = training(
        model, accelerator, layout, trainer, tuning=Tuning(method), objective=objective, script=("train.py",)
    )
    match build(trainer, asked):
        case Refusal(reason=reason, instead=instead):
            assert reason
            assert instead
        case Command() as built:
            assert built.devices == layout.gpus == built.devices_per_node * built.nodes
            assert built.devices_per_node <= asked.profile.accelerator.per_node
            assert all(isinstance(word, str) and word for word in built.args)


@pytest.mark.parametrize("trainer", ["llama-factory", "ms-swift"])
def test_chats_are_mapped_to_a_trainers_own_words_or_refused(trainer: str) -> None:
    """What differs is said; a template of the user's, which it would pass over, is refused."""
    chats = (Dataset("/a.jsonl", DataFormat.MESSAGES), Dataset("/b.jsonl", DataFormat.ALPACA))
    built = command(trainer, datasets=chats)
    assert any("writes chats by" in words and "passes over" in words for words in built.warnings)
    assert not any("each prompt and completion" in words for words in built.warnings)
    answer = refused(trainer, datasets=chats, chat_template="DeepSeek")
    assert answer.instead == "leave chatTemplate out, or write trainer builtin"


def test_what_is_learnt_of_chats_is_said_in_each_trainers_flags() -> None:
    chats = (Dataset("/a.jsonl", DataFormat.MESSAGES), Dataset("/b.jsonl", DataFormat.ALPACA))
    flags = {LossOn.ASSISTANT_TURNS: None, LossOn.COMPLETION: "last_round", LossOn.ALL: "all"}
    for loss_on, flag in flags.items():
        args = command("ms-swift", datasets=chats, loss_on=loss_on).args
        assert (args[args.index("--loss_scale") + 1] if "--loss_scale" in args else None) == flag
    for loss_on, fields in (
        (LossOn.ASSISTANT_TURNS, {}),
        (LossOn.COMPLETION, {"mask_history": True}),
        (LossOn.ALL, {"train_on_prompt": True}),
    ):
        config = document(command("llama-factory", datasets=chats, loss_on=loss_on), "llama-factory.yaml")
        assert {key: config[key] for key in ("mask_history", "train_on_prompt") if key in config} == fields
    info = document(command("llama-factory", datasets=chats), "dataset_info.json")
    assert info["train-0"]["formatting"] == "sharegpt"
    assert info["train-0"]["columns"] == {"messages": "messages"}
    assert info["train-0"]["tags"]["assistant_tag"] == "assistant"
    assert info["train-1"]["columns"] == {"prompt": "instruction", "query": "input", "response": "output"}
