"""Every optimizer: killed and resumed to the same bits, and held to its authors'."""

import json
from collections import Counter
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchao.optim import AdamW8bit as TorchAo

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import OPTIMIZERS, Custom
from deepseek_runtime.trainer.adamw8bit import AdamW8bit, block_of
from deepseek_runtime.trainer.model import outline
from deepseek_runtime.trainer.muon import Muon, orthogonal
from deepseek_runtime.trainer.stacks import Stack, matrices_of
from tests.runtime.families import FAMILIES
from tests.runtime.lives import KILLED_IN, STEPS, killed_and_resumed
from tests.runtime.observed import Document, Observed
from tests.runtime.workplace import Workplace, of

# Wide enough that moments are kept in 8 bits: 64 numbers of a row, 4096 of a parameter.
WIDE = {"hidden_size": 64, "intermediate_size": 128, "moe_intermediate_size": 64}
LIVING = ("qwen2", "llama-tied", "deepseek_v3")


def settings(workplace: Workplace, family: str, method: str, optimizer: str) -> Document:
    """Full from random weights, LoRA beside those that a short training of all of them left."""
    model = {"custom": {**FAMILIES[family], **WIDE}}
    asked: Document = {"hyperparameters.optimizer": optimizer, "hyperparameters.maxSteps": STEPS}
    asked["hyperparameters.learningRate"] = "3e-3"
    if method == "Full":
        return {"model": model, **asked, "hyperparameters.weightDecay": "0.1"}
    base = str(workplace.train({"model": model}).export())
    targets = ["Linear", "Experts"] if "deepseek" in family else ["Linear"]
    lora = {"type": "LoRA", "lora": {"rank": 64, "targets": targets}}
    return {"model": {"path": base}, "method": lora, "datasets": of("few", "others"), **asked}


@pytest.mark.parametrize("method", ["Full", "LoRA"])
@pytest.mark.parametrize("family", LIVING)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_killed_training_goes_on_to_the_same_bits(
    workplace: Workplace, tmp_path: Path, optimizer: str, family: str, method: str
) -> None:
    changes = settings(workplace, family, method, optimizer)
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert 0 < begun < KILLED_IN
    assert killed.losses == undisturbed.losses[: KILLED_IN - 1]
    assert resumed.losses == undisturbed.losses[begun:]
    assert method == "LoRA" or undisturbed.losses[-1] < undisturbed.losses[0]
    usual = workplace.train({**changes, "hyperparameters.optimizer": "AdamW"})
    assert (usual.losses == undisturbed.losses) == (optimizer == "AdamW")


@pytest.mark.parametrize("other", OPTIMIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_checkpoint_of_another_optimizer_is_refused_with_the_one_to_write(
    workplace: Workplace, tmp_path: Path, optimizer: str, other: str
) -> None:
    changes = settings(workplace, "qwen2", "Full", optimizer)
    first = workplace.attempt(tmp_path, {**changes, "hyperparameters.maxSteps": 2})
    ancestry = json.dumps([{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}])
    told: dict[str, Any] = {"ATTEMPT": "2", "POD_UID": "second", "RESUME_ANCESTRY": ancestry}

    def second() -> Observed:
        return workplace.attempt(tmp_path, {**changes, "hyperparameters.optimizer": other}, **told)

    assert first.kept == [2]
    if optimizer == other:
        assert second().began == (2, "first")
    else:
        with pytest.raises(
            Invalid, match=f"holds the state of optimizer {optimizer}, .* write hyperparameters.optimizer {optimizer} "
        ):
            second()


def test_moments_of_8_bits_shrink_the_checkpoint(workplace: Workplace, tmp_path: Path) -> None:
    """A quarter of the moments: 4 + 2 bytes and the scales, in place of 12."""
    sizes = {}
    for optimizer in ("AdamW", "AdamW8bit", "Muon"):
        changes = settings(workplace, "llama", "Full", optimizer)
        run = workplace.attempt(tmp_path / optimizer, {**changes, "hyperparameters.maxSteps": 1})
        sizes[optimizer] = sum(file.stat().st_size for file in (run.root / "first" / "step-00000001").glob("*.distcp"))
    assert sizes["AdamW8bit"] < 0.65 * sizes["AdamW"]
    assert sizes["Muon"] < 0.9 * sizes["AdamW"]


# ---- arithmetic ------------------------------------------------------------------------------------------------------

SHAPES = ((512, 256), (64, 192), (3, 128, 64), (96, 100), (256,), (8, 8))


def parameters(shapes: tuple[tuple[int, ...], ...]) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape) * 0.02) for shape in shapes]


def stepped(
    made: Callable[[list[nn.Parameter]], torch.optim.Optimizer], shapes: tuple[tuple[int, ...], ...]
) -> list[nn.Parameter]:
    moved = parameters(shapes)
    optimizer = made(moved)
    for step in range(6):
        generator = torch.Generator().manual_seed(step)
        for parameter in moved:
            parameter.grad = torch.randn(parameter.shape, generator=generator) * 1e-3
        optimizer.step()
    return moved


