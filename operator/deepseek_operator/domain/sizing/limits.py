"""What can't be asked at all: numbers out of bounds, formats that a device does not run."""

from deepseek_operator.domain.sizing.fit import Refused
from deepseek_operator.domain.sizing.kv_cache import KV_BYTES
from deepseek_operator.domain.sizing.request import (
    MOST_NODES,
    MOST_PER_NODE,
    MOST_SEQUENCES,
    MOST_TOKENS,
    MOST_TRAINED_TOKENS,
    ServingRequest,
    TrainingRequest,
)
from deepseek_operator.domain.sizing.serving_memory import context_of, kv_dtype_of, storage_of
from deepseek_operator.domain.sizing.training_state import Method, Precision, base_format
from deepseek_operator.domain.sizing.weights import FORMATS


def unsupported_serving(request: ServingRequest) -> Refused | None:
    """Why the device can't serve the model so; None if it can."""
    storage, accelerator = storage_of(request), request.accelerator
    if storage == "nf4":
        return Refused("UnsupportedFormat", "nf4 is the frozen base of a QLoRA training, no engine serves it")
    if not accelerator.runs(storage):
        runs = ", ".join(sorted(accelerator.dtypes | accelerator.quantizations))
        return Refused("UnsupportedFormat", f"{accelerator.name} does not run {storage} weights; it runs {runs}")
    if context_of(request) > request.architecture.context:
        limit = request.architecture.context
        return Refused("ContextTooLong", f"a context of {context_of(request):,} exceeds the model's {limit:,} tokens")
    if kv_dtype_of(request) == "fp8" and not accelerator.runs("fp8"):
        return Refused("UnsupportedFormat", f"{accelerator.name} can't keep an fp8 KV cache")
    return None


def unsupported_training(request: TrainingRequest) -> Refused | None:
    """Why the device can't train the model so; None if it can."""
    accelerator = request.accelerator
    compute = {Precision.FP32: "fp32", Precision.FP8: "fp8"}.get(request.precision, "bf16")
    # Every device computes in fp32; profiles list it only where it is worth using.
    if compute != "fp32" and compute not in accelerator.dtypes:
        return Refused("UnsupportedFormat", f"{accelerator.name} does not compute in {compute}")
    if request.method is not Method.FULL:
        storage = base_format(request.method, request.precision, request.base_storage).name
        if request.method is Method.QLORA and storage != "nf4":
            return Refused("UnsupportedFormat", f"the base of QLoRA is nf4; over a {storage} base it is method LoRA")
        if storage != "fp32" and not accelerator.runs(storage):
            return Refused("UnsupportedFormat", f"{accelerator.name} does not run a {storage} base")
    return None


def check_serving(request: ServingRequest) -> None:
    """Raise ValueError for a number that no request may hold."""
    _check_devices(request)
    _within("context", request.context, None)
    _within("concurrency", request.concurrency, MOST_SEQUENCES)
    _within("step_tokens", request.step_tokens, None)
    _within("adapter_rank", request.adapter_rank, None)
    if storage_of(request) not in FORMATS or kv_dtype_of(request) not in KV_BYTES:
        raise ValueError(f"unknown weights {request.storage} or cache {request.kv_dtype}")
    if request.memory_fraction is not None and not 0 < request.memory_fraction <= 1:
        raise ValueError(f"memory fraction {request.memory_fraction} is not in (0, 1]")


def check_training(request: TrainingRequest) -> None:
    """Raise ValueError for a number that no request may hold."""
    _check_devices(request)
    _within("sequence", request.sequence, MOST_TOKENS)
    _within("global_batch", request.global_batch, MOST_SEQUENCES)
    _within("micro_batch", request.micro_batch, MOST_SEQUENCES)
    _within("total_tokens", request.total_tokens, MOST_TRAINED_TOKENS)
    _within("keep", request.keep, None)
    _within("adapter.rank", request.adapter.rank, None)
    _within("adapter.virtual_tokens", request.adapter.virtual_tokens, None)
    if request.base_storage is not None and request.base_storage not in FORMATS:
        raise ValueError(f"unknown format {request.base_storage} of the base")
    if request.volume_gb_s <= 0 or (request.network_gb_s is not None and request.network_gb_s <= 0):
        raise ValueError("bandwidths must be positive")


def _check_devices(request: ServingRequest | TrainingRequest) -> None:
    _within("nodes", request.nodes, MOST_NODES)
    _within("max_nodes", request.max_nodes, MOST_NODES)
    _within("per_node", request.per_node, MOST_PER_NODE)


def _within(name: str, number: int | None, most: int | None) -> None:
    if number is None or (number >= 1 and (most is None or number <= most)):
        return
    limit = f"from 1 to {most:,}" if most is not None else "at least 1"
    raise ValueError(f"{name} must be {limit}, not {number}")
