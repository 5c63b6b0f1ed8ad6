"""How a training's processes divide the model, as DEEPSEEK_TRAINING_SPEC says it."""

from typing import Literal

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fields import Fields

Sharding = Literal["Full", "Hybrid"]
SHARDINGS: tuple[Sharding, ...] = ("Full", "Hybrid")


def read_parallelism(root: Fields, recomputation: str) -> tuple[int, Sharding]:
    """Over how many processes experts are dealt out, and whether each node has a copy of all states. Raises Invalid."""
    if not root.has("parallelism"):
        return 1, "Full"
    fields = root.fields("parallelism")
    fields.only("expert", "sharding")
    expert, sharding = fields.integer("expert", 1, least=1), fields.choice("sharding", SHARDINGS, "Full")
    if expert > 1 and sharding == "Hybrid":
        raise fields.wrong(
            "sharding", "experts are dealt out over all processes: write Full, or leave parallelism.expert out"
        )
    if expert > 1 and recomputation == "Selective":
        # torch's selective checkpoint counts operations, and experts that are gathered within a layer make others backward.
        raise Invalid(
            "hyperparameters.activationRecomputation is Selective, and parallelism.expert deals experts out, of whose layers all"
            " or nothing is computed again: write Full or None, or leave parallelism.expert out"
        )
    return expert, sharding
