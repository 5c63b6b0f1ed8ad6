"""Does the engine of a replica fail, what did it say, and can another try help?

Whatever state the kubelet is between two tries (ended, backing off, started again), the words are the same: how the
engine ended last. An engine that says by our contract that the user's input is wrong will say so at every try. Any other
may fail for a reason that goes away, and is given as long as a replica has to become ready: its group's deadline.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving.command import ADAPTERS_PATH, MODEL_PATH, adapter_mounts
from deepseek_operator.kinds.serving.running import group
from deepseek_operator.workloads.last_words import document, tail, words
from deepseek_operator.workloads.obstacles import condition_of

REPEATED = 2
"""Restarts from which on an engine that is loading is said to fail: one may be a node's that was started anew."""

_FAILING_REASONS = frozenset({"CrashLoopBackOff", "RunContainerError"})
_INVALID = 64
"""Exit code of our contract: what the user gave can't be used, and no other try will help."""

_MOUNT = re.compile(rf"(?<![\w./-])({re.escape(MODEL_PATH)}|{re.escape(ADAPTERS_PATH)}/\d+)(?![\w.-])")


def failure(container: Mapping[str, Any], model: ResolvedModel | None) -> str | None:
    """How the engine of this container status fails, in words that stay the same from try to try; None if it doesn't."""
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    loads_again = container.get("started") is not True and container.get("restartCount", 0) >= REPEATED
    if reason not in _FAILING_REASONS and not loads_again and not is_invalid(container):
        return None
    ended = _ended(container)
    if "exitCode" not in ended:
        said = tail(str(waiting.get("message") or "")) if reason == "RunContainerError" else ""
        return f"{reason or 'the engine does not start'}{': ' + said if said else ''}"
    why = str(ended.get("reason") or "")
    told = f" ({why})" if why not in ("", "Error", "Completed") else ""
    said = in_users_words(words(str(ended.get("message") or "")), model)
    return f"the engine ended with exit code {ended['exitCode']}{told}{': ' + said if said else ''}"


def is_invalid(container: Mapping[str, Any]) -> bool:
    """True when the engine says, by our contract, that what the user gave can't be used."""
    ended = _ended(container)
    ours = document(str(ended.get("message") or "")) or {}
    is_over = container.get("started") is not True
    return is_over and ended.get("exitCode") == _INVALID and "formatVersion" in ours


def is_overdue(seen: Seen[DeepSeekServing], pod: Manifest, revision: str) -> bool:
    """True once the replica is not ready for longer than its group gives it to load."""
    since = parse_time(condition_of(pod, "Ready").get("lastTransitionTime"))
    live = group(seen, revision)
    if since is None or live is None or condition_of(pod, "Ready").get("status") == "True":
        return False
    return seen.now - since > timedelta(seconds=live.deadline_s)


def in_users_words(said: str, model: ResolvedModel | None) -> str:
    """The engine's words with the claims and folders that the user knows in place of where they are mounted."""
    if model is None:
        return said
    folders = {MODEL_PATH: model.folder, **{mount: adapter.folder for mount, adapter in adapter_mounts(model)}}
    return _MOUNT.sub(lambda match: folders.get(match[0], match[0]), said)


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """The newest end of the container; empty when it never ended."""
    now, last = container.get("state") or {}, container.get("lastState") or {}
    return now.get("terminated") or last.get("terminated") or {}
