"""What people set of an engine beside its model, by one word for every engine that has it."""

from typing import Annotated

from pydantic import Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Says
from deepseek_operator.domain.programs.engines.options import AUTO

Parser = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=63),
    Says("write the name by which the engine's release knows the parser, for example deepseek_v31"),
]
Share = Annotated[
    str,
    StringConstraints(pattern=r"^0\.[0-9]{1,4}$", max_length=6),
    Says('write a part of the device in quotes, for example "0.85"'),
]


class EngineOptions(ApiModel):
    """Batching, caches, parsers and memory of an engine whose command the operator makes; what is absent is its own choice."""

    max_sequences: Annotated[int, Field(ge=1, le=65536)] | None = Field(
        default=None, description="Requests that a replica computes at once. Example: 256."
    )
    max_batched_tokens: Annotated[int, Field(ge=128, le=1048576)] | None = Field(
        default=None,
        description="Tokens of one step at most, or of a chunk of prompts where the engine bounds that. Sizing counts with it. Example: 8192.",
    )
    chunked_prefill: bool | None = Field(
        default=None,
        description="False: prompts are read whole, and no answer goes on meanwhile. Absent: the engine's choice, true.",
    )
    prefix_caching: bool | None = Field(
        default=None,
        description="False: what prompts begin with alike is computed anew each time. Absent: the engine's choice, true.",
    )
    speculative_tokens: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="Tokens that the model's own prediction layers (MTP) guess in each step, for V3, R1, V3.1 and V3.2. Sizing counts those layers. Absent: none. Example: 1.",
    )
    tool_parser: Parser | None = Field(
        default=None,
        description=f"How tool calls are read out of answers: {AUTO} for the model's own form, or a parser by the engine's name. Absent: calls come back as text. Example: {AUTO}.",
    )
    reasoning_parser: Parser | None = Field(
        default=None,
        description="How thoughts are told apart from answers, by the engine's name of a parser. Absent: by the model's own form, where it has one. Example: deepseek_r1.",
    )
    cpu_offload_gib: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None,
        alias="cpuOffloadGiB",
        description="GiB of each device's weights that lie in the node's memory, and are read from there in every step. Sizing counts with it. Absent: none. Example: 16.",
    )
    memory_share: Share | None = Field(
        default=None,
        description='Part of a device that the engine takes, or its weights and cache where it counts these, as text. Sizing counts with it. Absent: the engine\'s default. Example: "0.85".',
    )
