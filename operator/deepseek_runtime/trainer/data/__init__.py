"""What is learnt from: the source of a dataset, its rendering as tokens, the order in which examples are seen."""
