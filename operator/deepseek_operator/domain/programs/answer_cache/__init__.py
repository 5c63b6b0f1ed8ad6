"""nginx that stands before the replicas of one revision and keeps answers: how it is told so, and what it decides."""
