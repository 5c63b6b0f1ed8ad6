"""The field without Kubernetes: models, memory, layouts, devices, and the arithmetic of scaling. Standard library only."""
