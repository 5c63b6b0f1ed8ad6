"""An object's children as a tree with how each does, read off their manifests.

A pod hangs under its Job, or under what made the ReplicaSet or StatefulSet that made it: those are known by their names,
which begin with that of their maker, so nobody needs the right to list them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.core.resources import Manifest, controller_of, is_terminating, uid_of

GOOD, BUSY, BAD = "good", "busy", "bad"


@dataclass(frozen=True)
class State:
    """How an object does: `health` is good, busy (on the way) or bad, `words` say it."""

    health: str
    words: str


@dataclass(frozen=True)
class Child:
    """One object below another."""

    kind: str
    name: str
    state: State
    children: tuple["Child", ...] = ()


def children_of(owner: Manifest, objects: Sequence[Manifest]) -> tuple[Child, ...]:
    """The tree below `owner`, by kind and name; each object stands in it once."""
    uids = {uid_of(one): one for one in objects}
    below: dict[str, list[Manifest]] = {}
    for one in objects:
        below.setdefault(_parent(one, uid_of(owner), uids), []).append(one)
    return tuple(_child(one, below) for one in _ordered(below.get(uid_of(owner), ())))


def _child(one: Manifest, below: Mapping[str, Sequence[Manifest]]) -> Child:
    deeper = tuple(_child(child, below) for child in _ordered(below.get(uid_of(one), ())))
    return Child(str(one["kind"]), _name(one), state_of(one), deeper)


def _parent(one: Manifest, root: str, uids: Mapping[str, Manifest]) -> str:
    """uid of what it hangs under: its controller, else whose name its controller's begins with, else the root."""
    controller = controller_of(one)
    if controller is None or controller.get("uid") == root:
        return root
    if controller.get("uid") in uids:
        return str(controller["uid"])
    name = str(controller.get("name") or "")
    makers = [uid for uid, other in uids.items() if other["kind"] in _MAKERS and _is_of(name, _name(other))]
    return max(makers, key=lambda uid: len(_name(uids[uid])), default=root)


_MAKERS = ("Deployment", "LeaderWorkerSet")


def _is_of(name: str, maker: str) -> bool:
    return name == maker or name.startswith(f"{maker}-")


def state_of(one: Manifest) -> State:
    """How an object does, by what its kind says of itself; one that says nothing is there, and that is all."""
    if is_terminating(one):
        return State(BUSY, "Terminating")
    look = _STATES.get(str(one["kind"]))
    return look(one.get("spec") or {}, one.get("status") or {}) if look is not None else State(GOOD, "")


