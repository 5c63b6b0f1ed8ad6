"""The program that serves it."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Image, Says, rules
from deepseek_operator.api.v1alpha1.common.accelerator import Release
from deepseek_operator.api.v1alpha1.common.env import EnvVar, words_rule
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources

HttpPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=256),
    Says("write an absolute path without query, for example /health"),
]


class Engine(ApiModel):
    """The server."""

    model_config = ConfigDict(json_schema_extra=rules(words_rule("engine")))

    type: Literal["builtin", "vllm", "sglang", "custom"] = Field(
        default="builtin",
        description="builtin: the small engine of the runtime image. vllm, sglang: that engine, its command made from the model, the layout and accelerator.profile. custom: your image. Default builtin.",
    )
    version: Release | None = Field(
        default=None,
        description='Release of vllm or sglang, by which flags, image and metric names are chosen. Absent: a recent one that the operator knows, kept by the revision. Example: "0.33.0".',
    )
    image: Image | None = Field(
        default=None,
        description="Container image. Required for custom. Default: the operator's runtime image; for vllm and sglang that of the profile.",
    )
    command: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Entrypoint of a custom engine, exec form. Absent: the image's own.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=list,
        max_length=256,
        description="Arguments of a custom engine; further flags of vllm and sglang. The model lies at /model.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    env: list[EnvVar] = Field(
        default_factory=list,
        max_length=128,
        description="Environment: a list of name and value, or name and secret. Example: [{name: LOG_LEVEL, value: INFO}].",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        default=8000, description="Port that the engine listens on. Default 8000."
    )
    health_path: HttpPath = Field(
        default="/health",
        description="Path that answers 200 once the model is loaded and while it is served. Default /health.",
    )
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=4, description="Requests that the builtin engine computes at once. Default 4."
    )
    queue_limit: Annotated[int, Field(ge=0, le=65536)] = Field(
        default=64, description="Requests that wait in the builtin engine before it answers 429. Default 64."
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description="Seconds that loading may take before a replica is restarted; vllm and sglang get more where the weights take longer to read. Default 1800.",
    )
    max_model_length: Annotated[int, Field(ge=128, le=16777216)] | None = Field(
        default=None,
        description="Longest request of vllm or sglang, prompt and answer together, in tokens. Absent: the model's context. Example: 32768.",
    )
    kv_cache_dtype: Literal["auto", "bf16", "fp8"] | None = Field(
        default=None, description="Format of the KV cache of vllm or sglang. Absent: the engine's choice. Example: fp8."
    )
    resources: ComputeResources = Field(default_factory=ComputeResources, description="CPU and memory of each replica.")
