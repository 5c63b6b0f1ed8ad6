"""A training of a released trainer on this machine: what the operator renders, run by the launcher, attempt after attempt."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.training.command import Started, started
from tests.runtime.pods import Attempt, Process
from tests.support.ports import free_port
from tests.trainers.installed import TRAINERS

STEPS, EVERY = 400, 40
LIMIT_S = 900.0
"""How long an attempt may take on a machine that does other things as well: half a minute of imports, and steps."""
LORA = {"type": "LoRA", "lora": {"export": "Adapter", "rank": 4}}


class Lab:
    """One training of one trainer: its attempts one after the other on a volume, in the environment of its image."""

    def __init__(
        self, trainer: str, volume: Path, model: Path, chats: Path, /, venv: Path | None = None, **spec: Any
    ) -> None:
        self.volume, self.venv, self.number, self.data = volume, venv or TRAINERS[trainer], 0, chats
        self.built = self._rendered(trainer, spec).command
        self.places = {
            "/model": str(model),
            "/datasets/0/chats.jsonl": str(chats),
            "/etc/deepseek": str(volume / "files"),
        }
        (volume / "files").mkdir(parents=True)
        for path, text in self.built.files.items():
            (volume / "files" / Path(path).name).write_text(self._here(text))

    def _rendered(self, trainer: str, spec: dict[str, Any]) -> Started:
        wanted = {
            "model": {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/m"}},
            "datasets": [{"source": {"uri": "pvc://data/chats.jsonl"}, "format": "Messages"}],
            "hyperparameters": {
                "globalBatchSize": 4,
                "sequenceLength": 128,
                "learningRate": "1e-3",
                "precision": "fp32",
                "maxSteps": STEPS,
            },
            "trainer": {"type": trainer, "image": "x"},
            "checkpoints": {"everySteps": EVERY},
            **spec,
        }
        datasets = [{"format": one["format"], "source": {"path": str(self.data)}} for one in wanted["datasets"]]
        self.told_spec = json.dumps({"hyperparameters": wanted["hyperparameters"], "datasets": datasets})
        document = {
            "apiVersion": "deepseek-operator.io/v1alpha1",
            "kind": "DeepSeekTraining",
            "metadata": {"name": "t", "namespace": "team", "uid": "u"},
            "spec": wanted,
        }
        found = started(DeepSeekTraining.model_validate(document).spec, None, Configuration())
        assert isinstance(found, Started), found
        return found

    def _here(self, text: str) -> str:
        for inside, outside in (*self.places.items(), ("/tmp/deepseek-output", str(self.output))):
            text = text.replace(inside, outside)
        return text

    @property
    def output(self) -> Path:
        return self.volume / "output"

    def attempt(self) -> tuple[Attempt, Process]:
        """The next one, which makes the link to its output folder anew."""
        self.number += 1
        self.output.unlink(missing_ok=True)
        variables = {
            **dict(self.built.env),
            "DEEPSEEK_OUTPUT": str(self.output),
            "DEEPSEEK_CHECK_TOKENIZER": self.places["/model"],
            "HOME": str(self.volume),
            "PATH": f"{self.venv / 'bin'}:{os.environ['PATH']}",
        }
        past = tuple((n, f"pod-{n}") for n in range(1, self.number))
        made = Attempt(
            self.volume,
            self.number,
            f"pod-{self.number}",
            self.told_spec,
            processes=1,
            ancestry=past,
            variables=variables,
        )
        launcher = [
            str(self.venv / "bin" / "python"),
            "-m",
            "deepseek_runtime.launcher",
            "--adapter",
            self.built.program,
        ]
        command = [*launcher, "--", *(self._here(word) for word in self.built.args)]
        return made, Process.start(command, made.environment(0, free_port()))

    def waited_for(self, process: Process, is_there: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        end = time.monotonic() + limit_s
        while not is_there():
            assert process.popen.poll() is None, process.ended(LIMIT_S) or process.log
            assert time.monotonic() < end, "it did not come"
            time.sleep(0.05)

    def told(self) -> list[dict[str, Any]]:
        """What the trainer's log has in this attempt."""
        files = [self.output / name for name in ("trainer_log.jsonl", "logging.jsonl")]
        lines = [line for file in files if file.is_file() for line in file.read_text().splitlines()]
        return [json.loads(line) for line in lines if line.endswith("}")]

    def step(self) -> int:
        """The last step of it."""
        said = [0]
        for value in self.told():
            together = str(value.get("global_step/max_steps", "0/0")).split("/")[0]
            said.append(int(value.get("current_steps") or together))
        return max(said)
