"""Which parameters learn."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Decimal, Says, rule, rules
from deepseek_operator.api.v1alpha1.common.programs import is_one, joined
from deepseek_operator.api.v1alpha1.training.trainers import WITH_QLORA

FULL, LORA, QLORA, PROMPT_TUNING, P_TUNING = "Full", "LoRA", "QLoRA", "PromptTuning", "PTuning"
MATRICES = (LORA, QLORA)
"""The methods whose adapter stands beside layers."""
PROMPTS = (PROMPT_TUNING, P_TUNING)
"""The methods whose adapter is read before every sequence."""

MethodType = Annotated[
    str,
    StringConstraints(pattern=rf"^({FULL}|{LORA}|{QLORA}|{PROMPT_TUNING}|{P_TUNING})$", max_length=32),
    Says(
        f"write {FULL}, {LORA}, {QLORA}, {PROMPT_TUNING} or {P_TUNING}; P-tuning v2 and prefix tuning learn keys and values "
        "of every layer, of which multi-head latent attention keeps none"
    ),
]

Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=128)]
"""Attention, Linear, Experts, or a layer's name: in a list, so that its sentence would be too dear (see `Weight`)."""


def is_of_experts(target: str) -> bool:
    """Whether a target means tensors that hold all experts of a layer."""
    *way, name = target.split(".")
    return target == "Experts" or "experts" in way or name == "gate_up_proj"


def is_of_latents(target: str) -> bool:
    """Whether a target means the projection that multi-head latent attention, where a model has it, unfolds its cache by."""
    return target in ("Attention", "Linear") or target.rpartition(".")[2] == "kv_b_proj"


class Lora(ApiModel):
    """The two narrow matrices beside each target, W + alpha / rank · B·A; the base's own weights stay as they are."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "double(self.dropout) == 0.0 || !self.targets.exists(t, t == 'Experts')",
                "method.lora.dropout is not known to adapters of Experts: leave it out, or Experts out of method.lora.targets",
                fieldPath=".dropout",
            )
        )
    )

    rank: Annotated[int, Field(ge=1, le=512)] = Field(
        default=16,
        description="Width of both matrices. Engines that serve adapters take up to 512. Default 16.",
    )
    alpha: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="What is learnt counts alpha / rank times. Example: 32. Absent: twice the rank.",
    )
    dropout: Decimal = Field(
        default="0",
        description='Share of what the adapter sees that is left out in training, a decimal from 0 to below 1, in quotes where it has a fraction; not with target Experts. Example: "0.05". Default "0".',
        json_schema_extra=rules(
            rule(
                "double(self) < 1.0", 'method.lora.dropout must be below 1, for example "0.05": 1 leaves out everything'
            )
        ),
    )
    targets: list[Target] = Field(
        default=["Attention"],
        min_length=1,
        max_length=32,
        description="What is adapted. Attention: the projections of attention, multi-head latent attention's too. Linear: those and the feed-forward layers, shared experts' too. Experts: all routed experts, each with matrices of its own. Others are names of layers, such as q_proj or shared_experts.down_proj; one that the model has not ends the training at its start, with the nearest that it has. Default [Attention].",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    export: Literal["Merged", "Adapter"] = Field(
        default="Merged",
        description="Merged: the base's weights with the adapter added, which every engine serves and other trainings start from. Adapter: adapter_model.safetensors and adapter_config.json in peft's form, with the sha256 of the base; a DeepSeekServing names it under adapters, beside that base. Default Merged.",
    )

    @property
    def scale(self) -> int:
        """alpha, as it is when it is absent too."""
        return self.alpha if self.alpha is not None else 2 * self.rank


class Prompt(ApiModel):
    """The virtual tokens that are read before every sequence; the base's own weights stay as they are."""

    virtual_tokens: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=20,
        description="How many are read before every sequence, in training and in serving; the model's context holds so many tokens fewer. Default 20.",
    )
    encoder_hidden_size: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="Width of the network that makes the virtual tokens of PTuning while it learns. Absent: 128.",
    )


USUAL_ENCODER = 128


class TrainingMethod(ApiModel):
    """Which parameters are trained."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!has(self.lora) || {is_one('self.type', MATRICES)}",
                f"method.lora is of methods {LORA} and {QLORA}: write one of them as method.type, or leave it out",
                fieldPath=".lora",
            ),
            rule(
                f"!has(self.prompt) || {is_one('self.type', PROMPTS)}",
                f"method.prompt is of methods {PROMPT_TUNING} and {P_TUNING}: write one of them as method.type, or leave it out",
                fieldPath=".prompt",
            ),
            rule(
                f"!has(self.prompt) || !has(self.prompt.encoderHiddenSize) || self.type == '{P_TUNING}'",
                f"method.prompt.encoderHiddenSize is of method {P_TUNING}, which alone has an encoder: leave it out, or write it as method.type",
                fieldPath=".prompt.encoderHiddenSize",
            ),
        )
    )

    type: MethodType = Field(
        default=FULL,
        description=f"Full: every parameter. LoRA: a small adapter beside the weights of model.source or model.fromTraining, with a fraction of the memory and of the checkpoints; it wants about ten times the learning rate. QLoRA: the same beside weights that are held in 4 bits (NF4, by bitsandbytes), a quarter of their memory; of trainer.type {joined(WITH_QLORA, 'and')}, whose image must hold bitsandbytes. PromptTuning: vectors that are read before every sequence, some kilobytes in all, and a learning rate of a hundred times; PTuning (v1): a small network makes them while they learn. The small engine of the runtime image serves these, and others none. Default Full.",
    )
    lora: Lora | None = Field(
        default=None, description="Settings of methods LoRA and QLoRA. Absent: all at their defaults."
    )
    prompt: Prompt | None = Field(
        default=None, description="Settings of methods PromptTuning and PTuning. Absent: all at their defaults."
    )

    @property
    def adapter(self) -> Lora | None:
        """The settings of LoRA and QLoRA, their defaults too; None for other methods."""
        return (self.lora or Lora()) if self.type in MATRICES else None

    @property
    def virtual(self) -> Prompt | None:
        """The settings of PromptTuning and PTuning, their defaults too; None for other methods."""
        if self.type not in PROMPTS:
            return None
        given = self.prompt or Prompt()
        width = given.encoder_hidden_size or USUAL_ENCODER
        return given.model_copy(update={"encoder_hidden_size": width if self.type == P_TUNING else None})
