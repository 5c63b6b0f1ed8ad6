"""What a trainer is asked to do, in typed values: the input of every trainer's command builder.

The pod gets the rendezvous and its checkpoint folder as environment variables; builders refer to them by name, so that
one command serves every node and every attempt.
"""

from dataclasses import dataclass, field
from enum import Enum

from deepseek_operator.domain.devices.profiles.profile import Profile
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.models.model import Architecture, GroupedQueryAttention, LatentAttention
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.training_state import Method, Offload, Optimizer
from deepseek_operator.domain.values.command import Refusal, Variables

NODES = "$(DEEPSEEK_NODES)"
NODE_RANK = "$(DEEPSEEK_NODE_RANK)"
PROCESSES = "$(DEEPSEEK_PROCESSES_PER_NODE)"
MASTER = "$(MASTER_ADDR)"
MASTER_PORT = "$(MASTER_PORT)"
OUTPUT = "/tmp/deepseek-output"
"""Where every trainer writes: the launcher makes it a link to a folder of this attempt, with what is to be gone on from."""
FILES = "/etc/deepseek"
"""Where files of a command are mounted."""
SAVE_MARGIN_SECONDS = 10
"""What stays of the grace period after the workers' own shutdown, to write the termination message."""


class Objective(Enum):
    """What the model learns from."""

    SFT = "SFT"
    PRETRAIN = "Pretrain"
    DPO = "DPO"
    GRPO = "GRPO"
    DISTILL = "Distill"

    @property
    def answers(self) -> bool:
        """Whether the model writes answers while it learns, from which it then learns."""
        return self in (Objective.GRPO, Objective.DISTILL)


class Schedule(Enum):
    """Learning rate after the warm-up; all but the constant one end at zero."""

    CONSTANT = "Constant"
    LINEAR = "Linear"
    COSINE = "Cosine"


class DataFormat(Enum):
    """Form of a dataset's lines."""

    PROMPT_COMPLETION = "PromptCompletion"
    TEXT = "Text"
    MESSAGES = "Messages"
    ALPACA = "Alpaca"
    PREFERENCE = "Preference"


class LossOn(Enum):
    """What is learnt of chats and pairs: the last answer, every answer, or every token."""

    COMPLETION = "Completion"
    ASSISTANT_TURNS = "AssistantTurns"
    ALL = "All"


@dataclass(frozen=True)
class Tuning:
    """What is trained. ``virtual_tokens`` and ``every_layer`` (P-tuning v2, a prefix in each layer) are of soft prompts."""

    method: Method = Method.FULL
    rank: int = 16
    alpha: int = 32
    all_linear: bool = False
    virtual_tokens: int = 20
    every_layer: bool = False
    dropout: str = "0"


@dataclass(frozen=True)
class Dataset:
    """A file or folder in the pod; ``weight`` is how often it is drawn relative to the others."""

    path: str
    format: DataFormat = DataFormat.PROMPT_COMPLETION
    weight: float = 1.0
    held_out: bool = False


@dataclass(frozen=True)
class Hyperparameters:
    """How it learns. Decimals stay the strings that the user wrote; exactly one of ``max_steps`` and ``epochs`` is set.

    ``freeze_steps`` of plain Adam come before 1-bit Adam compresses; None where nothing is compressed.
    """

    global_batch: int = 32
    micro_batch: int = 1
    sequence: int = 2048
    learning_rate: str = "1e-5"
    schedule: Schedule = Schedule.COSINE
    warmup_steps: int = 0
    max_steps: int | None = None
    epochs: int | None = 1
    precision: str = "bf16"
    weight_decay: str = "0"
    clip_norm: str = "1"
    seed: int = 0
    freeze_steps: int | None = None
    eval_every_steps: int | None = None


