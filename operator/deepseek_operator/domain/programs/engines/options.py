"""What people set of an engine beside its model: one word for each, whichever flags an engine takes it by.

An engine's entry maps the names below to its flags; what it does not map, it lacks. Sizing and scaling read the flags that
come out, as they read those that a person writes by hand.
"""

from collections.abc import Callable, Mapping, Sequence

from deepseek_operator.domain.values.command import Refusal, literal

MAX_BATCHED_TOKENS, MAX_SEQUENCES = "maxBatchedTokens", "maxSequences"
PREFIX_CACHING, CHUNKED_PREFILL = "prefixCaching", "chunkedPrefill"
SPECULATIVE_TOKENS, CPU_OFFLOAD, MEMORY_SHARE = "speculativeTokens", "cpuOffloadGiB", "memoryShare"
TOOL_PARSER, REASONING_PARSER = "toolParser", "reasoningParser"
SWITCHES = frozenset({PREFIX_CACHING, CHUNKED_PREFILL})
"""Those that are true or false."""
AUTO = "auto"
"""As `toolParser`: the one by which the model writes its calls."""

Value = int | bool | str
Words = tuple[str, ...]
Options = Mapping[str, Callable[[Value], Words]]
"""By name, the words that tell an engine of a value."""


def taking(flag: str) -> Callable[[Value], Words]:
    """A flag that takes the value."""
    return lambda value: (flag, literal(str(value)))


def elsewhere(value: Value) -> Words:
    """No words: the request has a place of its own for it, by which the builder divides it over ranks."""
    return ()


def switching(on: Words, off: Words) -> Callable[[Value], Words]:
    """Words for true and for false."""
    return lambda value: on if value else off


def words(options: Options, asked: Mapping[str, Value]) -> Words:
    """The words of everything that is asked for, in the order of the engine's table; what it does not map has none."""
    return tuple(word for name, told in options.items() if name in asked for word in told(asked[name]))


def lacking(
    options: Options, asked: Mapping[str, Value], engines: Mapping[str, Options], engine: str
) -> Refusal | None:
    """Refuse what this engine has no words for, naming those that have."""
    missing = [name for name in asked if name not in options]
    if not missing:
        return None
    able = [other for other, theirs in engines.items() if all(name in theirs for name in missing)]
    instead = f"write engine.type {' or '.join(able)}, or leave it out" if able else "leave it out"
    return Refusal(f"{engine} has no {' and no '.join(f'options.{name}' for name in missing)}", instead)


def repeated(options: Options, asked: Mapping[str, Value], args: Sequence[str]) -> Refusal | None:
    """Refuse a flag by hand that says again what a field says: the later of two wins, and the field would be ignored."""
    given = {_stem(word) for word in args if word.startswith("--")}
    for name, value in asked.items():
        flags = {_stem(word) for word in options[name](value) if word.startswith("--")} if name in options else set()
        if both := sorted(flags & given):
            return Refusal(f"engine.args says {both[0]} again, which options.{name} says", "write one of both")
    return None


def _stem(word: str) -> str:
    return "--" + word.partition("=")[0].removeprefix("--").replace("_", "-").removeprefix("no-")
