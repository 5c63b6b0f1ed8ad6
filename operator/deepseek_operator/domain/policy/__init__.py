"""Rules that move a resource over time: rollout and scaling."""
