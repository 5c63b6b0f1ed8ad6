"""The first process of a training pod: starts the workers, keeps watch over them, speaks for them."""
