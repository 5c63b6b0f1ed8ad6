"""How far a state machine or a property searches: through the same few lives at every run of the tests, or through many new ones.

`MACHINE_EXAMPLES=500` asks for that many lives that nobody has tried; `tests/run machines 500` does so. `SHORT_SEARCH=1` asks
for a quarter of what is usual: `tests/run fast` does so, and `tests/run deep` tries the whole.
"""

import os

from hypothesis import HealthCheck, settings

ASKED = "MACHINE_EXAMPLES"
SHORT = "SHORT_SEARCH"


def examples(usual: int) -> int:
    """How many of so many `usual` examples are tried in this run."""
    return -(-usual // 4) if os.environ.get(SHORT) else usual


def search(usual: int, steps: int) -> settings:
    """Settings of a machine that tries that many lives of up to `steps` steps unless more are asked for."""
    asked = os.environ.get(ASKED)
    return settings(
        max_examples=int(asked or examples(usual)),
        stateful_step_count=steps,
        derandomize=not asked,
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
