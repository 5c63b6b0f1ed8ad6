"""Would this operator make the replicas otherwise than they are? Said in a condition, and never done by itself.

What runs is compared with what the present release, default image and profiles would render of the same input. A person
takes the difference with an annotation: each new value of it names another revision, rolled out like any other, and the
old value goes back.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.drift import covers
from deepseek_operator.core.names import digest
from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Seen
from deepseek_operator.kinds.serving import reasons
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.keyed import CONTAINER
from deepseek_operator.kinds.serving.revision import UPDATE, is_restored, stored_revision
from deepseek_operator.kinds.serving.rollout import Target
from deepseek_operator.workloads.replicas.keeper import Pods

UPDATE_AVAILABLE = "UpdateAvailable"
_TOKEN_DIGITS = 10


def update_of(seen: Seen[DeepSeekServing], goal: Target, fresh: Fresh) -> tuple[Verdict, ...]:
    """The condition that tells what would change and how to take it; none where nothing would."""
    stored = stored_revision(seen, goal.revision) if goal.revision is not None else None
    if stored is None or goal.revision is None or goal.model is None:
        return ()
    offered = fresh.pods(seen.owner, goal.revision, goal.model)
    changes = _changes(stored, offered) if offered is not None else ()
    if not changes:
        return ()
    owner = seen.owner.metadata
    message = (
        f"this operator would change {', '.join(changes)}; what runs stays as it is. To take it: "
        f"kubectl annotate dss {owner.name} -n {owner.namespace} --overwrite {UPDATE}={_token(offered)}"
    )
    return (Verdict(UPDATE_AVAILABLE, "True", reasons.NEW_DEFAULTS.name, message),)


def _token(offered: Pods | None) -> str:
    """A value of the annotation that is another for other pods; of one pod it is its template's, as it always was."""
    templates = offered.templates if offered is not None else ()
    return digest(templates[0] if len(templates) == 1 else templates, _TOKEN_DIGITS)


def _changes(stored: Manifest, fresh: Pods) -> tuple[str, ...]:
    """What differs, by name. A record restored from what ran has the API server's defaults, which say nothing."""
    data = stored["data"]
    was, is_now = dict(_parts(data["template"])), dict(_parts(fresh.leader))
    if (nodes := int(data.get("nodes") or 1)) != fresh.nodes:
        was, is_now = {**was, "nodes": nodes}, {**is_now, "nodes": fresh.nodes}
    elif fresh.worker is not None:
        was |= {f"worker.{name}": part for name, part in _parts(data["workerTemplate"])}
        is_now |= {f"worker.{name}": part for name, part in _parts(fresh.worker)}
    if is_restored(stored):
        return tuple(_told(name, was, is_now) for name in sorted(is_now) if not covers(was.get(name), is_now[name]))
    return tuple(_told(name, was, is_now) for name in sorted(was | is_now) if was.get(name) != is_now.get(name))


def _told(name: str, was: Mapping[str, Any], is_now: Mapping[str, Any]) -> str:
    return f"image {was.get(name)} -> {is_now.get(name)}" if name == "engine.image" else name


def _parts(template: Manifest) -> Iterator[tuple[str, Any]]:
    engine = next(container for container in template["spec"]["containers"] if container["name"] == CONTAINER)
    yield from template["metadata"].items()
    yield from ((name, part) for name, part in template["spec"].items() if name != "containers")
    yield from ((f"engine.{name}", part) for name, part in engine.items())
