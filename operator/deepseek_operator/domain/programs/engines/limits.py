"""What no engine can do with a model on a device, whatever its flags: checked before any command is built."""

from deepseek_operator.domain.layout import why_not_tensor
from deepseek_operator.domain.programs.arguments import Flags, Given, given
from deepseek_operator.domain.programs.engines import options
from deepseek_operator.domain.programs.engines.request import AdapterKind, Dialect, EngineRequest
from deepseek_operator.domain.values.command import Refusal
from deepseek_operator.domain.values.version import Version

UNQUANTIZED = frozenset({"bf16", "fp16", "fp32"})
KV_FORMATS = ("auto", "fp8", "bf16")
"""Formats of the cache; each engine has its own words for them."""
WITHOUT_FOLDED = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj")
"""Latent attention's projections that every engine computes as such; q_proj stands for the first two in V2-Lite."""
# What to offer instead of a format, best first.
BETTER = ("fp8", "int8", "awq", "gptq")


def refusal(program: str, asked: EngineRequest, flags: Flags) -> Refusal | None:
    """Return why this engine can't serve the request for reasons of device, format or layout; None where it can."""
    checks = (
        _program(program, asked),
        _own_words(flags, asked),
        _format(asked),
        _kv_format(asked),
        _devices(asked),
        _layout(asked),
    )
    return next((found for found in checks if found is not None), None)


def prompt_adapter_refusal(engine: str, asked: EngineRequest) -> Refusal | None:
    """Refuse soft prompts, which no current engine takes; LoRA is the adapter that all of them serve."""
    if any(adapter.kind is AdapterKind.PROMPT for adapter in asked.adapters):
        return Refusal(
            f"{engine} serves no prompt adapters (vLLM removed them, SGLang and TensorRT-LLM's PyTorch backend have none)",
            "train with method LoRA, whose adapter is served or merged into the export",
        )
    return None


def expert_adapter_refusal(engine: str, asked: EngineRequest) -> Refusal | None:
    """Refuse adapters of fused experts, whose tensors go unread: the base would answer under their name."""
    if any(adapter.kind is AdapterKind.EXPERTS for adapter in asked.adapters):
        return Refusal(
            f"{engine} drops what an adapter in peft's form holds of fused experts (vllm-project/vllm#41384), and says nothing",
            "train with method.lora.export Merged, or without target Experts",
        )
    return None


def latent_adapter_refusal(engine: str, asked: EngineRequest) -> Refusal | None:
    """Refuse adapters of the projection that latent attention folds away: the rest of them alone would answer."""
    if any(adapter.kind is AdapterKind.LATENT for adapter in asked.adapters):
        return Refusal(
            f"{engine} passes over what an adapter holds of kv_b_proj (vllm-project/vllm#48974), and says nothing",
            f"train with method.lora.export Merged, or with targets {', '.join(WITHOUT_FOLDED)}",
        )
    return None


def option_refusal(engine: str, asked: EngineRequest, flags: Flags, known: options.Options) -> Refusal | None:
    """Refuse options that this model has nothing for, that say two things at once, or that a flag by hand says again."""
    tokens, told = asked.options.get(options.SPECULATIVE_TOKENS), asked.options
    if tokens is not None and asked.dialect in (Dialect.V4, Dialect.V41):
        return Refusal(f"how {engine} guesses tokens of {asked.model} depends on its release",
                       "leave options.speculativeTokens out, and write its flags as engine.args")  # fmt: skip
    if tokens is not None and not asked.architecture.prediction_layers:
        return Refusal(f"{asked.model} has no layers that predict further tokens",
                       "leave options.speculativeTokens out, or name a draft model by engine.args")  # fmt: skip
    if options.MAX_BATCHED_TOKENS in told and told.get(options.CHUNKED_PREFILL) is False:
        return Refusal("without chunks a step holds a whole prompt, however long",
                       "leave options.maxBatchedTokens out, or options.chunkedPrefill")  # fmt: skip
    by_hand = given(flags, asked.extra_args, {})
    if asked.max_concurrency is not None and isinstance(by_hand, Given) and by_hand.running is not None:
        return Refusal(
            "engine.args say how many requests are computed at once, which options.maxSequences says",
            "write one of both",
        )
    return options.repeated(known, told, asked.extra_args)


def too_wide(engine: str, asked: EngineRequest, most: int) -> Refusal | None:
    """Refuse an adapter whose rank the engine can't hold."""
    wide = [adapter for adapter in asked.adapters if adapter.rank > most]
    if not wide:
        return None
    return Refusal(
        f"{engine} serves adapters of rank {most} at most, and {wide[0].name} has {wide[0].rank}",
        f"write an adapter of rank {most} or less, or its training with method.lora.export Merged",
    )


