"""What ``size MODEL`` answers: names and numbers of a command line become one question of ``domain.sizing``, without a cluster.

A model is a name of the catalogue or the fields of a ``config.json``; an accelerator is a profile of the operator or
of the administrator's file. Nothing is guessed: an unknown name is an error that says which ones are near.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from deepseek_operator.domain.devices.profiles import Profile, Profiles
from deepseek_operator.domain.models.catalogue import find_variant, models
from deepseek_operator.domain.models.model import Architecture, from_config_json
from deepseek_operator.domain.models.parameters import total
from deepseek_operator.domain.programs.engines.table import RECOMMENDED, memory_lines
from deepseek_operator.domain.sizing import architecture_of, size_serving, size_training
from deepseek_operator.domain.sizing.fit import Refused, Sized
from deepseek_operator.domain.sizing.overheads import EngineMemory
from deepseek_operator.domain.sizing.report import render
from deepseek_operator.domain.sizing.request import ServingRequest, TrainingRequest
from deepseek_operator.domain.sizing.training_state import Method, Precision
from deepseek_operator.domain.sizing.weights import FORMATS


@dataclass(frozen=True)
class Question:
    """What a person asks. None leaves a choice to the operator.

    Attributes:
        model: name in the catalogue, or what a private model is called.
        config: fields of a private model's config.json; None: the catalogue's model.
        accelerator: name of a profile.
        method: what is trained; None: the model is served.
        sequence: tokens per training sequence, or of the longest request.
        quantization: storage format of the served weights, or of a frozen base.
        gpus: devices in all; nodes: nodes of whole devices.
    """

    model: str
    accelerator: str
    config: Mapping[str, Any] | None = None
    method: Method | None = None
    precision: Precision = Precision.BF16
    sequence: int | None = None
    quantization: str | None = None
    gpus: int | None = None
    nodes: int | None = None
    engine: str = RECOMMENDED.memory.name
    concurrency: int = 1
    global_batch: int | None = None
    keep: int = 2
    tokens: int | None = None
    fused_loss: bool = False


@dataclass(frozen=True)
class Answer:
    """The text for a person, and whether it fits."""

    text: str
    fits: bool
    result: Sized | Refused

    def json(self) -> str:
        """The whole result as JSON: ``fits``, and every field of the answer by its name; sizes in bytes."""
        return json.dumps({"fits": self.fits, **asdict(self.result)}, indent=2, default=_plain) + "\n"


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else str(value)


def answer(question: Question, profiles: Profiles) -> Answer:
    """The sizing of one question.

    Raises:
        LookupError: no such model or profile; names the nearest.
        ValueError: a number that no request may hold, or a config.json that can't be read.
    """
    profile = profiles.resolve(question.accelerator)
    if question.quantization not in (None, *FORMATS):
        raise ValueError(f"no format {question.quantization!r} of weights; known are {', '.join(FORMATS)}")
    architecture = _architecture(question)
    if isinstance(architecture, Refused):
        return Answer(render(architecture), False, architecture)
    result = _trained(question, architecture, profile) if question.method else _served(question, architecture, profile)
    return Answer(f"{_title(question, profile)}\n\n{render(result)}", isinstance(result, Sized), result)


def _architecture(question: Question) -> Architecture | Refused:
    if question.config is not None:
        return from_config_json(question.config)
    return architecture_of(find_variant(question.model)[0])


_FULL = ("fullfinetuning", "fullfinetune", "fullparameter", "sft")


def method_of(text: str) -> Method:
    """The method of a word in any case, with or without dashes. Raises ValueError, naming all, where there is none."""
    wanted = "".join(letter for letter in text.casefold() if letter.isalnum())
    for method in Method:
        if wanted == method.value.casefold() or (method is Method.FULL and wanted in _FULL):
            return method
    raise ValueError(f"no method {text!r}; write one of {', '.join(method.value for method in Method)}")


def _stored_as(question: Question) -> str | None:
    """The format that is asked for, else the one that the name says."""
    if question.quantization is not None or question.config is not None:
        return question.quantization
    return find_variant(question.model)[1]


def _memory(engine: str) -> EngineMemory:
    """How an engine of this name divides a device. Raises ValueError, naming all, where there is none."""
    known = memory_lines()
    if engine not in known:
        raise ValueError(f"no engine {engine!r}; write one of {', '.join(known)}")
    return known[engine]


def _title(question: Question, profile: Profile) -> str:
    if question.method is None:
        return f"{question.model} served by {question.engine} on {profile.name}"
    return f"{question.model} trained ({question.method.value}) on {profile.name}"


def _served(question: Question, architecture: Architecture, profile: Profile) -> Sized | Refused:
    nodes, per_node = _devices(question, profile)
    return size_serving(
        ServingRequest(
            architecture,
            profile.accelerator,
            engine=_memory(question.engine),
            storage=_stored_as(question),
            context=question.sequence,
            concurrency=question.concurrency,
            nodes=nodes,
            per_node=per_node,
        )
    )


def _trained(question: Question, architecture: Architecture, profile: Profile) -> Sized | Refused:
    assert question.method is not None
    nodes, per_node = _devices(question, profile)
    return size_training(
        TrainingRequest(
            architecture,
            profile.accelerator,
            method=question.method,
            precision=question.precision,
            sequence=2048 if question.sequence is None else question.sequence,
            base_storage=question.quantization,
            global_batch=question.global_batch,
            fused_loss=question.fused_loss,
            nodes=nodes,
            per_node=per_node,
            keep=question.keep,
            total_tokens=question.tokens,
        )
    )


def _devices(question: Question, profile: Profile) -> tuple[int | None, int | None]:
    """Nodes and devices of each, from devices in all: whole nodes beyond the first."""
    usual, gpus, nodes = profile.accelerator.per_node, question.gpus, question.nodes
    if gpus is None:
        return nodes, None
    if gpus < 1 or (nodes is not None and nodes < 1):
        raise ValueError("gpus and nodes must be at least 1")
    if nodes is None:
        nodes = 1 if gpus <= usual else gpus // usual
    elif gpus % nodes:
        raise ValueError(f"{gpus} devices do not divide over {nodes} nodes: write a multiple of {nodes}")
    if gpus % nodes or gpus // nodes > usual:
        raise ValueError(f"{gpus} devices of {profile.name} do not fill nodes of {usual}: write a multiple of {usual}")
    return nodes, gpus // nodes


def config_of(text: str, file: str) -> Mapping[str, Any]:
    """The fields of a private model's config.json.

    Raises:
        ValueError: the text is no JSON object; names the file.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is no JSON that can be read: {error}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file} must hold a JSON object, the fields of a model's config.json")
    return config


def listing(profiles: Profiles) -> str:
    """Every model and every accelerator that can be asked for, as two tables."""
    return "\n".join(["models", *_models(), "", "accelerators", *_accelerators(profiles)]) + "\n"


def _models() -> Iterator[str]:
    width = max(len(model.id) for model in models())
    for model in models():
        shape = model.architecture
        size = "shape not published, not sized"
        if shape is not None:
            size = f"{total(shape) / 1e9:7.1f}e9 parameters, context {shape.context:,}, {shape.native_format}"
        yield f"  {model.id:<{width}}  {size}"


def _accelerators(profiles: Profiles) -> Iterator[str]:
    width = max(map(len, profiles.names()))
    for name in profiles.names():
        device = profiles.by_name[name].accelerator
        runs = ", ".join(sorted(device.dtypes | device.quantizations))
        yield f"  {name:<{width}}  {device.per_node} × {device.memory_gib:g} GiB  {device.resource}  ({runs})"
