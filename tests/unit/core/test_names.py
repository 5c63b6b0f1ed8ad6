"""Names and digests are stored in clusters: they may never change."""

import hashlib
import json
from enum import StrEnum

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepseek_operator.core import names
from deepseek_operator.kinds.serving.names import serving_revision, serving_service
from deepseek_operator.kinds.training.names import training_claim, training_job, training_service

owners = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
uids = st.uuids().map(str)


@given(owners, uids, st.integers(1, 9999))
def test_every_name_and_a_pods_host_name_fit_a_dns_label(name: str, uid: str, attempt: int) -> None:
    job = training_job(name, uid, attempt)
    made = (
        f"{job}-127",
        training_service(name),
        training_claim(name, uid),
        serving_revision(name, names.revision_hash({"a": 1})),
        serving_service(name),
    )
    assert max(map(len, made)) <= 63


@given(owners, st.lists(uids, min_size=2, max_size=2, unique=True))
def test_a_successor_of_the_same_name_never_meets_the_data_of_its_predecessor(name: str, pair: list[str]) -> None:
    first, second = pair
    if names.uid_hash(first) != names.uid_hash(second):
        assert training_claim(name, first) != training_claim(name, second)
        assert training_job(name, first, 1) != training_job(name, second, 1)


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert names.digest(dict(reversed(value.items()))) == names.digest(value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(_json)
@example("a\x7fb")
@example({"rate": 1e-05})
@example([0.00001])
@example([1, 1e-05])
@example({"a": -1e-05})
@example(1e-05)
@example(1e16)
@example({"image": "trainer:1.2", "size": 2**70})
@example({"ü": 1, "z": 2, "\U0001f600": 3, "\uffff": 4})
@example("\ud800")
def test_a_digest_is_that_of_what_the_standard_library_writes(value: object) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert names.digest(value) == hashlib.sha256(text.encode()).hexdigest()[:16]


class _Word(StrEnum):
    GREEN = "green"


@pytest.mark.parametrize("value", [{_Word.GREEN: 1}, [_Word.GREEN], {"a": (1, 2)}, {1: "a"}], ids=str)
def test_so_is_that_of_what_becomes_json_only_when_it_is_written(value: object) -> None:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert names.digest(value) == hashlib.sha256(text.encode()).hexdigest()[:16]
