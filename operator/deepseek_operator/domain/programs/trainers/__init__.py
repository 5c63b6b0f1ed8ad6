"""Trainers: from typed values to the exact command of every node of a gang, or the reason why there is none."""
