"""The one list of engines. What there is to say of each stands in its own file."""

from collections.abc import Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.engines import builtin, custom, sglang, tensorrt_llm, triton, vllm
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.request import EngineRequest
from deepseek_operator.domain.sizing.overheads import EngineMemory
from deepseek_operator.domain.values.command import Command, Refusal

_ENTRIES = (
    builtin.ENTRY,
    vllm.ENTRY,
    sglang.ENTRY,
    tensorrt_llm.ENTRY,
    triton.ENTRY,
    custom.ENTRY,
)
ENGINES: Mapping[str, EngineEntry] = MappingProxyType({entry.type: entry for entry in _ENTRIES})
"""Every engine by its type, in the order in which they are listed to a user."""
USUAL = builtin.ENTRY
"""The engine of a resource that names none."""

RECOMMENDED = vllm.ENTRY
"""The engine that is meant where accelerators are asked for and no engine is named."""


def offered() -> tuple[EngineEntry, ...]:
    """The engines that a resource may name."""
    return tuple(entry for entry in ENGINES.values() if entry.is_offered)


def memory_lines() -> Mapping[str, EngineMemory]:
    """How engines divide a device, by the names under which `size` can be asked; what users bring has none."""
    return {entry.memory.name: entry.memory for entry in ENGINES.values() if entry.build is not None}


def build(engine: str, asked: EngineRequest) -> Command | Refusal:
    """Return what this engine runs for the request. Raises ValueError where ``asked.version`` is no release."""
    entry = ENGINES.get(engine)
    if entry is None or entry.build is None:
        known = ", ".join(name for name, entry in ENGINES.items() if entry.build is not None)
        return Refusal(f"no engine {engine!r} is known", f"write one of {known}, or custom with a command")
    return _elsewhere(engine, asked) or entry.build(asked)


def _elsewhere(engine: str, asked: EngineRequest) -> Refusal | None:
    """Refuse a device that starts other engines, with those; of a device that nobody knows each engine says more."""
    profile = asked.profile
    if profile.launcher(engine) is not None or profile.vendor == "custom":
        return None
    others = [entry.type for entry in offered() if entry.is_built and profile.launcher(entry.type) is not None]
    return Refusal(f"{engine} is not known to run on {profile.name}",
                   f"write engine.type {' or '.join([*others, 'custom'])}, or another accelerator.profile")  # fmt: skip
