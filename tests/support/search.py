"""How far a state machine searches: through the same few lives at every run of the tests, or through many new ones.

`MACHINE_EXAMPLES=500` asks for that many lives that nobody has tried; `tests/run machines 500` does so.
"""

import os

from hypothesis import HealthCheck, settings

ASKED = "MACHINE_EXAMPLES"


def search(examples: int, steps: int) -> settings:
    """Settings of a machine that tries `examples` lives of up to `steps` steps unless more are asked for."""
    asked = os.environ.get(ASKED)
    return settings(
        max_examples=int(asked or examples),
        stateful_step_count=steps,
        derandomize=not asked,
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
