"""A cause that several kinds tell has one name, and one remedy unless that is a field of the kind."""

from deepseek_operator.api.v1alpha1.training import result
from deepseek_operator.kinds.serving.reasons import ALL
from deepseek_operator.kinds.training.reasons import ADVICE, Reason
from deepseek_operator.workloads import reasons as shared

TRAINING = {reason.value: advice for reason, advice in ADVICE.items()}
SHARED = {**shared.ADVICE, **result.ADVICE}
SERVING = {reason.name: reason.advice for reason in ALL}


def test_every_reason_has_advice() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(TRAINING.values())
    assert all(SERVING.values())


def test_what_is_the_same_for_both_kinds_is_said_in_one_place() -> None:
    alike = {name for name in TRAINING.keys() & SERVING.keys() if TRAINING[name] == SERVING[name]}
    assert alike == set(SHARED) - {shared.WAITING_FOR_API}, "neither owns what a cluster may lack"
    assert not set(shared.ADVICE) & set(result.ADVICE)
    assert all(TRAINING[name] == SERVING[name] == SHARED[name] for name in alike)


def test_a_remedy_that_both_kinds_share_names_no_field_of_one() -> None:
    owned = (
        "engine.",
        "runtime.",
        "trainer.",
        "rollout.",
        "checkpoints.",
        "hyperparameters.",
        "this training",
        "serving",
    )
    assert {name for name, advice in SHARED.items() if any(word in advice for word in owned)} == set()
