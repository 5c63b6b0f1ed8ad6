"""By which engine's names a revision is measured: the one that it was rendered for, whatever the spec says by now."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.kinds.serving.measured import Measures, measures
from deepseek_operator.kinds.serving.revision import controller_revision
from deepseek_operator.workloads.replicas.keeper import Pods
from tests.support.serving_look import recorded
from tests.support.servings import a_serving, seen_of

VLLM: dict[str, Any] = {
    "engine": {"type": "vllm", "version": "0.33.0"},
    "accelerator": {"profile": "nvidia-h200-141"},
    "model": {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/m"}},
}


def measured(data: Any, **spec: Any) -> Measures:
    """Of a stored revision with that data, behind a spec that asks for SGLang by now unless told otherwise."""
    owner = DeepSeekServing.model_validate(recorded(**VLLM))
    stored = controller_revision(owner, "r", 1, Pods({"spec": {}}), owner.status.resolved)
    stored = {**stored, "data": {**stored["data"], **data}}
    return measures(seen_of(a_serving(**{**VLLM, "engine": {"type": "sglang"}, **spec}), children=[stored]), "r", 60)


def test_a_revision_is_measured_by_the_engine_that_it_was_rendered_for() -> None:
    found = measured({})
    assert (found.engine, found.version) == ("vllm", "0.33.0")
    assert "http_requests_total{" in found.answers()
    assert 'deepseek_revision="r"' in found.answers()


def test_the_usual_engine_has_no_place_in_a_record() -> None:
    assert measured({"input": {"model": {}}}).engine == "builtin"


@pytest.mark.parametrize(
    "forged", [None, "x", [], {"engine": "x"}, {"engine": {"type": "x"}}, {"engine": {"type": ["vllm"]}}], ids=str
)
def test_a_record_that_no_release_has_written_counts_as_none(forged: Any) -> None:
    assert measured({"input": forged}).engine == "sglang"


@pytest.mark.parametrize("version", ["x", "", 7, None, "1"])
def test_a_version_that_is_none_is_the_usual_one(version: Any) -> None:
    found = measured({"input": {"engine": {"type": "vllm", "version": version}}})
    assert (found.engine, found.version) == ("vllm", None)
    assert found.names


def test_a_revision_without_a_record_is_measured_by_the_spec() -> None:
    found = measures(seen_of(a_serving(engine={"type": "custom", "image": "a:1"})), "gone", 60)
    assert found.engine == "custom"
