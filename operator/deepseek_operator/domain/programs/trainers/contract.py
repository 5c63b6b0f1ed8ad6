"""What starts our own trainer in the runtime image; what to train reaches it as variables of the pod."""

COMMAND = ("python3", "-m", "deepseek_runtime.launcher")
