"""What starts our own trainer in the runtime image; what to train reaches it as variables of the pod."""

COMMAND = ("python3", "-m", "deepseek_runtime.launcher")

RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK")
"""Variables by which ranks meet: the operator and its launcher set them, in whichever trainer."""
