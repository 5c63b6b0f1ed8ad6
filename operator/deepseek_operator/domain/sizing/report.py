"""An answer of sizing as plain text: what ``size MODEL`` prints and what a plan shows."""

from collections.abc import Iterable, Iterator
from typing import assert_never

from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.sizing.fit import (
    UNMEASURED,
    Alternative,
    Memory,
    Refused,
    ServingFigures,
    Shape,
    Sized,
    TrainingFigures,
)

_GB = 10**9


def render(result: Sized | Refused) -> str:
    """Return the answer as lines of text, ending with a newline: facts first, then memory, reasons and advice."""
    match result:
        case Sized():
            lines = _sized(result)
        case Refused():
            lines = _refused(result)
        case unknown:
            assert_never(unknown)
    return "\n".join(lines) + "\n"


def _sized(result: Sized) -> Iterator[str]:
    yield from _pairs([("fits on", _devices(result.shape)), ("layout", str(result.layout)), *_figures(result)])
    yield from _memory(result.memory)
    yield from _section("because", result.explanation)
    yield from _section("warnings", (f"{notice.reason}: {notice.message}" for notice in result.warnings))
    yield from _section("or", _alternatives(result.alternatives))


def _refused(result: Refused) -> Iterator[str]:
    yield f"does not fit: {result.reason}"
    yield result.message
    if result.memory is not None:
        yield from _memory(result.memory)
    yield from _section("would fit", _alternatives(result.alternatives))


def _figures(result: Sized) -> Iterator[tuple[str, str]]:
    yield ("weights" if result.serving else "precision"), result.storage
    if result.serving is not None:
        estimate = " (an estimate)" if UNMEASURED in {notice.reason for notice in result.warnings} else ""
        yield from _serving(result.serving, estimate)
    if result.training is not None:
        yield from _training(result.training)


def _serving(figures: ServingFigures, estimate: str) -> Iterator[tuple[str, str]]:
    yield "holds at once", f"{figures.sequences} sequences of {figures.context:,} tokens{estimate}"
    yield "longest sequence", f"{figures.longest_sequence:,} tokens{estimate}"
    if figures.speed is not None:
        speed = figures.speed
        yield "prompts", f"about {speed.prefill_tokens_per_second:,.0f} tokens/s (MFU {speed.mfu:.0%} assumed)"
        limit = f"{speed.decode_limit_tokens_per_second:,.0f} tokens/s"
        yield "one sequence", f"at most {limit} ({speed.bandwidth_use:.0%} of memory bandwidth)"


def _training(figures: TrainingFigures) -> Iterator[tuple[str, str]]:
    yield "trains", f"{figures.trained_parameters:,} parameters"
    yield "micro-batch", f"{figures.micro_batch}, accumulated {figures.accumulation} times"
    yield "recomputation", figures.recompute
    yield "checkpoint", f"{_size(figures.checkpoint_bytes)}, saved in {figures.save_seconds:,.0f} s"
    yield "volume", _size(figures.volume_bytes)
    if figures.host_bytes_per_node:
        yield "host memory", f"{figures.host_bytes_per_node / GIB:,.1f} GiB per node"
    if figures.speed is not None:
        speed = figures.speed
        yield "speed", f"about {speed.tokens_per_second:,.0f} tokens/s (MFU {speed.mfu:.0%} assumed)"
        if speed.days is not None:
            yield "duration", f"about {speed.days:,.1f} days"


def _memory(memory: Memory) -> Iterator[str]:
    yield ""
    yield "memory of the fullest device, GiB"
    rows = [(line.name, line.bytes) for line in sorted(memory.lines, key=lambda line: -line.bytes)]
    rows += [("sum", memory.need_bytes), ("may be used", memory.budget_bytes)]
    rows += [("missing", memory.missing_bytes)] if not memory.fits else [("to spare", -memory.missing_bytes)]
    width = max(len(name) for name, _ in rows)
    yield from (f"  {name:<{width}}  {amount / GIB:>8.2f}" for name, amount in rows)


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    rows = list(pairs)
    width = max(len(name) for name, _ in rows)
    yield from (f"{name:<{width}}  {value}" for name, value in rows)


def _section(title: str, sentences: Iterable[str]) -> Iterator[str]:
    said = list(sentences)
    if said:
        yield ""
        yield title
        yield from (f"  {sentence}" for sentence in said)


def _alternatives(alternatives: Iterable[Alternative]) -> Iterator[str]:
    return (str(alternative) for alternative in alternatives)


def _devices(shape: Shape) -> str:
    devices = f"{shape.gpus} device{'s' if shape.gpus > 1 else ''}"
    return devices if shape.nodes == 1 else f"{devices}: {shape.nodes} nodes of {shape.per_node}"


def _size(amount: int) -> str:
    return f"{amount / _GB:,.1f} GB" if amount >= _GB else f"{amount / 10**6:,.1f} MB"
