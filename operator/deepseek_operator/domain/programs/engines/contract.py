"""What a program is told that no command is built for: our own engine, and an image of the user's.

Environment variables are all of it, so that any image can take part: where the model lies, under what names and port it
is served, which adapters beside it, how many requests at once, and how long to drain. What the pod's runtime reads of them is tested against this.
"""

import json
from collections.abc import Sequence

from deepseek_operator.domain.programs.engines.request import Adapter
from deepseek_operator.domain.values.command import Variables

COMMAND = ("python3", "-m", "deepseek_runtime.engine")
"""Starts our own engine in the runtime image."""
CHECK = ("python3", "-m", "deepseek_runtime.engine.check")
"""Compares adapters with the model, in the runtime image, before an engine that does not. Reads path and adapters; its
arguments name layers of which that engine reads no adapter."""
FOLDED = "kv_b_proj"
"""What stands beside it an engine may pass over: see `AdapterKind.LATENT`."""
KEY_VARIABLE = "DEEPSEEK_API_KEY"
"""Has the key of an engine that is to answer nobody without one; the kubelet takes its value from a Secret."""
CONCURRENCY = 4
"""Requests that are computed at once where nobody says otherwise."""
QUEUE_LIMIT = 64
"""Requests that wait where nobody says otherwise."""


def variables(
    path: str,
    served_name: str,
    port: int,
    concurrency: int,
    queue_limit: int,
    drain_seconds: int,
    adapters: Sequence[Adapter] = (),
    aliases: Sequence[str] = (),
) -> Variables:
    """Return the variables of one replica; those of adapters and of aliases only where there are any. Aliases stand between
    spaces, as a shell takes them apart: `--served-model-name $DEEPSEEK_SERVED_MODEL_NAME $DEEPSEEK_MODEL_ALIASES`."""
    listed = [{"name": adapter.name, "path": adapter.path} for adapter in adapters]
    beside = (("DEEPSEEK_ADAPTERS", json.dumps(listed)),) if listed else ()
    also = (("DEEPSEEK_MODEL_ALIASES", " ".join(aliases)),) if aliases else ()
    return (
        ("DEEPSEEK_MODEL_PATH", path),
        ("DEEPSEEK_SERVED_MODEL_NAME", served_name),
        *also,
        ("DEEPSEEK_PORT", str(port)),
        ("DEEPSEEK_MAX_CONCURRENCY", str(concurrency)),
        ("DEEPSEEK_QUEUE_LIMIT", str(queue_limit)),
        ("DEEPSEEK_DRAIN_SECONDS", str(drain_seconds)),
        *beside,
    )
