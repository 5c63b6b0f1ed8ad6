"""What is kept of an object: what is used, however deep, wide or long the rest is."""

import json
import sys
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core import kept as core_kept
from deepseek_operator.core.kept import DEEPEST, MOST_TEXT, MOST_VALUES, kept, slim
from deepseek_operator.core.resources import POD, Resource


def nested(levels: int, leaf: Any = 1, as_lists: bool = False) -> Any:
    for _ in range(levels):
        leaf = [leaf] if as_lists else {"a": leaf}
    return leaf


def training(custom: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": TRAINING.api_version,
        "kind": TRAINING.kind,
        "metadata": {"name": "t", "namespace": "team", "uid": "u", "resourceVersion": "1", **metadata},
        "spec": {"suspend": True, "model": {"custom": custom or {}}},
        "status": {"phase": "Suspended"},
    }


def size_of(value: Any) -> int:
    """Bytes of the object and everything below it; texts that are kept once count once."""
    seen: dict[int, int] = {}
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen[id(item)] = sys.getsizeof(item)
        waiting += [*item.keys(), *item.values()] if isinstance(item, dict) else item if isinstance(item, list) else []
    return sum(seen.values())


@pytest.mark.parametrize("resource", [TRAINING, SERVING, POD])
def test_an_ordinary_object_is_kept_whole(resource: Resource) -> None:
    manifest = training({"hidden_size": 64, "rope": {"type": "yarn", "factors": [1.5, 2]}}, labels={"a": "b"})
    assert kept(resource, manifest) == (manifest, None)


HOSTILE = {
    "deep maps": nested(600),
    "deep lists": nested(900, as_lists=True),
    "just too deep": nested(DEEPEST),
    "many small maps": [{"a": {}} for _ in range(MOST_VALUES)],
    "many empty lists": [[] for _ in range(400_000)],
    "many numbers": {str(number): number for number in range(200_000)},
    "a long text": {"a": "x" * 1_500_000},
    "long keys": {f"{number}{'k' * 1000}": 1 for number in range(1_400)},
    "wide at every level": nested(3, [nested(3, ["x" * 100] * 400)] * 400),
}


@pytest.mark.parametrize("custom", HOSTILE.values(), ids=HOSTILE)
def test_what_is_hostile_is_cut_and_told_by_its_field(custom: Any) -> None:
    found, excess = kept(TRAINING, training(custom))
    assert excess is not None
    assert "spec.model.custom" in excess
    assert len(excess) < 1024
    assert size_of(found) < 4 * (1 << 20), "a value takes at most some hundred bytes, a character one"
    assert found["status"] == {"phase": "Suspended"}, "what was recorded is not cut for what a user wrote"


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"labels": {f"l{number}": "x" for number in range(60_000)}}, "metadata.labels"),
        ({"finalizers": [f"example.com/{number}" for number in range(60_000)]}, "metadata.finalizers"),
        ({"annotations": {"deepseek-operator.io/a": "x" * (MOST_TEXT + 1)}}, "metadata.annotations"),
    ],
)
def test_metadata_is_bounded_too(metadata: dict[str, Any], field: str) -> None:
    manifest = training(**metadata)
    manifest["metadata"] = dict(
        sorted(manifest["metadata"].items())
    )  # As the server writes it: labels before the name.
    found, excess = kept(TRAINING, manifest)
    assert excess is not None
    assert f"in {field}:" in excess
    own = {name: value for name, value in manifest["metadata"].items() if name not in metadata}
    assert {name: found["metadata"][name] for name in own} == own, "without a name and a uid the whole list is refused"
    assert (found["apiVersion"], found["kind"]) == (TRAINING.api_version, TRAINING.kind), "and without these an event"


def test_what_nobody_reads_is_neither_kept_nor_counted() -> None:
    ballast = {"f:spec": nested(900)}
    own = {"deepseek-operator.io/update": "now"}
    others = {"kubectl.kubernetes.io/last-applied-configuration": "x" * MOST_TEXT, "example.com/note": "y" * MOST_TEXT}
    manifest = training(managedFields=[ballast], annotations={**own, **others})
    assert kept(TRAINING, manifest) == (training(annotations=own), None)
    pod = training(managedFields=[ballast], annotations={"kubectl.kubernetes.io/last-applied-configuration": "x" * 9})
    assert kept(POD, pod) == (training(annotations={}), None)


@pytest.mark.parametrize("custom", HOSTILE.values(), ids=HOSTILE)
def test_an_object_shrinks_while_it_is_read_and_stays_marked(custom: Any) -> None:
    manifest = training(custom, managedFields=[{"fieldsV1": nested(300)}], annotations={"example.com/a": "b"})
    text = json.dumps({"kind": "DeepSeekTrainingList", "metadata": {}, "items": [manifest, training({"a": {}})]})
    cut, ordinary = json.loads(text, object_hook=slim)["items"]
    assert slim(cut) is cut, "it is walked through once"
    assert kept(TRAINING, cut) == kept(TRAINING, manifest)
    assert kept(TRAINING, ordinary) == (training({"a": {}}), None)
    assert size_of(cut) < 4 * (1 << 20)


def test_of_what_others_keep_only_managed_fields_are_dropped_while_it_is_read() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "p", "uid": "u", "resourceVersion": "1"}, "spec": {"managedFields": [1]}}
    text = json.dumps({**pod, "metadata": {**pod["metadata"], "managedFields": [{}]}})  # type: ignore[dict-item]
    assert json.loads(text, object_hook=slim) == pod


AT_THE_EDGE = {
    "ordinary": {"a": [1, 2.5, None, True, "b", {"c": []}]},
    **{f"{levels} levels": nested(levels) for levels in range(DEEPEST - 5, DEEPEST)},
    **{f"{levels} levels of lists": nested(levels, as_lists=True) for levels in range(DEEPEST - 5, DEEPEST)},
    **{f"{count} values": [1] * count for count in range(MOST_VALUES - 20, MOST_VALUES)},
    **{f"{length} letters": "x" * length for length in range(MOST_TEXT - 150, MOST_TEXT, 5)},
    "a tuple": ({"a": 1},),
}


@pytest.mark.parametrize("resource", [TRAINING, POD])
def test_the_quick_walk_ends_where_the_slow_one_does(resource: Resource, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {name: kept(resource, training({"a": custom})) for name, custom in AT_THE_EDGE.items()}

    def beyond(*_: object) -> None:
        raise core_kept._Beyond

    monkeypatch.setattr(core_kept, "_measure", beyond)
    slow = {name: kept(resource, training({"a": custom})) for name, custom in AT_THE_EDGE.items()}
    assert quick == slow
    assert {excess is None for _, excess in slow.values()} == {True, False}
