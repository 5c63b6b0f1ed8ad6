"""Asks a server what the trainer asks a model: how many held-out prompts it answers exactly as they are to be."""
