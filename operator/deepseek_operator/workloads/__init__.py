"""What every kind that makes pods needs, knowing none of them: pods, gangs of a Job, groups of replicas, what keeps them away."""
