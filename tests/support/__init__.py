"""Worlds, pipes and faults that the tests put around the operator."""
