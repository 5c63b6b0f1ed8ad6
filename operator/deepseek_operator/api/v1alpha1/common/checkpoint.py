"""How a checkpoint of a training is named."""

from typing import Annotated

from pydantic import StringConstraints

from deepseek_operator.api.base import Says

Checkpoint = Annotated[
    str,
    StringConstraints(pattern=r"^(Latest|Best|[0-9]{1,9})$", max_length=16),
    Says('write Latest, Best, or a quoted step such as "200"'),
]
