"""A gang that works until it is done: a Job of one attempt, its pods, why it ended, and when the next may begin."""
