"""A small inference engine with the OpenAI API: for CPU pods, tests and models of a few billion parameters."""
