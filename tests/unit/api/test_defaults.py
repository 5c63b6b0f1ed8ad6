"""What a resource has where its user wrote nothing."""

import pytest

from deepseek_operator.api.base import ApiModel
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from tests.support.servings import a_serving
from tests.support.trainings import training


def models(value: object) -> list[ApiModel]:
    """The models that are the value, or that it holds."""
    if not isinstance(value, ApiModel):
        return []
    return [value, *(one for name in type(value).model_fields for one in models(getattr(value, name)))]


@pytest.mark.parametrize(("kind", "written"), [(DeepSeekServing, a_serving()), (DeepSeekTraining, training())])
def test_defaults_are_made_once_for_all_resources(kind: type[ApiModel], written: dict[str, object]) -> None:
    first, second = (models(kind.model_validate(written)) for _ in range(2))
    ours = {id(one) for one in first}
    anew = {type(one).__name__ for one in second if id(one) not in ours}
    assert anew == {kind.__name__, *(type(one).__name__ for one in second if one.model_fields_set)}
