"""The shortcuts of the memory cluster's arithmetic answer what the long way does, for any plain data."""

from types import MappingProxyType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.adapters import memory_fields
from deepseek_operator.adapters.memory_fields import changed, copied

KEYS = st.sampled_from(["a", "b", "env", "ports", "selector", "containers", "conditions"])
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)


def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """A list that merges by name."""
    return st.dictionaries(st.sampled_from("xyz"), values).map(
        lambda items: [{"name": name, "value": value} for name, value in items.items()]
    )


VALUES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=2) | named(inner)
)
OBJECTS = st.dictionaries(KEYS, VALUES, min_size=1)


@given(OBJECTS, OBJECTS, st.sets(KEYS))
def test_the_fields_that_differ_are_those_of_two_whole_lists(
    before: dict[str, Any], other: dict[str, Any], taken: set[str]
) -> None:
    after = {**before, **{key: value for key, value in other.items() if key in taken}} or {"a": 1}
    old, new = (dict(memory_fields._pairs(value, ())) for value in (before, after))
    assert changed(before, after) == {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}


@given(VALUES)
def test_a_copy_is_equal_and_shares_nothing_that_can_be_changed(value: Any) -> None:
    found = copied({"held": value})["held"]
    assert found == value
    assert type(found) is type(value)
    assert found is not value or not isinstance(value, dict | list)


def test_a_copy_is_mutable_whatever_it_is_a_copy_of() -> None:
    frozen = MappingProxyType({"a": (1, MappingProxyType({"b": ()})), "large": 1 << 70, "half": "\ud800"})
    for value in (frozen, MappingProxyType({"a": frozen["a"]})):
        assert copied(value)["a"] == [1, {"b": []}]
    assert copied(frozen)["large"] == 1 << 70
