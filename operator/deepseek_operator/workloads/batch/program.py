"""What a gang's container runs, as far as an attempt must know it: the container's name, and what its exit codes mean.

A code that is in no table is an Error, hence a crash; so a program of the user's own needs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class Exit:
    """What one exit code means by the program's contract.

    Attributes:
        cause: in one word, CamelCase.
        told: other causes of the same code, by `result` of the document that the container leaves behind.
        is_final: no other try can cure it.
        is_disruption: no fault of the program: it can go on from what it has saved.
    """

    cause: str
    told: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_final: bool = False
    is_disruption: bool = False


@dataclass(frozen=True)
class Program:
    """A container by its name, whatever others were put beside it, and its exits by code."""

    container: str
    exits: Mapping[int, Exit] = field(default_factory=lambda: MappingProxyType({}))

    def cause(self, code: int, result: object) -> str:
        """The cause that an exit stands for; `result` is what the container's document says of itself."""
        known = self.exits.get(code)
        if known is None:
            return "Error"
        return known.told.get(result, known.cause) if isinstance(result, str) else known.cause

    @property
    def final(self) -> frozenset[str]:
        """Causes that no other try can cure."""
        exits = [known for known in self.exits.values() if known.is_final]
        return frozenset(cause for known in exits for cause in (known.cause, *known.told.values()))

    def is_disruption(self, code: int) -> bool:
        """Whether that exit is no fault of the program."""
        known = self.exits.get(code)
        return known is not None and known.is_disruption
