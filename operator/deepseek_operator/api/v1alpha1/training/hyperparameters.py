"""How it is learnt."""

from typing import Annotated, Literal

from pydantic import Field

from deepseek_operator.api.base import ApiModel, Decimal, rule, rules
from deepseek_operator.api.v1alpha1.training.compression import GradientCompression


class Hyperparameters(ApiModel):
    """How the training runs. Decimals with a fraction are quoted: YAML and JSON read 1e-5 differently."""

    global_batch_size: Annotated[int, Field(ge=1, le=1048576)] = Field(
        default=32,
        description="Sequences per optimizer step over all processes; divisible by their number. Default 32.",
    )
    micro_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None,
        description="Sequences per process and pass, a memory knob: gradients are accumulated to the global batch. Absent: one pass; where the model was sized under accelerator.profile, the size that was counted.",
    )
    sequence_length: Annotated[int, Field(ge=8, le=1048576)] = Field(
        default=2048,
        description="Tokens per sequence. Longer completions are cut, before their end token; an example whose prompt leaves no room for an answer is left out. status.data counts both, and a dataset of which most would be left out is refused. Default 2048.",
    )
    learning_rate: Decimal = Field(
        default="1e-5",
        description='Peak learning rate, a decimal above 0 and at most 10, in quotes where it has a fraction or an exponent. Default "1e-5".',
        json_schema_extra=rules(
            rule(
                "double(self) > 0.0 && double(self) <= 10.0",
                'hyperparameters.learningRate must be above 0 and at most 10, for example "3e-5"',
            )
        ),
    )
    schedule: Literal["Constant", "Linear", "Cosine"] = Field(
        default="Cosine", description="Learning rate after the warm-up, down to zero at the last step. Default Cosine."
    )
    warmup_steps: Annotated[int, Field(ge=0, le=10000000)] = Field(
        default=0, description="Steps of linear warm-up. Default 0."
    )
    max_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None,
        description="Optimizer steps in all, those before a checkpoint of checkpoints.resume.from included. Exactly one of maxSteps, moreSteps and epochs.",
    )
    more_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None,
        description="Optimizer steps beyond the checkpoint that checkpoints.resume.from names. Example: 200. Exactly one of maxSteps, moreSteps and epochs.",
    )
    epochs: Annotated[int, Field(ge=1, le=100000)] | None = Field(
        default=None,
        description="Passes over the training data. Exactly one of maxSteps, moreSteps and epochs.",
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="bf16", description="Compute precision; weights and optimizer are kept in fp32. Default bf16."
    )
    cross_entropy: Literal["Whole", "Chunked"] | None = Field(
        default=None,
        description="How the built-in trainer computes the loss, a memory knob: Whole makes the logits of all tokens of a pass at once, Chunked of some hundred at a time and once more backward, which is slower by the head's matrix product; the losses are the same but for rounding. Sizing counts with it. Meant for accelerators: on the CPU the allocator may keep more than is saved. Absent: Whole.",
    )
    activation_recomputation: Literal["None", "Selective", "Full"] | None = Field(
        default=None,
        description="What the backward pass computes again instead of reading it, a memory knob that changes no loss and no gradient. None keeps all of a pass. Selective keeps, of each decoder layer, its input, what the attention kernel returns and every second product of its weights. Full keeps a layer's input alone, and costs another forward pass, about a third more time. Beside parallelism.expert the built-in trainer knows None and Full. Sizing counts with it. Absent: None; of trainers whose command the operator writes, the least under which the plan fits.",
    )
    optimizer: Literal["AdamW", "AdamW8bit", "Muon"] | None = Field(
        default=None,
        description="What moves the parameters; learningRate and weightDecay mean the same to each. AdamW: two fp32 moments a parameter, 8 bytes. AdamW8bit: the same in 8 bits each, 2 bytes, with checkpoints as much smaller. Muon: one fp32 momentum, 4 bytes, made orthogonal for every matrix of a layer and for each expert's; embeddings, head, router, norms and biases are left to AdamW. Which ones a trainer has docs/trainers.md tells. Sizing counts with it. Absent: AdamW.",
    )
    gradient_compression: GradientCompression | None = Field(
        default=None, description="What travels between processes in place of whole gradients. Absent: nothing else."
    )
    weight_decay: Decimal = Field(
        default="0",
        description='Weight decay of the matrices, a decimal from 0 to 1, in quotes where it has a fraction. Default "0".',
        json_schema_extra=rules(
            rule("double(self) <= 1.0", 'hyperparameters.weightDecay must be at most 1, for example "0.01"')
        ),
    )
    gradient_clip_norm: Decimal = Field(
        default="1",
        description='Global gradient norm is clipped to this, a decimal, in quotes where it has a fraction; 0 switches clipping off. Default "1".',
    )
    seed: Annotated[int, Field(ge=0, le=4294967295)] = Field(
        default=0, description="Seed of weights, data order and dropout. Default 0."
    )
    eval_every_steps: Annotated[int, Field(ge=1, le=100000000)] | None = Field(
        default=None, description="Steps between evaluations on the Heldout datasets. Absent: only at the end."
    )
    eval_samples: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="Prompts of the Heldout datasets, the first ones, to which each evaluation writes an answer, the likeliest token each time; the log and the curve hold them, as lines of event sample. Absent: none.",
    )
    eval_sample_tokens: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="Tokens of such an answer at most; the end token ends it sooner. Absent: 64.",
    )
