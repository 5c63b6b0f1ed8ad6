"""Whether a folder is an adapter in peft's form that can be served beside its base, and which base that is.

An adapter is worth nothing beside other weights, and beside nearly the same ones it is wrong in silence: what was trained
here names its base by content. What peft would change in the base itself is refused, since the base serves as well.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.files import read_json
from deepseek_runtime.model_folder.header import read_header
from deepseek_runtime.model_folder.parts import AGAIN, CONFIG
from deepseek_runtime.model_folder.weights import weight_files

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
PROMPT_TENSOR = "prompt_embeddings"
"""The one tensor of an adapter that is read before every sequence: its vectors, one for each virtual token."""
PROMPTS = ("PROMPT_TUNING", "P_TUNING")
"""peft's names for adapters that are such vectors."""
BASE_FIELD = "base_model_sha256"
"""Field of adapter_config.json, beside peft's own: the digest of the base (see `digest_of`)."""

# A layer's experts in one tensor have no numbers; adapters of several of their tensors lie in one another.
_OF_EXPERTS = re.compile(r"\.experts\.(base_layer\.)*lora_")
# Beginnings of peft's `init_lora_weights` that subtract from the base what the adapter begins with.
_TAKEN_FROM_THE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def base_files(path: Path) -> list[Path]:
    """The files of a model's folder that say what it computes: config.json and the weights."""
    return [path / CONFIG, *weight_files(path)]


def digest_of(files: Iterable[tuple[str, str]]) -> str:
    """sha256, in hex, over the names and sha256 of the `base_files`, in their order."""
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in files).encode()).hexdigest()


def check_adapter(path: Path) -> Mapping[str, object]:
    """Its adapter_config.json. Raises Invalid for a folder that is no whole adapter to serve, saying what to do."""
    if not path.is_dir():
        raise Invalid(f"adapter folder {path} does not exist; name the folder that holds {ADAPTER_CONFIG}")
    if not (path / ADAPTER_CONFIG).exists():
        what = (
            f"a whole model: serve it as model.source, without an adapter ({CONFIG})"
            if (path / CONFIG).exists()
            else ""
        )
        raise Invalid(f"adapter folder {path} holds no {ADAPTER_CONFIG}, but is {what or 'something else'}")
    config = read_json(path / ADAPTER_CONFIG)
    if told := _refusal(config):
        raise Invalid(f"{path / ADAPTER_CONFIG}: {told}")
    if not (path / ADAPTER_WEIGHTS).exists():
        raise Invalid(f"adapter folder {path} holds no {ADAPTER_WEIGHTS}, the only form that is read; {AGAIN}")
    read_header(path / ADAPTER_WEIGHTS)
    return config


def refuse_experts(name: str, path: Path) -> None:
    """Raises Invalid for an adapter of fused experts, of which engines that know another form of these read nothing."""
    if any(_OF_EXPERTS.search(tensor) for tensor in read_header(path / ADAPTER_WEIGHTS).kinds):
        raise Invalid(
            f"adapter {name} stands beside fused experts, and this engine would answer without: merge it into its base"
            " (method.lora.export Merged), or write engine.type builtin"
        )


def refuse_unread(name: str, path: Path, layers: Collection[str]) -> None:
    """Raises Invalid for an adapter beside a layer of which the engine would read none, and answer with the rest alone."""
    beside = {part for tensor in read_header(path / ADAPTER_WEIGHTS).kinds for part in tensor.split(".")}
    for layer in layers:
        if layer in beside:
            raise Invalid(
                f"adapter {name} stands beside {layer}, and this engine would answer without that: merge it into its base"
                f" (method.lora.export Merged), train with targets other than {layer}, or write engine.type builtin"
            )


def refuse_other_base(name: str, config: Mapping[str, object], base: str) -> None:
    """Raises Invalid where an adapter says that it was trained beside another base than the one with this digest."""
    wanted = config.get(BASE_FIELD)
    if wanted is not None and wanted != base:
        raise Invalid(
            f"adapter {name} was trained beside other weights (sha256 {str(wanted)[:12]}) than those that are served"
            f" (sha256 {base[:12]}): serve the base of its training as model, or train an adapter beside this one"
        )


def _refusal(config: Mapping[str, object]) -> str | None:
    kind, bias, begun = config.get("peft_type"), config.get("bias") or "none", config.get("init_lora_weights")
    if kind in PROMPTS:
        return None
    if kind != "LORA":
        return (
            f"peft_type is {kind!r}, and adapters of methods LoRA, PromptTuning and PTuning are served here: merge it into"
            " its base, or train one"
        )
    if bias != "none":
        return f"bias is {bias!r}, which changes the base that others are served: merge it into its base"
    if isinstance(begun, str) and begun.lower().startswith(_TAKEN_FROM_THE_BASE):
        return (
            f"init_lora_weights is {begun!r}, which changes the base that others are served: convert it to a plain LoRA"
            " (peft's path_initial_model_for_weight_conversion), or merge it into its base"
        )
    return None
