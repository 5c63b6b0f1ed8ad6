"""Chats: what a message may be, and the text that a model's chat template makes of them, for trainer and engine alike."""
