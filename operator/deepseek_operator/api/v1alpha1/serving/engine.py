"""The program that serves it."""

from functools import cache
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from deepseek_operator.api.base import ApiModel, Image, OneOf, Says, rule, rules
from deepseek_operator.api.v1alpha1.common.accelerator import Release
from deepseek_operator.api.v1alpha1.common.env import Arguments, Command, Environment, SecretKey, words_rule
from deepseek_operator.api.v1alpha1.common.programs import is_none, joined
from deepseek_operator.api.v1alpha1.common.resources import ComputeResources
from deepseek_operator.api.v1alpha1.serving.engines import (
    BUILT,
    BUILT_AND,
    BUILT_OR,
    OURS,
    OURS_OR,
    TYPES,
    UNKEYED,
    UNWATCHED,
    WRITTEN,
    WRITTEN_OR,
)
from deepseek_operator.api.v1alpha1.serving.options import EngineOptions
from deepseek_operator.domain.programs.engines import contract
from deepseek_operator.domain.programs.engines.request import PORT
from deepseek_operator.domain.programs.engines.table import RECOMMENDED, USUAL
from deepseek_operator.domain.programs.engines.watchdog import USUAL_STALL_SECONDS

CREDENTIAL = "credential"
"""Entry of the Secret in which Envoy Gateway (1.9, `InjectedCredentialKey`) looks for the whole value of the header."""

HttpPath = Annotated[
    str,
    StringConstraints(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=256),
    Says("write an absolute path without query, for example /health"),
]


class Watchdog(ApiModel):
    """Restarts a replica that has work and makes no tokens."""

    stall_seconds: Annotated[int, Field(ge=30, le=86400)] = Field(
        default=USUAL_STALL_SECONDS,
        description=f"Seconds without a token, while requests run or wait, or without any answer, after which a replica's stacks go to its log and its container starts again. Default {USUAL_STALL_SECONDS}.",
    )


def unwatched() -> tuple[dict[str, str], ...]:
    """The rule of those engines that don't tell what a watchdog needs; none where there is no such engine."""
    if not UNWATCHED:
        return ()
    told = (
        f"engine.watchdog needs an engine that counts tokens as they are made, unlike {joined(UNWATCHED, 'and')}: leave it out, or "
        "write another engine.type"
    )
    return (rule(f"{is_none('self.type', UNWATCHED)} || !has(self.watchdog)", told),)


def unkeyed() -> tuple[dict[str, str], ...]:
    """The rule of those engines that take no key from a Secret; none where there is no such engine."""
    if not UNKEYED:
        return ()
    told = (
        f"engine.apiKey needs an engine that reads a key and repeats it nowhere, unlike {joined(UNKEYED, 'and')}: leave it out and "
        "let the gateway check keys by gateway.auth, or write another engine.type"
    )
    return (rule(f"{is_none('self.type', UNKEYED)} || !has(self.apiKey)", told),)


class Engine(ApiModel):
    """The program that serves, and its container."""

    model_config = ConfigDict(json_schema_extra=rules(words_rule("engine")))

    type: Annotated[str, OneOf(TYPES)] = Field(
        default=USUAL.type,
        description=f"{', '.join(OURS)}: the small engine of the runtime image. {', '.join(BUILT)}: that engine, its command made from the model, the layout and accelerator.profile. {', '.join(WRITTEN)}: your image. Default {USUAL.type}.",
    )
    version: Release | None = Field(
        default=None,
        description=f'Release of {BUILT_OR}, by which flags, image and metric names are chosen. Absent: a recent one that the operator knows, kept by the revision. Example: "{RECOMMENDED.version}".',
    )
    image: Image | None = Field(
        default=None,
        description=f"Container image. Required for {WRITTEN_OR}. Default: the operator's runtime image; for {BUILT_AND} that of the profile.",
    )
    command: Command = Field(
        default=None,
        description=f"Entrypoint of a {WRITTEN_OR} engine, exec form. Absent: the image's own.",
    )
    args: Arguments = Field(
        default_factory=list,
        description=f"Arguments of a {WRITTEN_OR} engine; further flags of {BUILT_AND}. The model lies at /model.",
    )
    env: Environment = Field(default_factory=list)
    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        default=PORT, description=f"Port that the engine listens on. Default {PORT}."
    )
    health_path: HttpPath = Field(
        default="/health",
        description="Path that answers 200 once the model is loaded and while it is served. Default /health.",
    )
    max_concurrency: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=contract.CONCURRENCY,
        description=f"Requests that the {OURS_OR} engine computes at once. Default {contract.CONCURRENCY}.",
    )
    queue_limit: Annotated[int, Field(ge=0, le=65536)] = Field(
        default=contract.QUEUE_LIMIT,
        description=f"Requests that wait in the {OURS_OR} engine before it answers 429. Default {contract.QUEUE_LIMIT}.",
    )
    start_timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = Field(
        default=1800,
        description=f"Seconds that loading may take before a replica is restarted; {BUILT_AND}, and a model that was fetched, get more where the weights take longer to read, at the rate that was measured of a fetched one's claim. Default 1800.",
    )
    max_model_length: Annotated[int, Field(ge=128, le=16777216)] | None = Field(
        default=None,
        description=f"Longest request of {BUILT_OR}, prompt and answer together, in tokens. Absent: the model's context. Example: 32768.",
    )
    kv_cache_dtype: Literal["auto", "bf16", "fp8"] | None = Field(
        default=None, description=f"Format of the KV cache of {BUILT_OR}. Absent: the engine's choice. Example: fp8."
    )
    options: EngineOptions | None = Field(
        default=None,
        description=f"Batching, caches, parsers and memory of {BUILT_OR}. Absent: the engine's own choice.",
    )
    api_key: SecretKey | None = Field(
        default=None,
        description=f"Entry of a Secret of this namespace that has the key without which the engine answers nobody but probes and Prometheus; a {WRITTEN_OR} one reads it from {contract.KEY_VARIABLE}. The gateway shows it in place of clients' own keys: for that the Secret has the entry {CREDENTIAL} too, of Bearer and the key. Read at a replica's start. Absent: none. Example: {{name: chat-key, key: key}}.",
    )
    watchdog: Watchdog | None = Field(
        default=None,
        description="Restarts a replica that has work and makes no tokens, with a record of why. A saturated one is left alone. Write {} for the default. Absent: none.",
    )
    resources: ComputeResources = Field(
        default_factory=cache(ComputeResources), description="CPU and memory of each replica."
    )
