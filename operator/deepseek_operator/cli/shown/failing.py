"""Whose log tells why: the pod that failed first, of the newest attempt that has one that failed, or of a given one.

What the operator recorded comes before what clocks of nodes say: it saw the failures in their order. A pod that was started
again in place has its failure in the log before, which Kubernetes keeps for one start.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.core.kinds import Failed
from deepseek_operator.core.names import ATTEMPT_LABEL
from deepseek_operator.core.resources import Manifest, labels_of

_SAVED = 75
"""EX_TEMPFAIL, with which a worker ends that was told to stop and saved: a consequence, not a cause."""


@dataclass(frozen=True)
class Chosen:
    """A log.

    Attributes:
        previous: that of the container's start before the present one.
        because: why it is this one, for people.
    """

    pod: str
    container: str
    previous: bool
    because: str


@dataclass(frozen=True)
class _End:
    """A container that ended badly, or a pod without one that says so: `container` is empty then."""

    at: str
    container: str
    previous: bool
    words: str
    saved: bool = False


def attempt_of(pod: Manifest) -> int:
    """The attempt that a pod belongs to; 0 where its kind has none."""
    text = labels_of(pod).get(ATTEMPT_LABEL, "")
    return int(text) if text.isdecimal() else 0


def chosen(pods: Sequence[Manifest], recorded: Sequence[Failed], attempt: int | None = None) -> Chosen:
    """The log to read.

    Raises:
        ValueError: there is no pod to read, or none of that attempt; with what the status keeps of its end.
    """
    of_attempt = [pod for pod in pods if attempt is None or attempt_of(pod) == attempt]
    if not of_attempt:
        raise ValueError(_nothing(pods, recorded, attempt))
    for number in sorted({attempt_of(pod) for pod in of_attempt}, reverse=True):
        these = [pod for pod in of_attempt if attempt_of(pod) == number]
        order = {one.pod: index for index, one in enumerate(recorded) if one.attempt == number and one.pod}
        ends = [(pod, end) for pod in these if (end := _first_end(pod)) is not None]
        if ends:
            pod, end = min(ends, key=lambda one: _rank(one, order))
            count = f" of {len(ends)} that failed" if len(ends) > 1 else ""
            said = f"it failed first{count}{_attempt(number)}: {end.words}"
            return Chosen(_name(pod), end.container or container_of(pod), end.previous, said)
    newest = max(attempt_of(pod) for pod in of_attempt)
    first = min((pod for pod in of_attempt if attempt_of(pod) == newest), key=_place)
    return Chosen(_name(first), container_of(first), False, f"no pod has failed{_attempt(newest)}; it is the first one")


def named(pods: Sequence[Manifest], name: str) -> Chosen:
    """The log of the pod of that name. Raises ValueError: there is none; names those that are."""
    for pod in pods:
        if _name(pod) == name:
            return Chosen(name, container_of(pod), False, "you named it")
    raise ValueError(f"it has no pod {name}; there are {', '.join(sorted(map(_name, pods))) or 'none'}")


def lost(pods: Sequence[Manifest], recorded: Sequence[Failed]) -> Iterator[str]:
    """What the status keeps of first failures whose pods are gone: sentences, the newest first.

    Of an attempt only its first failure is told: the others are ended by the Job because of it, and deleted.
    """
    there = {_name(pod) for pod in pods}
    numbers = {attempt_of(pod) for pod in pods}
    told: set[int] = set()
    for one in recorded:
        is_first = one.attempt not in told
        told.add(one.attempt)
        if is_first and one.pod and one.pod not in there:
            yield f"{one.pod} failed first in attempt {one.attempt} and is gone: {one.words}"
        elif is_first and not one.pod and one.attempt not in numbers:
            yield f"the pods of attempt {one.attempt} are gone: {one.words}"


def _nothing(pods: Sequence[Manifest], recorded: Sequence[Failed], attempt: int | None) -> str:
    kept = sorted({attempt_of(pod) for pod in pods})
    if attempt is None or not kept:
        return "it has no pod: there is nothing to read"
    told = next((f"; it ended so: {one.words}" for one in recorded if one.attempt == attempt), "")
    return f"no pod of attempt {attempt} is kept, those of {', '.join(map(str, kept))} are{told}"


def _rank(one: tuple[Manifest, _End], order: Mapping[str, int]) -> tuple[int, bool, str, tuple[int, str]]:
    pod, end = one
    return order.get(_name(pod), len(order)), end.saved, end.at or "9", _place(pod)


def _first_end(pod: Manifest) -> _End | None:
    ends = sorted(_ends(pod), key=lambda end: (end.saved, end.at or "9"))
    return ends[0] if ends else None


def _ends(pod: Manifest) -> Iterator[_End]:
    status = pod.get("status") or {}
    states = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    for one in states:
        for state, previous in ((one.get("lastState"), True), (one.get("state"), False)):
            ended: Mapping[str, Any] = (state or {}).get("terminated") or {}
            if ended.get("exitCode"):
                words = f"{ended.get('reason') or 'Error'}, exit code {ended['exitCode']}"
                at = str(ended.get("finishedAt") or "")
                yield _End(at, str(one.get("name") or ""), previous, words, ended["exitCode"] == _SAVED)
    if status.get("phase") == "Failed" and not any(_ended_badly(one) for one in states):
        yield _End("", "", False, str(status.get("reason") or status.get("message") or "Failed"))


def _ended_badly(one: Mapping[str, Any]) -> bool:
    return bool(((one.get("state") or {}).get("terminated") or {}).get("exitCode"))


def container_of(pod: Manifest) -> str:
    """The one that kubectl takes by itself, else the first."""
    named = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
    return str(named or next(iter(pod["spec"]["containers"]))["name"])


def _attempt(number: int) -> str:
    return f" in attempt {number}" if number else ""


def _place(pod: Manifest) -> tuple[int, str]:
    """Ranks count: 10 comes after 9."""
    index = labels_of(pod).get("batch.kubernetes.io/job-completion-index", "")
    return (int(index) if index.isdecimal() else 0), _name(pod)


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])
