"""Drift: what of a live object is ours, and when it must be applied again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.core.drift import covers, needs_apply, stamped
from deepseek_operator.core.names import APPLIED, digest

scalars = st.one_of(st.integers(), st.text(max_size=5), st.booleans())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=10,
)
manifests = st.dictionaries(st.sampled_from(["spec", "data", "labels"]), values, max_size=3)


@given(values)
def test_everything_covers_itself(value: Any) -> None:
    assert covers(value, value)


@given(st.dictionaries(st.sampled_from("abc"), values), st.dictionaries(st.sampled_from("xyz"), values))
def test_what_others_wrote_beside_our_fields_is_not_drift(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert covers({**theirs, **ours}, ours)


@given(st.dictionaries(st.sampled_from("abc"), scalars, min_size=1), st.data())
def test_a_changed_or_lost_field_is_drift(ours: dict[str, Any], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(ours)))
    assert not covers({**ours, key: [ours[key]]}, ours)
    assert not covers({k: v for k, v in ours.items() if k != key}, ours)


@pytest.mark.parametrize(
    ("live", "wanted", "covered"),
    [
        ([{"name": "a", "x": 1}, {"name": "b"}], [{"name": "b"}], True),
        ([{"name": "a", "value": "1"}], [{"name": "a", "value": "2"}], False),
        ([{"name": "a"}], [{"name": "a"}, {"name": "b"}], False),
        (["a", "b"], ["b", "a"], False),
        (["a", "b"], ["a"], False),
        (None, [], True),
        (None, {}, True),
        ("ab", ["a", "b"], False),
    ],
)
def test_lists_of_named_things_are_compared_by_name_and_others_whole(live: Any, wanted: Any, covered: bool) -> None:
    assert covers(live, wanted) is covered


@pytest.mark.parametrize("field", ["selector", "nodeSelector"])
def test_a_key_that_somebody_adds_to_a_selector_is_drift(field: str) -> None:
    """Kubernetes knows these maps as a whole, and one key more selects other pods or nodes: a Service loses all."""
    wanted = {"spec": {field: {"app": "ours"}}}
    assert not covers({"spec": {field: {"app": "ours", "typo": "x"}}}, wanted)
    assert covers({"spec": {field: {"app": "ours"}, "type": "ClusterIP"}}, wanted)


def test_a_label_that_somebody_adds_to_the_pods_a_budget_selects_is_drift() -> None:
    live = {"selector": {"matchLabels": {"app": "ours", "typo": "x"}}}
    assert not covers(live, {"selector": {"matchLabels": {"app": "ours"}}})


@given(manifests)
def test_an_applied_manifest_needs_no_apply(wanted: dict[str, Any]) -> None:
    assert not needs_apply(wanted, stamped(wanted))


def test_a_field_that_is_no_longer_wanted_needs_an_apply() -> None:
    live = stamped({"spec": {"a": 1, "b": 2}})
    assert covers(live, {"spec": {"a": 1}})
    assert needs_apply({"spec": {"a": 1}}, live)
    assert needs_apply({"spec": {"a": 1}}, None)


def test_the_stamp_keeps_other_annotations_and_is_the_digest_of_what_is_wanted() -> None:
    wanted = {"metadata": {"name": "x", "annotations": {"a": "b"}}}
    assert stamped(wanted)["metadata"] == {"name": "x", "annotations": {"a": "b", APPLIED: digest(wanted)}}
