"""Adapters beside the served model: each a model of its own that shares the base's tensors.

peft can hold several adapters in one network and switch between them. A network for each, of modules without tensors of
their own, keeps requests of different adapters apart by construction, and lets adapters stand beside different matrices.
"""

import copy
from dataclasses import replace
from itertools import chain

from peft import PeftConfig, PeftModelForCausalLM
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.model import Model, verify
from deepseek_runtime.engine.settings import Adapter
from deepseek_runtime.model_folder.adapter import (
    ADAPTER_WEIGHTS,
    BASE_FIELD,
    PROMPT_TENSOR,
    PROMPTS,
    check_adapter,
    refuse_other_base,
)
from deepseek_runtime.model_folder.parts import AGAIN, names
from deepseek_runtime.reading import reading
from deepseek_runtime.soft_prompt import attach

_TEMPLATE = "chat_template.jinja"


def beside(base: Model, digest: str, adapter: Adapter) -> Model:
    """The model that answers with this adapter. Raises Invalid, and Damaged for an export that is not as it was written."""
    with reading(f"adapter {adapter.name} in {adapter.path}", "serve a whole adapter in peft's form"):
        verify(adapter.path)
        config = check_adapter(adapter.path)
        refuse_other_base(adapter.name, config, digest)
        is_prompt = config.get("peft_type") in PROMPTS
        network, virtual = _prompted(base, adapter) if is_prompt else (_adapted(base, adapter), 0)
        tokenizer = base.tokenizer
        if (adapter.path / _TEMPLATE).exists():
            # It was trained by another one than its base's.
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.chat_template = (adapter.path / _TEMPLATE).read_text(encoding="utf-8")
        known, room = digest if BASE_FIELD in config else "", base.max_length - virtual
        return replace(base, network=network, tokenizer=tokenizer, base=known, max_length=room)


def _copied(base: Model) -> PreTrainedModel:
    """Modules of its own, and the base's tensors in them."""
    shared = {id(tensor): tensor for tensor in chain(base.network.parameters(), base.network.buffers())}
    network: PreTrainedModel = copy.deepcopy(base.network, shared)
    return network


def _prompted(base: Model, adapter: Adapter) -> tuple[PreTrainedModel, int]:
    """The network that reads the adapter's vectors first, and how many there are."""
    network = _copied(base)
    tensors = load_file(adapter.path / ADAPTER_WEIGHTS)
    width = int(network.get_input_embeddings().weight.shape[1])
    vectors = tensors.get(PROMPT_TENSOR)
    if len(tensors) != 1 or vectors is None or vectors.ndim != 2 or vectors.shape[1] != width:
        raise Invalid(
            f"adapter {adapter.name} in {adapter.path} holds {names(set(tensors))}, and {PROMPT_TENSOR} of width {width} would fit the"
            f" model; {AGAIN}"
        )
    attach(network, nn.Embedding.from_pretrained(vectors).to(base.network.device), len(vectors))
    return network.eval(), len(vectors)


def _adapted(base: Model, adapter: Adapter) -> PreTrainedModel:
    network = _copied(base)
    config = PeftConfig.from_pretrained(str(adapter.path))
    config.inference_mode, config.init_lora_weights = True, False
    wrapped = PeftModelForCausalLM(network, config)
    found = wrapped.load_adapter(str(adapter.path), "default", torch_device=str(base.network.device))
    told = [f"missing tensors: {names(found.missing_keys)}"] if found.missing_keys else []
    told += [f"tensors that belong nowhere: {names(found.unexpected_keys)}"] if found.unexpected_keys else []
    if told:
        raise Invalid(f"adapter {adapter.name} in {adapter.path} fits neither its configuration nor its base; "
                      f"{'; '.join(told)}; {AGAIN}")  # fmt: skip
    return network.to(base.network.device).eval()
