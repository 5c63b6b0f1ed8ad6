"""A model from the fields that a user wrote, as an API server hands them on."""

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Custom
from tests.runtime.pods import MODEL
from tests.runtime.whole_model import build


@pytest.mark.parametrize(
    "written",
    [
        {"routed_scaling_factor": 2, "rms_norm_eps": 1, "attention_dropout": 0, "initializer_range": 1},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 10000}},
        {
            "rope_theta": 10000,
            "rope_scaling": {"type": "yarn", "factor": 40, "beta_fast": 32, "beta_slow": 1, "mscale": 1},
        },
        {"model_type": "llama", "rope_theta": 500000, "attention_dropout": 0},
    ],
    ids=["decimals", "rope", "rope of older configurations", "another architecture"],
)
def test_a_decimal_may_come_without_its_point(written: dict[str, object]) -> None:
    model, _ = build(Custom({**MODEL, **written}), seed=0)
    for name in {"routed_scaling_factor", "rms_norm_eps", "initializer_range"} & set(written):
        assert isinstance(getattr(model.config, name), float)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ({"hidden_size": "64"}, "hidden_size"),
        ({"hidden_size": 64.5}, "hidden_size"),
        ({"routed_scaling_factor": True}, "routed_scaling_factor"),
        ({"model_type": "deepseek_v99"}, "deepseek_v99"),
        ({"model_type": None}, "model_type"),
    ],
)
def test_fields_that_no_configuration_has_are_the_users_error(written: dict[str, object], named: str) -> None:
    with pytest.raises(Invalid, match=named):
        build(Custom({**MODEL, **written}), seed=0)
