"""Checkpoints on a volume, whatever framework wrote them: manifest, choice of resume, retention."""
