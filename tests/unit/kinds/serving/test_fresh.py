"""What is remembered of the present operator's answers is what it would answer now."""

from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.serving.devices import planned
from deepseek_operator.kinds.serving.fresh import Fresh
from deepseek_operator.kinds.serving.revision import UPDATE
from tests.support.calls import counted
from tests.support.servings import a_replica, a_serving

MODEL = ResolvedModel(reference="r", claim_name="models", sub_path="m")


def an_owner(spec: dict[str, Any] | None = None, **metadata: Any) -> DeepSeekServing:
    manifest = a_replica(**(spec or {}))
    return DeepSeekServing.model_validate({**manifest, "metadata": {**manifest["metadata"], **metadata}})


OTHERS = {
    "model": an_owner({"model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}}}),
    "accelerator": an_owner({"accelerator": {"profile": "nvidia-h100-80"}}),
    "flags": an_owner({"engine": {"type": "vllm", "args": ["--max-num-seqs=8"]}}),
    "pod": an_owner({"pod": {"nodeSelector": {"a": "b"}}}),
    "refused": an_owner({"parallelism": {"tensor": 7}}),
    "no profile": DeepSeekServing.model_validate(a_serving()),
    "name": an_owner(name="other"),
    "namespace": an_owner(namespace="other"),
    "uid": an_owner(uid="other"),
    "update": an_owner(annotations={UPDATE: "a"}),
}


@pytest.mark.parametrize("changed", OTHERS)
def test_another_input_has_another_answer(changed: str) -> None:
    """Asked of one that has answered for something else just before, and of one that never did."""
    used, owners = Fresh(Configuration()), (an_owner(), OTHERS[changed], an_owner())
    for owner in owners:
        assert used.plan(owner) == planned(owner, Configuration())
        assert used.pods(owner, "rev", MODEL) == Fresh(Configuration()).pods(owner, "rev", MODEL)
    before, after = ((used.plan(owner), used.pods(owner, "rev", MODEL)) for owner in owners[:2])
    assert before != after


@pytest.mark.parametrize("spec", [{}, {"replicas": 5}, {"parallelism": {"tensor": 7}}])
def test_the_same_input_is_answered_once_whatever_the_status_says(spec: dict[str, Any]) -> None:
    fresh, owner = Fresh(Configuration()), an_owner(spec)
    told = owner.model_copy(
        update={"status": owner.status.model_copy(update={"plan": planned(owner, Configuration())})}
    )
    with counted(planned) as calls:
        assert fresh.plan(owner) == fresh.plan(told)
        assert fresh.pods(owner, "rev", MODEL) == fresh.pods(told, "rev", MODEL)
    assert calls["planned"] == 1


def test_no_more_is_remembered_than_was_said() -> None:
    fresh, first, second = Fresh(Configuration(), remembered=1), an_owner(), an_owner(name="other")
    with counted(planned) as calls:
        for owner in (first, second, first, first):
            fresh.plan(owner)
    assert calls["planned"] == 3
    assert (fresh.has_plan(first), fresh.has_plan(second)) == (True, False)