@dataclass(frozen=True)
class TrainerRequest:
    """One training.

    ``layout`` spans all nodes; its data degree is the number of sequences groups. ``path`` is where base weights and
    tokenizer lie. ``every_steps`` and ``every_seconds`` exclude each other. ``chat_template`` is what chats are written by in place of the model's own template. ``recompute``, ``offload`` and ``optimizer`` are the plan's
    choices that make it fit. ``script`` is the user's program, for trainers that are libraries.
    """

    model: str
    family: str
    path: str
    architecture: Architecture
    layout: Layout
    nodes: int
    profile: Profile
    version: str
    objective: Objective = Objective.SFT
    tuning: Tuning = field(default_factory=Tuning)
    datasets: tuple[Dataset, ...] = ()
    loss_on: LossOn = LossOn.ASSISTANT_TURNS
    chat_template: str | None = None
    hyper: Hyperparameters = field(default_factory=Hyperparameters)
    every_steps: int | None = 500
    every_seconds: int | None = None
    keep_last: int = 2
    recompute: Recompute = Recompute.FULL
    offload: Offload = Offload.NONE
    optimizer: Optimizer = Optimizer.ADAMW
    grace_seconds: int = 300
    script: tuple[str, ...] = ()
    extra_args: tuple[str, ...] = ()

    @property
    def devices_per_node(self) -> int:
        """Accelerators of one pod."""
        return self.layout.gpus // self.nodes

    @property
    def is_latent(self) -> bool:
        """Whether attention is MLA or a form that came after it."""
        return not isinstance(self.architecture.attention, GroupedQueryAttention)

    @property
    def is_sparse_attention(self) -> bool:
        """Whether attention chooses its keys (V3.2 and later), which few trainers know."""
        attention = self.architecture.attention
        return self.is_latent and not (isinstance(attention, LatentAttention) and attention.indexer is None)

    @property
    def balances_by_bias(self) -> bool:
        """Whether experts are balanced by a bias that training must move (V3 and later), not by an auxiliary loss."""
        return self.architecture.experts is not None and self.family not in ("moe-v1", "v2")

    @property
    def accumulation(self) -> int:
        """Passes per optimizer step."""
        return self.hyper.global_batch // (self.hyper.micro_batch * self.layout.data)

    @property
    def training_sets(self) -> tuple[Dataset, ...]:
        """Datasets that are learnt from."""
        return tuple(dataset for dataset in self.datasets if not dataset.held_out)

    @property
    def held_out_sets(self) -> tuple[Dataset, ...]:
        """Datasets that are only evaluated."""
        return tuple(dataset for dataset in self.datasets if dataset.held_out)

    @property
    def is_shared_out(self) -> bool:
        """Whether ranks hold parts of the state, or the host does: DeepSpeed's work where a trainer leaves it to that."""
        return self.layout.sharding is not Sharding.NONE or self.offload is not Offload.NONE

    @property
    def is_gang(self) -> bool:
        """Whether torchrun starts it: for several ranks, and for DeepSpeed."""
        return self.layout.gpus > 1 or self.is_shared_out


def mixture(datasets: tuple[Dataset, ...]) -> tuple[str, ...]:
    """Return how often each dataset is drawn, as decimals; empty where all are drawn alike.

    They add up to exactly one, as the drawing library demands: what rounding leaves over goes to the largest.
    """
    weights = [dataset.weight for dataset in datasets]
    if len(set(weights)) < 2:
        return ()
    millionths = [int(weight / sum(weights) * 1_000_000) for weight in weights]
    millionths[weights.index(max(weights))] += 1_000_000 - sum(millionths)
    return tuple(f"{part / 1_000_000:.6f}" for part in millionths)


def torchrun(launcher: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words that start one worker per device on each node, meeting at rank 0's pod."""
    return (
        *launcher, "--nnodes", NODES, "--node-rank", NODE_RANK, "--nproc-per-node", PROCESSES,
        "--master-addr", MASTER, "--master-port", MASTER_PORT,
    )  # fmt: skip


def rendezvous_variables() -> Variables:
    """Return the same rendezvous for launchers that read it from the environment (LLaMA-Factory, ms-swift)."""
    return (
        ("NNODES", NODES),
        ("NODE_RANK", NODE_RANK),
        ("NPROC_PER_NODE", PROCESSES),
    )


def environment(asked: TrainerRequest, program: str) -> Variables:
    """Return the device's variables and the time that workers have to save when the pod is asked to end."""
    patience = max(asked.grace_seconds - SAVE_MARGIN_SECONDS, 1)
    return (
        *asked.profile.variables(program, asked.nodes),
        ("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(patience)),
    )


def chat_rendering(trainer: str, template: str, asked: TrainerRequest) -> tuple[str, ...]:
    """What a person must know before the same examples go to a trainer that renders them in its own way."""
    if asked.objective is Objective.PRETRAIN:
        return ()
    formats = {dataset.format for dataset in asked.datasets}
    said = []
    if asked.objective is not Objective.SFT:
        return (f"{trainer} puts each prompt and its answers into {template}",)
    if DataFormat.PROMPT_COMPLETION in formats:
        said.append(
            f"{trainer} puts each prompt and completion into {template}; the built-in trainer trains them as they are "
            "written, so the two models answer in different forms"
        )
    if formats & CHATS:
        said.append(
            f"{trainer} writes chats by {template}, and passes over those that it can't write (roles out of turn, calls of tools) "
            "or leaves aside (weights of messages, an Alpaca history); the built-in trainer writes them as the served chat endpoint does, and "
            "refuses what its template would change"
        )
    return tuple(said)


CHATS = frozenset({DataFormat.MESSAGES, DataFormat.ALPACA})
"""Formats that are chats, written by a template."""


def template_refusal(trainer: str, asked: TrainerRequest) -> Refusal | None:
    """Refuse a template of the user's for trainers that know chat templates by names of their own."""
    if asked.chat_template is None:
        return None
    return Refusal(f"{trainer} writes chats by a template of its own, not by chatTemplate",
                   "leave chatTemplate out, or write trainer builtin")  # fmt: skip
