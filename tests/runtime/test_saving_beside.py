"""A save holds up no step but for what must be copied before the parameters move: told by counts, by no clock.

The copy is as slow as the passes of the next step, the disk as slow as all that is left of it: whoever waited for one of
them in between would wait in vain, for LONGEST_S.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from deepseek_runtime.spec import OPTIMIZERS
from deepseek_runtime.trainer import saver, snapshot
from deepseek_runtime.trainer.snapshot import Snapshot
from tests.runtime.observed import Document, Observed
from tests.runtime.workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")

LONGEST_S, MOMENT_S = 60.0, 0.2
STEPS = 4
_LORA = {"model": lambda place: {"path": place.export()}, "method": {"type": "LoRA", "lora": {"rank": 8}}}
WAYS: dict[str, dict[str, object]] = {
    **{optimizer: {"hyperparameters.optimizer": optimizer} for optimizer in OPTIMIZERS},
    "LoRA": dict(_LORA),
    "LoRA, compressed": {**_LORA, "hyperparameters.gradientCompression": {"type": "PowerSGD", "rank": 1}},
    "measured": {"hyperparameters.evalEverySteps": 1},
    "with dropout": {
        "model": lambda place: {"path": place.with_dropout()},
    },
}


@dataclass
class Slow:
    """What happened, in its order; a pass that follows lets the copy go on, a step that follows the disk."""

    happened: list[str] = field(default_factory=list)
    passes: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    moves: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    mover: Optimizer | None = None

    def wait(self, what: threading.Semaphore) -> None:
        if self.happened.count("save") < STEPS:  # none follows the last
            assert what.acquire(timeout=LONGEST_S), self.happened

    def passed(self, module: nn.Module, *_: object) -> None:
        if isinstance(module, nn.Embedding) and module.training and "save" in self.happened:
            self.happened.append("pass")
            self.passes.release()

    def moved(self, optimizer: Optimizer, *_: object) -> None:
        self.mover = self.mover or optimizer  # the first of two that share the parameters
        if "save" in self.happened and optimizer is self.mover:
            self.happened.append("move")
            self.moves.release()


@contextmanager
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    seen, copying, write = Slow(), snapshot._copying, saver.Saver._write

    def slow(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> Callable[[], None]:
        seen.happened.append("save")
        copies = copying(pairs)

        def copy() -> None:
            seen.wait(seen.passes)
            threading.Event().wait(MOMENT_S)  # whoever moves parameters before they are copied does so now
            copies()
            seen.happened.append("copied")

        return copy

    def to_disk(self: saver.Saver, *rest: object) -> object:
        seen.wait(seen.moves)
        written = write(self, *rest)  # type: ignore[arg-type]
        seen.happened.append("written")
        return written

    monkeypatch.setattr(snapshot, "_copying", slow)
    monkeypatch.setattr(saver.Saver, "_write", to_disk)
    hooks = [register_module_forward_pre_hook(seen.passed), register_optimizer_step_pre_hook(seen.moved)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def contents(run: Observed) -> dict[int, Mapping[str, str]]:
    """The digest of each file of each checkpoint but torch's own description, which names no numbers."""
    found: dict[int, Mapping[str, str]] = {}
    for step in run.kept:
        files = (run.root / run.name / f"step-{step:08d}").iterdir()
        found[step] = {
            file.name: sha256(file.read_bytes()).hexdigest() for file in files if file.suffix in (".distcp", ".pt")
        }
    return found


@pytest.mark.parametrize("way", WAYS)
def test_save_is_copied_beside_the_next_passes_and_written_beside_the_next_step(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    changes: Document = {"hyperparameters.maxSteps": STEPS, **WAYS[way]}
    settings: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": str(STEPS)}
    plain = workplace.attempt(tmp_path / "plain", changes, **settings)
    with slowly(monkeypatch) as seen:
        slow = workplace.attempt(tmp_path / "slow", changes, **settings)
    each = ["save", "pass", "copied", "move", "written"]
    assert seen.happened == [*(each * (STEPS - 1)), "save", "copied", "written"]
    assert slow.losses == plain.losses
    assert contents(slow) == contents(plain), "each holds the state as of its step"


def test_memory_of_a_copy_is_used_again_where_it_fits() -> None:
    first, second = torch.ones(3), torch.ones(2)
    state = {"model": {"first": first, "second": second}, "rest": [second.clone(), "AdamW", 0.5]}
    taken, shot = [], Snapshot()
    with ThreadPoolExecutor(1) as beside:
        for number in range(3):
            first.fill_(number)
            if number == 2:
                state["model"] = {"first": first, "second": torch.ones(5)}
            taken.append(shot.take(state, beside))
            shot.wait()
            copied = taken[-1].state
            assert copied["rest"][1:] == ["AdamW", 0.5]  # type: ignore[index]
            assert copied["model"]["first"].tolist() == [number] * 3  # type: ignore[index]
    models = [one.state["model"] for one in taken]
    places = [{name: tensor.data_ptr() for name, tensor in model.items()} for model in models]  # type: ignore[attr-defined]
    assert places[0] == places[1]
    assert (places[2]["first"], places[2]["second"]) == (places[0]["first"], places[2]["second"])
    assert places[2]["second"] != places[0]["second"]
    assert first.data_ptr() not in places[0].values()


def test_copy_that_failed_is_told_before_the_parameters_move(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise MemoryError

    monkeypatch.setattr(snapshot, "_copying", lambda _: fails)
    shot = Snapshot()
    with ThreadPoolExecutor(1) as beside:
        shot.take({"model": {"first": torch.ones(3)}}, beside)
        with pytest.raises(MemoryError):
            shot.wait()
