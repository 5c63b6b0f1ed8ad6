"""`python3 -P trial.py`: whether a grammar can be compiled at all, tried by a process of its own.

llguidance bounds most of its work, but not all: patterns that are intersected can take hours, and rules that lead to one
another thousands of times end the process that compiles them. Whoever sends such a grammar would end the answers of
everybody, so each new one is tried here first, over single bytes in place of the model's tokens, up to the first few letters.
The grammar is read from the standard input; what is wrong with it is written to the standard output, nothing if nothing is.
"""

import os
import resource
import signal
import subprocess
import sys
import threading

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

CPU_S = 2
# Of a process that gets no CPU: its start is part of it, on a machine that computes for others.
WALL_S = 60.0
MEMORY_BYTES = 2 << 30
# Letters that are tried, each the first that may stand there.
_LETTERS = 4
# An eighth of what threads have that will read the grammar again, so that it never runs out there.
_STACK_BYTES = 1 << 20
_TOO_MUCH = "it takes too much time, memory or depth to compile"


def limits() -> LLParserLimits:
    """A fifth of what llguidance allows by itself: 0.1 s and 40 MB for the worst of expressions (seen), 7 ms a token."""
    return LLParserLimits(
        initial_lexer_fuel=200_000, step_lexer_fuel=100_000, max_lexer_states=20_000, verbose_errors=False
    )


def wrong_with(grammar: str) -> str:
    """What is wrong with a grammar, in words; nothing where it compiles. Takes at most `WALL_S`."""
    # By its path: it needs nothing of what stands beside it, and nothing there may pass for a library's (-P).
    command = [sys.executable, "-P", __file__]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, input=grammar.encode(), capture_output=True, timeout=WALL_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return _TOO_MUCH
    if done.returncode == 0:
        return done.stdout.decode(errors="replace")
    if done.returncode < 0:
        return _TOO_MUCH
    raise RuntimeError(f"the trial of a grammar failed: {done.stderr.decode(errors='replace')[-500:]}")


def found(grammar: str) -> str:
    """The error that this process finds: some come with the first letters only."""
    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0, limits=limits())
    for _ in range(_LETTERS):
        if matcher.is_stopped():  # in error as well
            break
        bits = int.from_bytes(matcher.compute_bitmask(), "little")
        if not matcher.is_error():
            matcher.consume_token((bits & -bits).bit_length() - 1)
    return str(matcher.get_error())


def main() -> None:
    """Never returns: a process that was short of memory or depth has nothing to clean up."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    grammar = sys.stdin.buffer.read().decode()

    def tell() -> None:
        try:
            sys.stdout.write(found(grammar))
            sys.stdout.flush()
            os._exit(0)
        except BaseException:  # a panic in Rust is no Exception
            os.kill(os.getpid(), signal.SIGABRT)

    threading.stack_size(_STACK_BYTES)
    threading.Thread(target=tell).start()
    signal.pause()


if __name__ == "__main__":
    main()
