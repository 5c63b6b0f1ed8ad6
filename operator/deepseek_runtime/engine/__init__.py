"""A small inference engine with the OpenAI API: for CPU pods, tests and models of a few billion parameters."""

from deepseek_runtime.stopping import hold_while_starting

hold_while_starting()
