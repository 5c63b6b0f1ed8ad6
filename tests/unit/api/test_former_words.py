"""Words that stored objects may still have."""

import pytest

from deepseek_operator.api.v1alpha1.serving.rollout import Rollout


@pytest.mark.parametrize(
    ("stored", "read"), [("Surge", "RollingUpdate"), ("Replace", "Recreate"), ("Recreate", "Recreate")]
)
def test_a_strategy_that_was_stored_under_its_former_name_is_read(stored: str, read: str) -> None:
    assert Rollout.model_validate({"strategy": stored}).strategy == read