def too_old(engine: str, asked: EngineRequest, version: Version, needed: Version) -> Refusal | None:
    """Refuse a model that came after this release."""
    if version >= needed:
        return None
    return Refusal(f"{engine} {version} can't serve {asked.model}", f"write engine.version {needed} or newer")


def no_compressed_attention(engine: str, asked: EngineRequest) -> Refusal | None:
    """Refuse V4 and later on MI300X, whose architecture no engine has kernels for."""
    if asked.dialect not in (Dialect.V4, Dialect.V41) or asked.profile.generation != "gfx942":
        return None
    return Refusal(
        f"{engine} has no {asked.dialect.value.upper()} kernels for {asked.profile.name}",
        "write an NVIDIA accelerator of Hopper or newer, or model deepseek-v3.2",
    )


def _program(program: str, asked: EngineRequest) -> Refusal | None:
    profile = asked.profile
    if profile.launcher(program) is not None:
        return None
    if profile.vendor == "custom":
        return Refusal(
            f"nothing is known of {profile.accelerator.resource}, so no command of {program} can be built for it",
            "write engine.type custom with image and command, or ask the administrator for a profile with launchers",
        )
    return Refusal(f"{program} is not known to run on {profile.name}", "write another accelerator.profile")


def _own_words(flags: Flags, asked: EngineRequest) -> Refusal | None:
    said = given(flags, asked.extra_args, dict(asked.extra_env))
    return said if isinstance(said, Refusal) else None


def _format(asked: EngineRequest) -> Refusal | None:
    known = asked.profile.accelerator.quantizations
    if asked.storage in UNQUANTIZED or asked.storage in known:
        return None
    offered = [name for name in BETTER if name in known] or ["bf16"]
    return Refusal(
        f"{asked.profile.name} ({asked.profile.generation}) can't run {asked.storage} weights",
        f"write quantization {' or '.join(offered)} with weights of that format, bf16 weights on more devices, "
        f"or an accelerator that has {asked.storage}",
    )


def _kv_format(asked: EngineRequest) -> Refusal | None:
    if asked.kv_dtype not in KV_FORMATS:
        return Refusal(f"no KV cache of {asked.kv_dtype} is known", f"write one of {', '.join(KV_FORMATS)}")
    if asked.kv_dtype == "fp8" and "fp8" not in asked.profile.accelerator.dtypes:
        return Refusal(f"{asked.profile.name} has no FP8 for the KV cache", "write kvCacheDtype auto")
    return None


def _devices(asked: EngineRequest) -> Refusal | None:
    gpus, profile = asked.layout.gpus, asked.profile
    if gpus % asked.nodes:
        return Refusal(f"{gpus} devices ({asked.layout}) do not divide over {asked.nodes} nodes",
                       f"write a number of nodes that divides {gpus}")  # fmt: skip
    most = profile.accelerator.per_node
    if asked.devices_per_node > most:
        least = -(-gpus // most)
        return Refusal(f"{asked.layout} needs {asked.devices_per_node} devices per node, {profile.name} has {most}",
                       f"write nodes: {least}")  # fmt: skip
    if gpus > 1 and not profile.peer_to_peer:
        return Refusal(
            f"{profile.name} is a slice: slices of one card can't form a group of {gpus}",
            "write a layout of one device, a larger slice, or the whole card",
        )
    return None


def _layout(asked: EngineRequest) -> Refusal | None:
    layout, experts = asked.layout, asked.architecture.experts
    if layout.context > 1:
        return Refusal("context parallelism is a layout of training", "write context: 1 and a larger tensor degree")
    if layout.expert > 1 and experts is None:
        return Refusal(f"{asked.model} has no experts to spread over {layout.expert} ranks", "write expert: 1")
    why = why_not_tensor(asked.architecture, asked.storage, layout.tensor, sliced_experts=layout.expert == 1)
    if why is not None:
        return Refusal(f"tensor {layout.tensor} can't cut {asked.model}: {why}",
                       "write a smaller tensor degree and more pipeline stages")  # fmt: skip
    if layout.pipeline > asked.architecture.layers:
        return Refusal(f"{asked.model} has {asked.architecture.layers} layers, not {layout.pipeline} stages",
                       f"write pipeline: {asked.architecture.layers} at most")  # fmt: skip
    return None
