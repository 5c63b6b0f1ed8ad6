"""Serving and training requests for tests, from the catalogue and the built-in profiles."""

from dataclasses import replace

from deepseek_operator.domain.catalogue import find
from deepseek_operator.domain.engines import DEFAULT_VERSIONS, ServingRequest
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.profiles import resolve

GIB = 1 << 30
TP8 = Layout(tensor=8)


def serving(
    model: str = "deepseek-r1",
    accelerator: str = "h200",
    layout: Layout = TP8,
    engine: str = "vllm",
    **values: object,
) -> ServingRequest:
    """One replica of a catalogue model, in its native format unless ``storage`` says otherwise."""
    entry = find(model)
    assert entry.architecture is not None
    request = ServingRequest(
        model=entry.id,
        family=entry.family,
        path=entry.hub[0],
        architecture=entry.architecture,
        storage=entry.architecture.native_format,
        weights_bytes=int((entry.stored_gib or 15.0) * GIB),
        layout=layout,
        nodes=1,
        profile=resolve(accelerator),
        version=DEFAULT_VERSIONS[engine],
        served_name=entry.id,
    )
    return replace(request, **values)  # type: ignore[arg-type]
