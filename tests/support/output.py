"""What a program prints, or why it prints nothing: its own words are part of the failure."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT_S = 120.0
"""A busy machine takes its time; only a program that hangs needs this."""


def output_of(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a program that ends well.

    Raises:
        AssertionError: it ended otherwise, with what it said on standard error.
    """
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
    return done.stdout
