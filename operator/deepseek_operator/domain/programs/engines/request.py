"""What an engine is asked to serve, in typed values: the input of every command builder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from deepseek_operator.domain.devices.profiles.profile import Profile
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.model import (
    Architecture,
    CompressedAttention,
    LatentAttention,
    SharedCompressedAttention,
)
from deepseek_operator.domain.programs.engines.options import Value

PORT = 8000
"""Every engine listens here, whatever its own default is: Services and probes then need not know the engine."""
FILES = "/etc/engine"
"""Below it an engine finds the files of its command, which come with the pod."""
LEADER = "$(LWS_LEADER_ADDRESS)"
RANK = "$(LWS_WORKER_INDEX)"
"""Where a replica spans nodes, LeaderWorkerSet puts the leader's address and the pod's index into these variables."""


class Dialect(Enum):
    """How a model writes tool calls and thoughts; engines name a parser for each."""

    PLAIN = "plain"
    R1_DISTILL = "r1-distill"
    R1 = "r1"
    V3 = "v3"
    V31 = "v3.1"
    V32 = "v3.2"
    V4 = "v4"
    V41 = "v4.1"


class AdapterKind(Enum):
    """What a served adapter is."""

    LORA = "LoRA"
    EXPERTS = "Experts"
    """LoRA that also stands beside fused experts, in peft's form of these (target_parameters)."""
    LATENT = "Latent"
    """LoRA that also stands beside kv_b_proj of multi-head latent attention, which engines fold into other matrices."""
    PROMPT = "Prompt"


@dataclass(frozen=True)
class Adapter:
    """An adapter beside the model; ``rank`` is a LoRA's."""

    name: str
    path: str
    kind: AdapterKind = AdapterKind.LORA
    rank: int = 16


@dataclass(frozen=True)
class EngineRequest:
    """One replica of one revision.

    ``model`` is the catalogue's id or a private model's name, ``family`` the catalogue's family (empty for a private
    one), ``path`` what the engine loads: a mounted folder or a hub id. ``storage`` is the weights' storage format
    (``domain.weights``), ``weights_bytes`` their size on disk. ``layout`` and ``nodes`` say how the replica lies on
    devices, ``profile`` on which. ``max_model_length`` in tokens, ``max_concurrency`` and ``queue_limit`` in requests;
    None leaves the engine's own choice. ``memory_fraction`` is the engine's, None its default. ``api_key_variable``
    names the environment variable that the pod gets from a Secret; no key ever enters this value.
    ``served_name`` is the name that the engine shows, ``aliases`` are those to which it answers as well.
    ``load_bytes_per_second`` is at which rate weights are read, for the start-up budget. ``extra_args`` and
    ``extra_env`` are the user's own words (None: a value from elsewhere), which may not decide what the fields above do.
    ``options`` are those of ``programs.engines.options`` that are asked for, by name.
    """

    model: str
    family: str
    path: str
    architecture: Architecture
    storage: str
    weights_bytes: int
    layout: Layout
    nodes: int
    profile: Profile
    version: str
    served_name: str
    max_model_length: int | None = None
    max_concurrency: int | None = None
    queue_limit: int | None = None
    memory_fraction: float | None = None
    kv_dtype: str = "auto"
    tool_calls: bool = False
    trust_remote_code: bool = False
    api_key_variable: str | None = None
    adapters: tuple[Adapter, ...] = ()
    aliases: tuple[str, ...] = ()
    drain_seconds: int = 60
    load_bytes_per_second: int = 1_000_000_000
    options: Mapping[str, Value] = field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    extra_env: tuple[tuple[str, str | None], ...] = ()

    @property
    def devices_per_node(self) -> int:
        """Accelerators of one pod of the replica."""
        return self.layout.gpus // self.nodes

    @property
    def dialect(self) -> Dialect:
        """How this model speaks, from its attention first: a private V4 is spoken to like V4."""
        return dialect(self.model, self.family, self.architecture)

    @property
    def is_moe(self) -> bool:
        """Whether tokens are routed to experts."""
        return self.architecture.experts is not None


def dialect(model: str, family: str, architecture: Architecture) -> Dialect:
    """Return how a model writes tool calls and thoughts."""
    match architecture.attention:
        case SharedCompressedAttention():
            return Dialect.V41
        case CompressedAttention():
            return Dialect.V4
        case LatentAttention(indexer=indexer) if indexer is not None:
            return Dialect.V32
        case _:
            return _older_dialect(model.casefold(), family)


def _older_dialect(model: str, family: str) -> Dialect:
    if family == "r1-distill" or "r1-distill" in model:
        return Dialect.R1_DISTILL
    if family == "r1":
        return Dialect.R1
    if family == "v3":
        return Dialect.V31 if "v3.1" in model else Dialect.V3
    return Dialect.PLAIN
