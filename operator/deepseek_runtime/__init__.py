"""What runs inside the pods: the launcher with its keeper, the trainer and a small inference engine.

The operator and this package know each other only through environment variables, files on the
checkpoint volume, exit codes, the termination message and HTTP; neither imports the other.
"""
