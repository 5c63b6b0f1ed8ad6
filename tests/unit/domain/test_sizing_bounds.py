"""Whatever a stranger may write, sizing does a bounded amount of work, and what it leaves out changes no answer."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deepseek_operator.domain import sizing
from deepseek_operator.domain.devices.profiles import resolve
from deepseek_operator.domain.models.catalogue import find
from deepseek_operator.domain.models.model import MOST_LAYERS, Architecture, UnknownArchitecture, from_config_json
from deepseek_operator.domain.models.parameters import prediction_weights
from deepseek_operator.domain.programs.engines.table import memory_lines
from deepseek_operator.domain.sizing import alternatives, search, shapes
from deepseek_operator.domain.sizing.activations import Recompute
from deepseek_operator.domain.sizing.fit import Refused, Sized
from deepseek_operator.domain.sizing.request import ALL_AXES, ServingRequest, TrainingRequest

VLLM = memory_lines()["vllm"]

GPU = resolve("nvidia-h100-80").accelerator


def architecture(name: str) -> Architecture:
    known = find(name).architecture
    assert known is not None
    return known


LITE, LLAMA = architecture("deepseek-v2-lite"), architecture("deepseek-llm-7b")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Tries of every search of the test, in order."""
    counts: list[int] = []
    best_of = search.best_of

    def counted(request: Any, shapes: Any, tries: Callable[..., Iterator[Any]]) -> Any:
        counts.append(0)
        mine = len(counts) - 1

        def one_by_one(*arguments: Any) -> Iterator[Any]:
            for found in tries(*arguments):
                counts[mine] += 1
                yield found

        return best_of(request, shapes, one_by_one)

    sizing._size_training.cache_clear()
    sizing._size_serving.cache_clear()
    for module in (sizing, search, alternatives):
        monkeypatch.setattr(module, "best_of", counted)
    yield counts
    sizing._size_training.cache_clear()
    sizing._size_serving.cache_clear()


@pytest.mark.parametrize("architecture", [LITE, LLAMA], ids=["mixture", "dense"])
@pytest.mark.parametrize("sequence", [720_720, 1_048_573])
@pytest.mark.parametrize("nodes", [None, 1024])
@pytest.mark.parametrize("per_node", [None, 64])
def test_a_batch_that_no_cluster_holds_is_refused_with_little_work(
    tried: list[int], architecture: Architecture, sequence: int, nodes: int | None, per_node: int | None
) -> None:
    request = TrainingRequest(architecture, GPU, sequence=sequence, micro_batch=65_536, nodes=nodes, per_node=per_node)
    assert isinstance(sizing.size_training(request), Refused)
    assert sum(tried) < 2000, "it was 1,206,186 before what can't have room was left out"


def test_a_cache_that_no_cluster_holds_is_refused_with_little_work(tried: list[int]) -> None:
    long = from_config_json({**CONFIG, "max_position_embeddings": 1 << 39})
    assert isinstance(sizing.size_serving(ServingRequest(long, GPU, VLLM)), Refused)
    assert sum(tried) < 2000


def test_one_search_ends_at_its_number_of_tries(tried: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_TRIES", 50)
    monkeypatch.setattr(shapes, "_may_hold", lambda request, shape: True)
    sizing.size_training(TrainingRequest(LITE, GPU, sequence=720_720, micro_batch=65_536))
    assert max(tried) == 50


def test_an_answer_is_remembered(tried: list[int]) -> None:
    request = TrainingRequest(LITE, GPU)
    first = sizing.size_training(request)
    work = sum(tried)
    assert sizing.size_training(TrainingRequest(LITE, GPU)) is first
    assert sum(tried) == work > 0
    assert sizing.size_training(TrainingRequest(LITE, GPU, sequence=8192)) is not first


CONFIG = {
    "num_hidden_layers": 12,
    "hidden_size": 1024,
    "vocab_size": 32_000,
    "max_position_embeddings": 8192,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
}


def requests(seed: int) -> TrainingRequest:
    """One of the requests that a user may write, small enough to be tried whole."""
    dice = random.Random(seed)
    own = dice.random() < 0.8
    return TrainingRequest(
        dice.choice([LITE, LLAMA, from_config_json(CONFIG)]),
        GPU,
        sequence=dice.choice([512, 4096, 16_384, 65_536, 131_072]),
        micro_batch=dice.choice([None, 1, 4, 32]),
        global_batch=None if own else dice.choice([8, 30, 64]),
        recompute=None if own else Recompute.NONE,
        axes=ALL_AXES if own else frozenset({"data"}),
        nodes=dice.choice([None, 1, 2, 4]),
        per_node=dice.choice([None, 1, 8]),
        max_nodes=6,
    )


@pytest.mark.parametrize("seed", range(16))
def test_what_is_left_out_would_not_have_fitted(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    request = requests(seed)
    found = sizing.size_training(request)
    sizing._size_training.cache_clear()
    monkeypatch.setattr(shapes, "_may_hold", lambda request, shape: True)
    monkeypatch.setattr(search, "_room", lambda request: lambda split, stages, level: 0.0)
    whole = sizing.size_training(request)
    sizing._size_training.cache_clear()
    assert type(found) is type(whole)
    if isinstance(found, Sized):
        assert found == whole
    elif isinstance(whole, Refused):
        assert found.reason == whole.reason


@pytest.mark.parametrize(
    "field", ["num_hidden_layers", "num_nextn_predict_layers", "n_routed_experts", "max_position_embeddings"]
)
def test_a_number_that_something_is_repeated_by_is_bounded(field: str) -> None:
    experts = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    try:
        architecture = from_config_json({**CONFIG, **experts, field: (1 << 40) - 1})
    except UnknownArchitecture:
        return
    assert architecture.layers <= MOST_LAYERS
    assert len(prediction_weights(architecture)) < 100 * MOST_LAYERS
