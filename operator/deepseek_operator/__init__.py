"""Kubernetes operator for the DeepSeek model family: one loop, pure kinds, one imperative shell."""

__version__ = "0.1.0"
