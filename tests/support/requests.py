"""Serving and training requests for tests, from the catalogue and the built-in profiles."""

from collections.abc import Mapping
from dataclasses import replace

from deepseek_operator.domain.devices.profiles import resolve
from deepseek_operator.domain.layout import Layout, Sharding
from deepseek_operator.domain.models.catalogue import Model, find
from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.engines.request import EngineRequest
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.trainers.request import (
    DataFormat,
    Dataset,
    Hyperparameters,
    Objective,
    TrainerRequest,
)
from deepseek_operator.domain.programs.trainers.table import TRAINERS

GIB = 1 << 30
TP8 = Layout(tensor=8)
DATA8 = Layout(data=8, sharding=Sharding.ZERO3, shard=8)


def _stored_bytes(entry: Model) -> int:
    """Size on disk: as published, else of 16-bit weights or of FP8 ones."""
    assert entry.architecture is not None
    each = 2 if entry.architecture.native_format == "bf16" else 1
    return int(entry.stored_gib * GIB) if entry.stored_gib else each * total(entry.architecture)


def serving(
    model: str = "deepseek-r1",
    accelerator: str = "h200",
    layout: Layout = TP8,
    engine: str = "vllm",
    **values: object,
) -> EngineRequest:
    """One replica of a catalogue model, in its native format unless ``storage`` says otherwise."""
    entry = find(model)
    assert entry.architecture is not None
    request = EngineRequest(
        model=entry.id,
        family=entry.family,
        path=entry.hub[0],
        architecture=entry.architecture,
        storage=entry.architecture.native_format,
        weights_bytes=_stored_bytes(entry),
        layout=layout,
        nodes=1,
        profile=resolve(accelerator),
        version=ENGINES[engine].version,
        served_name=entry.id,
    )
    return replace(request, **values)  # type: ignore[arg-type]


LEARNT: Mapping[object, Dataset] = {
    Objective.PRETRAIN: Dataset("/data/corpus_text_document", DataFormat.TEXT),
    Objective.DPO: Dataset("/data/preferences.jsonl", DataFormat.PREFERENCE),
}
NEEDED: Mapping[object, tuple[str, ...]] = {
    Objective.GRPO: ("--reward_funcs", "accuracy"),
    Objective.DISTILL: ("--teacher_model_server", "http://teacher:8000", "--gkd_logits_topk", "20"),
}
"""What an objective can't do without, in the words of the trainer that has it."""


def training(
    model: str = "deepseek-r1-distill-llama-8b",
    accelerator: str = "h100",
    layout: Layout = DATA8,
    trainer: str = "builtin",
    **values: object,
) -> TrainerRequest:
    """One training of a catalogue model over one file of prompts, or of text where it is pre-trained."""
    entry = find(model)
    assert entry.architecture is not None
    objective = values.get("objective")
    dataset = LEARNT.get(objective, Dataset("/data/train.jsonl"))
    request = TrainerRequest(
        model=entry.id,
        family=entry.family,
        path="/model",
        architecture=entry.architecture,
        layout=layout,
        nodes=max(1, layout.gpus // 8),
        profile=resolve(accelerator),
        version=TRAINERS[trainer].version,
        datasets=(dataset,),
        extra_args=NEEDED.get(objective, ()),
        hyper=Hyperparameters(global_batch=64, max_steps=1000, epochs=None),
    )
    return replace(request, **values)  # type: ignore[arg-type]
