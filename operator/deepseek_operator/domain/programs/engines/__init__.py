"""Serving engines: from typed values to the exact command of one replica, or the reason why there is none."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from deepseek_operator.domain.programs.engines import builtin, sglang, tensorrt_llm, triton, vllm
from deepseek_operator.domain.programs.engines.request import Adapter, AdapterKind, Dialect, ServingRequest, dialect
from deepseek_operator.domain.values.command import Command, Refusal

BUILDERS: Mapping[str, Callable[[ServingRequest], Command | Refusal]] = MappingProxyType(
    {
        builtin.PROGRAM: builtin.build,
        vllm.PROGRAM: vllm.build,
        sglang.PROGRAM: sglang.build,
        tensorrt_llm.PROGRAM: tensorrt_llm.build,
        triton.VLLM: triton.build_vllm,
        triton.TENSORRT_LLM: triton.build_tensorrt_llm,
    }
)
"""Every engine by the name under which profiles list its image and launcher."""
DEFAULT_VERSIONS: Mapping[str, str] = MappingProxyType(
    {
        builtin.PROGRAM: "0.1.0",
        vllm.PROGRAM: "0.33.0",
        sglang.PROGRAM: "0.5.23",
        tensorrt_llm.PROGRAM: "1.2.1",
        triton.VLLM: "25.10",
        triton.TENSORRT_LLM: "25.10",
    }
)
"""The release that is used where the user names none: the newest whose names were recorded, Triton's by its manual."""


def build(engine: str, asked: ServingRequest) -> Command | Refusal:
    """Return what this engine runs for the request. Raises ValueError where ``asked.version`` is no release."""
    builder = BUILDERS.get(engine)
    if builder is None:
        return Refusal(
            f"no engine {engine!r} is known", f"write one of {', '.join(BUILDERS)}, or custom with a command"
        )
    return builder(asked)


__all__ = [
    "BUILDERS",
    "DEFAULT_VERSIONS",
    "Adapter",
    "AdapterKind",
    "Dialect",
    "ServingRequest",
    "build",
    "dialect",
]