def _job(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    wanted = int(spec.get("completions") or spec.get("parallelism") or 1)
    true = {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}
    if "Complete" in true:
        return State(GOOD, f"Complete {status.get('succeeded') or 0}/{wanted}")
    for failed in ("Failed", "FailureTarget"):
        if failed in true:
            return State(BAD, f"Failed: {true[failed].get('reason') or ''}".rstrip(": "))
    if spec.get("suspend"):
        return State(BUSY, "Suspended")
    ready = int(status.get("ready") or 0) + int(status.get("succeeded") or 0)
    return State(GOOD if ready >= wanted else BUSY, f"{ready}/{wanted} ready")


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    wanted, ready = int(spec.get("replicas", 1)), int(status.get("readyReplicas") or 0)
    return State(GOOD if ready >= wanted else BUSY, f"{ready}/{wanted} ready")


def _pod(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    phase, place = str(status.get("phase") or "Pending"), str(spec.get("nodeName") or "")
    where = f" on {place}" if place else ""
    containers = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    restarts = sum(int(one.get("restartCount") or 0) for one in containers)
    again = f", {restarts} restart{'s' if restarts != 1 else ''}" if restarts else ""
    if (trouble := _trouble(containers)) is not None:
        return State(BAD, f"{trouble}{where}{again}")
    if phase == "Succeeded":
        return State(GOOD, f"Succeeded{where}{again}")
    if phase == "Failed":
        return State(BAD, f"Failed: {status.get('reason') or status.get('message') or 'no reason given'}{where}{again}")
    is_ready = any(c["type"] == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
    return State(GOOD if is_ready else BUSY, f"{phase if is_ready else _waits(phase, status)}{where}{again}")


_USUAL_WAITS = ("ContainerCreating", "PodInitializing")


def _trouble(containers: Sequence[Mapping[str, Any]]) -> str | None:
    """The first container that ended badly, or can't start."""
    for one in containers:
        state = one.get("state") or {}
        ended, waiting = state.get("terminated") or {}, state.get("waiting") or {}
        if ended.get("exitCode"):
            return f"{ended.get('reason') or 'Error'} (exit code {ended['exitCode']}) in {one.get('name')}"
        if waiting.get("reason") and waiting["reason"] not in _USUAL_WAITS:
            return f"{waiting['reason']} in {one.get('name')}"
    return None


def _waits(phase: str, status: Mapping[str, Any]) -> str:
    """`Pending: Unschedulable`, or that it runs and is not ready."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("status") == "False":
            return f"{phase}: {condition.get('reason') or 'not scheduled'}"
    return f"{phase}, not ready" if phase == "Running" else phase


def _claim(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    phase, size = str(status.get("phase") or "Pending"), (status.get("capacity") or {}).get("storage", "")
    health = {"Bound": GOOD, "Lost": BAD}.get(phase, BUSY)
    return State(health, f"{phase} {size}".rstrip())


def _autoscaler(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    now, wanted = status.get("currentReplicas") or 0, status.get("desiredReplicas")
    said = {c["type"]: c for c in status.get("conditions") or ()}
    blind = said.get("ScalingActive", {})
    words = f"{now} now, wants {wanted if wanted is not None else '?'}, {spec.get('minReplicas', 1)} to {spec.get('maxReplicas')}"
    if blind.get("status") == "False":
        return State(BAD, f"{words}; {blind.get('reason') or 'inactive'}")
    return State(GOOD if now == wanted else BUSY, words)


def _budget(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    return State(GOOD, f"{status.get('disruptionsAllowed', 0)} disruptions allowed")


def _route(spec: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    parents = status.get("parents") or ()
    refused = [c for p in parents for c in p.get("conditions") or () if c.get("status") == "False"]
    if refused:
        return State(BAD, f"{refused[0]['type']}=False: {refused[0].get('reason') or ''}".rstrip(": "))
    return State(GOOD, "accepted") if parents else State(BUSY, "no gateway has answered for it")


_STATES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], State]] = {
    "Deployment": _deployment,
    "GRPCRoute": _route,
    "HTTPRoute": _route,
    "HorizontalPodAutoscaler": _autoscaler,
    "Job": _job,
    "LeaderWorkerSet": _deployment,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "PodDisruptionBudget": _budget,
}

_FIRST = ("Job", "Deployment", "LeaderWorkerSet", "Pod", "PersistentVolumeClaim", "Service", "HorizontalPodAutoscaler")
"""What runs comes first; what only has to be there, last."""


def _ordered(objects: Sequence[Manifest]) -> list[Manifest]:
    def place(one: Manifest) -> tuple[int, str, str]:
        kind = str(one["kind"])
        return (_FIRST.index(kind) if kind in _FIRST else len(_FIRST)), kind, _name(one)

    return sorted(objects, key=place)


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


MARKS: Mapping[str, str] = {GOOD: "✔", BUSY: "…", BAD: "✘"}
"""Beside words that say the same: no meaning is in a mark or a colour alone."""


def lines(children: Sequence[Child], before: str = "") -> Iterator[str]:
    """The tree for a terminal."""
    for index, child in enumerate(children):
        is_last = index == len(children) - 1
        yield f"{before}{'└─' if is_last else '├─'} {MARKS[child.state.health]} {child.kind}/{child.name}{_words(child)}"
        yield from lines(child.children, before + ("   " if is_last else "│  "))


def _words(child: Child) -> str:
    return f"  {child.state.words}" if child.state.words else ""
