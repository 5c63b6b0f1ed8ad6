"""Where tests train in this process: a gang of one, small files of examples, and a training that is quickly done."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch

from deepseek_runtime.trainer.gang import Gang
from tests.runtime.observed import Bench, Document, Observed
from tests.runtime.pods import MODEL

ABSENT = "absent"
TINY = {
    **MODEL,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
}
WORDS = {"few": ("ab", "cd", "ef", "gh"), "others": ("ij", "kl", "mn", "op"), "heldout": ("qr", "st"), "one": ("uv",)}


@dataclass(frozen=True)
class Workplace:
    """Trainings below `files`; `runs` remembers them by what was changed."""

    bench: Bench
    files: Path
    runs: dict[str, Observed] = field(default_factory=dict)

    def train(self, changes: Mapping[str, object] = MappingProxyType({})) -> Observed:
        """A run of two steps, one epoch of the two training datasets. A value may be a function of the workplace."""
        values = {path: value(self) if callable(value) else value for path, value in changes.items()}
        name = json.dumps(values)
        if name not in self.runs:
            bench = Bench(self.bench.gang, self.files / f"volume-{len(self.runs)}")
            self.runs[name] = bench.train(changed(self.spec, values))
        return self.runs[name]

    @property
    def spec(self) -> Document:
        """Fields of the API at values that are simple to reason about."""
        return {
            "model": {"custom": TINY},
            "objective": "SFT",
            "method": {"type": "Full"},
            "datasets": [
                {"source": self.file("few")},
                {"source": self.file("others")},
                {"source": self.file("heldout"), "split": "Heldout"},
            ],
            "hyperparameters": {
                "globalBatchSize": 4,
                "sequenceLength": 16,
                "learningRate": "1e-2",
                "schedule": "Constant",
                "maxSteps": 2,
                "precision": "fp32",
                "gradientClipNorm": "0",
            },
        }

    def file(self, name: str) -> Document:
        return {"path": str(self.files / f"{name}.jsonl")}

    def export(self) -> str:
        return str(self.train().export())

    def with_dropout(self) -> str:
        """The export, configured to drop half of what attention sees."""
        copy = self.files / "with-dropout"
        shutil.copytree(self.export(), copy, dirs_exist_ok=True)
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.5}))
        return str(copy)

    def attempt(
        self,
        volume: Path,
        changes: Mapping[str, object] = MappingProxyType({}),
        *,
        pace_s: float = 0.0,
        wants_stop: Callable[[Observed], bool] = lambda _: False,
        **variables: str,
    ) -> Observed:
        """A run that is told other variables, by their names without DEEPSEEK_."""
        named = {f"DEEPSEEK_{name}": value for name, value in variables.items()}
        values = {path: value(self) if callable(value) else value for path, value in changes.items()}
        return Bench(self.bench.gang, volume, pace_s, wants_stop).train(changed(self.spec, values), named)


@contextmanager
def opened(files: Path) -> Iterator[Workplace]:
    """This process is a gang of its own, on one thread, until the end."""
    with alone_on_a_thread():
        write_words(files)
        gang = Gang.meet({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"})
        try:
            yield Workplace(Bench(gang, files), files)
        finally:
            gang.part()


@contextmanager
def alone_on_a_thread() -> Iterator[None]:
    """torch computes on one thread until the end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def write_words(files: Path) -> None:
    """The small files of examples, by their names."""
    for name, words in WORDS.items():
        lines = [{"prompt": f"{w}=", "completion": w.upper(), "text": f"{w}={w.upper()}"} for w in words]
        (files / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def changed(spec: Document, changes: Mapping[str, object]) -> Document:
    """A copy with other values at dotted paths; ABSENT takes the field away."""
    copy: Document = json.loads(json.dumps(spec))
    for path, value in changes.items():
        *way, last = path.split(".")
        place: object = copy
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]  # type: ignore[index]
        assert isinstance(place, dict)
        place.pop(last, None)
        if value is not ABSENT:
            place[last] = value
    return copy


def of(*names: str) -> Callable[[Workplace], list[Document]]:
    """Training datasets of these files alone."""
    return lambda workplace: [{"source": workplace.file(name)} for name in names]
