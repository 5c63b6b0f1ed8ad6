"""Who writes what a program's container runs."""

from enum import Enum


class Start(Enum):
    """Who writes the command."""

    BUILT = "Built"  # the operator, from what is asked for, the layout and the profile
    OURS = "Ours"  # nobody: one program of the runtime image, told what to do by variables
    WRITTEN = "Written"  # the user, for a program of their own, which is told by the same variables
