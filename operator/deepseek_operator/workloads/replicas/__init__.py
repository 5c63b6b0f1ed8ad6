"""Replicas of one immutable pod template, kept alive by a resource of Kubernetes: which one is nobody else's business."""
