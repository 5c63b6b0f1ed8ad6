"""DeepSpeed's configuration for a sharding: ZeRO stages as DeepSpeed itself and the trainers on top of it read them."""

from deepseek_operator.domain.layout import Sharding
from deepseek_operator.domain.programs.trainers.request import Hyperparameters, Schedule, TrainerRequest
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer
from deepseek_operator.domain.values.command import Refusal

STAGES = {Sharding.NONE: 0, Sharding.ZERO1: 1, Sharding.ZERO2: 2, Sharding.ZERO3: 3, Sharding.FSDP: 3, Sharding.HSDP: 3}
SCHEDULERS = {
    Schedule.CONSTANT: "WarmupLR",
    Schedule.LINEAR: "WarmupDecayLR",
    Schedule.COSINE: "WarmupCosineLR",
}


def refusal(asked: TrainerRequest) -> Refusal | None:
    """Return why ZeRO can't hold this training; None where it can."""
    if asked.hyper.freeze_steps is not None and STAGES[asked.layout.sharding] != 0:
        return Refusal(
            f"1-bit Adam works without ZeRO alone, not with stage {STAGES[asked.layout.sharding]}",
            "write sharding None",
        )
    if asked.hyper.freeze_steps is not None and asked.hyper.precision != "fp32":
        return Refusal(
            f"1-bit Adam is not known to work in {asked.hyper.precision}: DeepSpeed sums those gradients up itself",
            "write hyperparameters.precision fp32",
        )
    if asked.tuning.method is Method.QLORA and STAGES[asked.layout.sharding] == 3:
        return Refusal("ZeRO-3 can't shard a base that is quantized to 4 bits", "write sharding ZeRO2 or method LoRA")
    if asked.offload is Offload.ALL and STAGES[asked.layout.sharding] != 3:
        return Refusal("only ZeRO-3 keeps parameters on the host", "write sharding ZeRO3 or offload Optimizer")
    if asked.offload is not Offload.NONE and asked.optimizer is not Optimizer.ADAMW:
        return Refusal(
            f"DeepSpeed's optimizer on the host is AdamW, not {asked.optimizer.value}",
            "write hyperparameters.optimizer AdamW",
        )
    return None


def section(asked: TrainerRequest) -> dict[str, object]:
    """Return the ``zero_optimization`` section."""
    stage = STAGES[asked.layout.sharding]
    zero: dict[str, object] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    if asked.layout.sharding is Sharding.HSDP:
        zero["zero_hpz_partition_size"] = asked.layout.shard
    if asked.offload is not Offload.NONE:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if asked.offload is Offload.ALL:
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return zero


def for_trainer(asked: TrainerRequest) -> dict[str, object]:
    """Return a configuration whose batch, clipping and optimizer the trainer above fills in."""
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": section(asked),
    }


def complete(asked: TrainerRequest, steps: int) -> dict[str, object]:
    """Return a configuration that leaves nothing open; ``steps`` is the length of the schedule."""
    hyper, peak = asked.hyper, float(asked.hyper.learning_rate)
    warmup: dict[str, object] = {"warmup_num_steps": hyper.warmup_steps}
    if hyper.schedule is not Schedule.COSINE:
        warmup |= {"warmup_min_lr": 0, "warmup_max_lr": peak}
    if hyper.schedule is not Schedule.CONSTANT:
        warmup["total_num_steps"] = steps
    return {
        "train_batch_size": hyper.global_batch,
        "train_micro_batch_size_per_gpu": hyper.micro_batch,
        "gradient_accumulation_steps": asked.accumulation,
        "gradient_clipping": float(hyper.clip_norm),
        "bf16": {"enabled": hyper.precision == "bf16"},
        "optimizer": _optimizer(hyper),
        "scheduler": {"type": SCHEDULERS[hyper.schedule], "params": warmup},
        "zero_optimization": section(asked),
    }


def _optimizer(hyper: Hyperparameters) -> dict[str, object]:
    """AdamW, or DeepSpeed's 1-bit Adam (arXiv 2102.02888) over NCCL, as its tutorial writes it."""
    params: dict[str, object] = {"lr": float(hyper.learning_rate), "weight_decay": float(hyper.weight_decay)}
    if hyper.freeze_steps is None:
        return {"type": "AdamW", "params": params}
    compressed = {"freeze_step": hyper.freeze_steps, "cuda_aware": False, "comm_backend_name": "nccl"}
    return {"type": "OneBitAdam", "params": {**params, **compressed}}