def test_adamw8bit_is_torchaos_and_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows are of whole blocks of 256, both cut a parameter alike."""
    shapes = ((512, 256), (4, 64, 512), (100, 10), (256,))
    common: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.95)}
    with torch.compiler.set_stance("force_eager"):
        theirs = stepped(lambda moved: TorchAo(moved, weight_decay=0.1, **common), shapes)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the image has no compiler")

    monkeypatch.setattr(torch, "compile", never)
    ours = stepped(lambda moved: AdamW8bit([{"params": moved, "weight_decay": 0.1}], **common), shapes)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_adamw8bit_computes_parts_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(moved: list[nn.Parameter]) -> AdamW8bit:
        return AdamW8bit([{"params": moved}], lr=1e-3, betas=(0.9, 0.95))

    whole = stepped(made, SHAPES)
    monkeypatch.setattr("deepseek_runtime.trainer.adamw8bit.AT_ONCE", 1000)
    assert all(torch.equal(one, other) for one, other in zip(stepped(made, SHAPES), whole, strict=True))


@pytest.mark.parametrize(
    ("shape", "block"),
    [((512, 256), 256), ((64, 192), 64), ((100, 896), 128), ((3, 128, 64), 256), ((96, 100), None), ((8192,), None), ((8, 64), None)],
)  # fmt: skip
def test_blocks_never_reach_into_the_next_row(shape: tuple[int, ...], block: int | None) -> None:
    """Hence they are the same wherever a parameter is cut between rows."""
    assert block_of(shape) == block


def test_muon_is_torchs_where_that_can_be_had() -> None:
    shapes = ((64, 192), (192, 64), (96, 100))
    theirs = stepped(
        lambda moved: torch.optim.Muon(moved, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"), shapes
    )
    ours = stepped(lambda moved: muon(moved, torch.bfloat16), shapes)
    for one, other, begun in zip(ours, theirs, parameters(shapes), strict=True):
        assert (one - other).norm() < 0.01 * (other - begun).norm(), "bf16 is rounded in another order"


def muon(moved: list[nn.Parameter], kind: torch.dtype = torch.float32, stack: Stack = Stack()) -> Muon:  # noqa: B008
    return Muon(dict.fromkeys(moved, stack), lr=1e-2, weight_decay=0.1, kind=kind)


@pytest.mark.parametrize("shape", [(3, 40, 64), (3, 64, 40), (1, 8, 200)])
def test_singular_values_become_about_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    turned = orthogonal(torch.randn(shape))
    for matrix in turned:
        values = torch.linalg.svdvals(matrix)
        assert 0.6 < values.min() <= values.max() < 1.3
    assert orthogonal(torch.zeros(shape)).count_nonzero() == 0


@pytest.mark.parametrize(
    ("stack", "shape", "apart"),
    [
        (Stack(), (6, 10), [lambda whole: whole]),
        (Stack(), (2, 6, 10), [lambda whole: whole[0], lambda whole: whole[1]]),
        (Stack(2), (2, 6, 10), [lambda whole: whole[0, :3], lambda whole: whole[0, 3:], lambda whole: whole[1, :3], lambda whole: whole[1, 3:]]),
        (Stack(3), (6, 10), [lambda whole: whole[:2], lambda whole: whole[2:4], lambda whole: whole[4:]]),
        (Stack(3, is_woven=True), (10, 6), [lambda whole: whole[:, 0::3], lambda whole: whole[:, 1::3], lambda whole: whole[:, 2::3]]),
    ],
)  # fmt: skip
def test_each_matrix_of_a_stack_is_turned_apart(
    stack: Stack, shape: tuple[int, ...], apart: list[Callable[[torch.Tensor], torch.Tensor]]
) -> None:
    (moved,) = stepped(lambda those: muon(those, stack=stack), (shape,))
    (begun,) = parameters((shape,))
    for part in apart:

        def alone(those: list[nn.Parameter], part: Callable[[torch.Tensor], torch.Tensor] = part) -> "Alone":
            return Alone(those[0], part)

        (by_itself,) = stepped(alone, (shape,))
        assert torch.allclose(part(moved), part(by_itself), atol=1e-6)
        assert not torch.allclose(part(moved), part(begun), atol=1e-4)


class Alone:
    """Muon for one matrix of a parameter, as a parameter of its own."""

    def __init__(self, whole: nn.Parameter, part: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.whole, self.part = whole, part
        self.own = nn.Parameter(part(whole).detach().clone())
        self.muon = muon([self.own])

    def step(self) -> None:
        assert self.whole.grad is not None
        self.own.grad = self.part(self.whole.grad).clone()
        self.muon.step()
        with torch.no_grad():
            self.part(self.whole).copy_(self.own)


LEFT_TO_ADAMW = (
    "embed_tokens.weight",
    "lm_head.weight",
    "norm",
    "bias",
    "mlp.gate.weight",
    "sinks",
    "_hc.",
    ".hc_head.",
)


@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_of_layers_are_turned_and_nothing_else(family: str) -> None:
    model, _ = outline(Custom(FAMILIES[family]))
    stacks = matrices_of(model, list(model.parameters()))
    turned = {name for name, parameter in model.named_parameters() if parameter in stacks}
    left = {name for name, _ in model.named_parameters()} - turned
    assert all(any(part in name for part in LEFT_TO_ADAMW) for name in left), left
    assert not any(any(part in name for part in LEFT_TO_ADAMW) for name in turned), turned
    counts = Counter(stacks[parameter].count for parameter in stacks if parameter.ndim == 3)
    assert counts == ({1: counts[1], 2: counts[1]} if "deepseek" in family else {}), "gate and up are two matrices"


def test_steps_are_as_large_as_adamws() -> None:
    (moved,), (begun,) = stepped(muon, ((64, 192),)), parameters(((64, 192),))
    change = (moved - begun).norm() / sqrt(64 * 192)
    assert 0.2 * 1e-2 < change < 6 * 0.3 * 1e-2
