"""By which names a serving is asked for, and a revision of it: those that clients write as `model`.

Names are part of a revision, since its engine must know them. What is told of one that runs is read off its record; the
spec says it of the one that it asks for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.domain.programs.engines.table import ENGINES, USUAL


def own_name(owner: DeepSeekServing) -> str:
    """The model's, by which it is asked for where nothing else is written."""
    return owner.spec.model.name or owner.metadata.name


def written_names(owner: DeepSeekServing) -> tuple[str, ...]:
    """`gateway.models`, where they are others than the own name alone."""
    names = tuple(owner.spec.gateway.models) if owner.spec.gateway is not None else ()
    return names if names != (own_name(owner),) else ()


def engine_names(owner: DeepSeekServing) -> tuple[str, ...]:
    """All to which the engine shall answer with the model itself; it shows the first. The own name is one of them, whoever
    asks by it: inside the cluster nobody need know of a gateway."""
    return tuple(dict.fromkeys((*written_names(owner), own_name(owner))))


def client_names(owner: DeepSeekServing) -> tuple[str, ...]:
    """What clients may write as `model` by the spec."""
    names = written_names(owner) or (own_name(owner),)
    return with_adapters(names, [adapter.name for adapter in owner.spec.adapters], owner.spec.engine.type)


def with_adapters(models: Sequence[str], adapters: Iterable[str], engine: object) -> tuple[str, ...]:
    """Names of a model, and those by which its adapters are asked for beside each of them: by the engine of that type, or by
    the usual one where there is none."""
    entry = ENGINES.get(engine, USUAL) if isinstance(engine, str) else USUAL
    beside = (entry.asked_as(model, adapter) for adapter in adapters for model in models)
    return tuple(dict.fromkeys((*models, *beside)))


def recorded_names(owner: DeepSeekServing, record: Mapping[str, Any]) -> tuple[str, ...]:
    """What clients may write as `model` of a revision, by what it was made from (`user_input`); by the spec where that is
    not known. The names of its model come first, so that the first is one to which its engine answers."""
    made_from = record.get("input")
    if not isinstance(made_from, Mapping):
        return client_names(owner)
    return names_in(made_from, owner.metadata.name)


def names_in(parts: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """What clients may write as `model` of the serving of that name, by parts of a spec as they are stored, whoever wrote them:
    `models` (those of the gateway), `model`, `adapters`, `engine`."""
    named, adapters, model = _texts(parts.get("models")), parts.get("adapters"), parts.get("model")
    own = (model.get("name") if isinstance(model, Mapping) else None) or name
    beside = [one.get("name") for one in adapters if isinstance(one, Mapping)] if isinstance(adapters, list) else []
    engine = parts.get("engine")
    type_ = engine.get("type") if isinstance(engine, Mapping) else None
    return with_adapters(named or (str(own),), _texts(beside), type_)


def _texts(names: object) -> tuple[str, ...]:
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
