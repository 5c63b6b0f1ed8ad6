"""One pod: what it is allowed, what it computes with, and what the devices of a profile make of it."""
