"""The learning rate at a step, a pure function: a resume needs no scheduler state."""

import math
from typing import assert_never

from deepseek_runtime.spec import Hyperparameters


def learning_rate(parameters: Hyperparameters, step: int, max_steps: int) -> float:
    """Rate of the update that makes step `step` (counted from 1): linear warm-up, then down to 0 after the last."""
    peak, warmup = parameters.learning_rate, parameters.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    done = (step - 1 - warmup) / max(1, max_steps - warmup)
    match parameters.schedule:
        case "Constant":
            return peak
        case "Linear":
            return peak * (1 - done)
        case "Cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * done))
        case other:
            assert_never(other)
