"""The first process of a training pod: starts the workers, keeps watch over them, speaks for them."""

from deepseek_runtime.stopping import hold_while_starting

hold_while_starting()
