"""The built-in engine: transformers behind OpenAI's protocol, for small models on one device or on CPU.

It publishes vLLM's metric names. Nothing of it is a claim about throughput.
"""

from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.arguments import NO_FLAGS
from deepseek_operator.domain.programs.engines import contract, limits, vllm
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.replica import replica
from deepseek_operator.domain.programs.engines.request import PORT, AdapterKind, Dialect, EngineRequest
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.overheads import EngineMemory, Scope
from deepseek_operator.domain.values.command import Command, Metrics, Refusal, literal

PROGRAM = "builtin"
LARGEST_PARAMETERS = 17_000_000_000
"""Up to the 16B MoE models; beyond, a real engine's kernels and batching are what makes serving bearable."""
MEMORY = EngineMemory("builtin", 0.9, Scope.DEVICE, 2048, 1.0, parallel=False)
"""One process on one device: a tenth stays free."""


def build(asked: EngineRequest) -> Command | Refusal:
    """Return the command of one replica, or why there is none."""
    return _refusal(asked) or _command(asked)


def _command(asked: EngineRequest) -> Command:
    own = contract.variables(
        literal(asked.path),
        literal(asked.served_name),
        PORT,
        asked.max_concurrency or contract.CONCURRENCY,
        contract.QUEUE_LIMIT if asked.queue_limit is None else asked.queue_limit,
        asked.drain_seconds,
        asked.adapters,
        asked.aliases,
    )
    env = (*asked.profile.variables(PROGRAM, asked.nodes), *own)
    return replica(asked, (*contract.COMMAND, *asked.extra_args), env, Metrics("/metrics", PORT, vllm.NAMES))


def _refusal(asked: EngineRequest) -> Refusal | None:
    instead = "write engine.type vllm or sglang"
    if asked.nodes > 1 or asked.layout.gpus > 1:
        return Refusal(f"the built-in engine runs on one device, not on {asked.layout.gpus}", instead)
    parameters = total(asked.architecture)
    if parameters > LARGEST_PARAMETERS:
        return Refusal(
            f"{asked.model} has {parameters / 1e9:.1f}e9 parameters, the built-in engine serves up to 17e9", instead
        )
    if asked.dialect in (Dialect.V32, Dialect.V4, Dialect.V41):
        return Refusal(f"the built-in engine has no sparse attention, which {asked.model} needs", instead)
    if asked.storage not in limits.UNQUANTIZED:
        return Refusal(f"the built-in engine reads 16- and 32-bit weights, not {asked.storage}", instead)
    return _unanswered(asked) or limits.refusal(PROGRAM, asked, NO_FLAGS)


def _unanswered(asked: EngineRequest) -> Refusal | None:
    """Fields that this engine has no setting for."""
    if asked.kv_dtype != "auto" or asked.memory_fraction is not None:
        return Refusal("the built-in engine sizes its own cache", "leave kvCacheDtype and memoryFraction out")
    return None


ENTRY = EngineEntry(
    type=PROGRAM,
    title="built-in",
    version="0.1.0",
    start=Start.OURS,
    memory=MEMORY,
    metrics=lambda version: vllm.NAMES,
    build=build,
    adapters=frozenset(AdapterKind),
    takes_key=True,
    is_offered=True,
)
