"""What the models are: their shapes, their numbers, the catalogue of the family."""
