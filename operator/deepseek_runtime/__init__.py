"""What runs inside the pods: the launcher with its keeper, the trainer and a small inference engine.

The operator and this package know each other only through environment variables, files on the
checkpoint volume, exit codes, the termination message and HTTP; neither imports the other.
"""

import logging

# transformers imports torchao where it is installed, and torch (2.13) then warns twice in the log of every pod of how two of
# its classes are registered, which nobody who reads that log can do anything about.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
