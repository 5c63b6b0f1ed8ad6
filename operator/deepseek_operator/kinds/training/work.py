"""The variable that tells the built-in trainer what a token costs and what its devices can do, for their utilisation."""

import json
import math
from typing import Any

from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.domain.devices.profiles import Profile
from deepseek_operator.domain.models.known import known
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.flops import token_cost
from deepseek_operator.domain.sizing.training_state import Method
from deepseek_operator.kinds.training import tuning
from deepseek_operator.kinds.training.settings import processes_per_node

_ANY_LENGTH = 1 << 40
"""Keys of attention that is not sparse: JSON knows no infinity."""


def variables(spec: TrainingSpec, profile: Profile) -> list[dict[str, Any]]:
    """None where the model, or the device's dense peak for the precision, is not known: a guess would be no utilisation."""
    peak = profile.accelerator.peak_tflops.get(spec.hyperparameters.precision)
    architecture = known(spec.model.name, spec.model.custom).architecture
    # A processor's peak is an order of magnitude for planning, see its profile.
    if not peak or architecture is None or profile.vendor == "cpu":
        return []
    cost = token_cost(architecture, tuning.sizing(spec.method).get("method", Method.FULL), Recompute.NONE)
    told = {
        "perToken": cost.per_token,
        "perKey": cost.per_key,
        "mostKeys": cost.most_keys if math.isfinite(cost.most_keys) else _ANY_LENGTH,
        "peak": peak * 1e12 * spec.nodes.number * processes_per_node(spec),
    }
    return [{"name": "DEEPSEEK_FLOPS", "value": json.dumps(told, sort_keys=True)}]
