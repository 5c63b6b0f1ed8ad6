"""Released trainers, really run on the CPU from what the operator renders, under the launcher: killed, torn, stopped, finished.

`tests/run trainers` installs them (about 1.5 GB beside the runtime's torch, which they share) and passes these; they are no
part of `tests/run`, because each start of such a trainer imports for half a minute.
"""

import json
import math
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.training.command import Started, started
from tests.runtime.pods import ROOT, Attempt, Process
from tests.support.ports import free_port
from tests.trainers.installed import TRAINERS

STEPS, EVERY = 400, 40
LIMIT_S = 900.0
"""How long an attempt may take on a machine that does other things as well: half a minute of imports, and steps."""
FORMS = {"DPO": "Preference", "GRPO": "PromptCompletion"}
PAIRS = [{"prompt": f"what is {n}?", "chosen": f"it is {n}.", "rejected": "no."} for n in range(64)]
PROMPTS = [{"prompt": f"what is {n}?", "completion": str(n)} for n in range(16)]
LORA = {"type": "LoRA", "lora": {"export": "Adapter", "rank": 4}}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2 with a tokenizer in DeepSeek's form, named by the class that their transformers read right."""
    folder = tmp_path_factory.mktemp("model")
    python = next(iter(TRAINERS.values())) / "bin" / "python"
    subprocess.run([python, ROOT / "tests" / "trainers" / "make_model.py", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty-four short chats."""
    file = tmp_path_factory.mktemp("data") / "chats.jsonl"
    turns = [(f"what is {n} plus one?", f"it is {n + 1}.") for n in range(64)]
    lines = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


class Lab:
    """One training of one trainer: its attempts one after the other on a volume."""

    def __init__(self, trainer: str, volume: Path, model: Path, chats: Path, /, **spec: Any) -> None:
        self.volume, self.venv, self.number, self.data = volume, TRAINERS[trainer], 0, chats
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


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("method", ["Full", "LoRA", "QLoRA"])
def test_nothing_is_lost_to_a_kill_a_torn_folder_and_a_stop(
    trainer: str, method: str, tmp_path: Path, model: Path, chats: Path
) -> None:
    beside = {"method": {**LORA, "type": method}} if method != "Full" else {}
    lab = Lab(trainer, tmp_path, model, chats, **beside)
    goes_on(lab, STEPS, "adapter_model.safetensors" if beside else "model.safetensors")


def goes_on(lab: Lab, steps: int, weights: str) -> None:
    """Killed after its first checkpoint, with a torn folder beside it; stopped; and taken to its end."""
    one, process = lab.attempt()
    lab.waited_for(process, lambda: bool(one.steps()))
    process.kill()
    process.ended(LIMIT_S)
    saved = max(one.steps())
    torn = one.directory / "output" / "checkpoint-999999"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")

    two, process = lab.attempt()
    # Small steps may all have been made before the kill was: then nothing is left.
    lab.waited_for(process, lambda: process.popen.poll() is not None or lab.step() > saved + 2)
    process.terminate()
    code = process.ended(LIMIT_S)
    told = two.termination()
    begun = int(str(told["firstStep"])) - 1
    assert begun >= saved, process.log
    if code == 0:  # it was quicker than its stop
        assert told["step"] == steps
        return
    assert code == 75, process.log
    last = max(two.steps(), default=begun)

    three, process = lab.attempt()
    assert process.ended(LIMIT_S) == 0, process.log
    told = three.termination()
    assert (told["result"], told["step"], told["firstStep"]) == ("Complete", steps, last + 1)
    assert (three.root / "exports" / str(steps) / weights).is_file()


def by(objective: str, trainer: str, volume: Path, model: Path, records: list[Any], steps: int, every: int = 10) -> Lab:
    """A training of an adapter by that objective. Rewards of GRPO are functions that need no further library."""
    file = volume / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    hyper = {"globalBatchSize": 8, "sequenceLength": 64, "learningRate": "1e-2", "precision": "fp32", "maxSteps": steps}
    datasets = [{"source": {"uri": "pvc://data/chats.jsonl"}, "format": FORMS[objective]}]
    wanted = {"objective": objective, "datasets": datasets, "method": LORA, "hyperparameters": hyper}
    rewards = {"args": ["--reward_funcs", "repetition"]} if objective == "GRPO" else {}
    told = {"type": trainer, "image": "x", **rewards}
    return Lab(trainer, volume / "volume", model, file, checkpoints={"everySteps": every}, trainer=told, **wanted)


def learnt(objective: str, trainer: str, volume: Path, model: Path, records: list[Any]) -> Lab:
    """A training of twenty steps, which has come to its end and left an adapter."""
    lab = by(objective, trainer, volume, model, records, steps=20)
    one, process = lab.attempt()
    assert process.ended(LIMIT_S) == 0, process.log
    assert (one.termination()["result"], one.termination()["step"]) == ("Complete", 20)
    assert (one.root / "exports" / "20" / "adapter_model.safetensors").is_file()
    return lab


@pytest.mark.parametrize("trainer", TRAINERS)
def test_preferences_are_learnt(trainer: str, tmp_path: Path, model: Path) -> None:
    """A loss of ln 2 prefers neither answer."""
    losses = [
        float(value["loss"]) for value in learnt("DPO", trainer, tmp_path, model, PAIRS).told() if "loss" in value
    ]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)
    assert losses[-1] < 0.6


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_preference_that_it_would_pass_over_ends_it_before_anything_is_learnt(
    trainer: str, tmp_path: Path, model: Path
) -> None:
    with pytest.raises(AssertionError, match=r"line 1 has no text 'rejected'"):
        learnt("DPO", trainer, tmp_path, model, [{"prompt": "a", "chosen": "b"}])


@pytest.mark.skipif("ms-swift" not in TRAINERS, reason="it alone has it")
def test_rewarded_answers_are_learnt_from(tmp_path: Path, model: Path) -> None:
    """Eight answers to each prompt."""
    told = learnt("GRPO", "ms-swift", tmp_path, model, PROMPTS).told()
    assert any("reward" in value for value in told)


@pytest.mark.parametrize("trainer", TRAINERS)
def test_preferences_go_on_after_a_kill_a_torn_folder_and_a_stop(trainer: str, tmp_path: Path, model: Path) -> None:
    goes_on(by("DPO", trainer, tmp_path, model, PAIRS, STEPS, EVERY), STEPS, "adapter_model.safetensors")


@pytest.mark.skipif("ms-swift" not in TRAINERS, reason="it alone has it")
def test_rewarded_answers_go_on_after_a_kill_a_torn_folder_and_a_stop(tmp_path: Path, model: Path) -> None:
    goes_on(by("GRPO", "ms-swift", tmp_path, model, PROMPTS, STEPS, EVERY), STEPS, "adapter_model.safetensors")


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_tokenizer_that_its_transformers_garbles_ends_it_before_anything_is_learnt(
    trainer: str, tmp_path: Path, model: Path, chats: Path
) -> None:
    garbled = tmp_path / "model"
    shutil.copytree(model, garbled)
    settings = json.loads((garbled / "tokenizer_config.json").read_text())
    (garbled / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "LlamaTokenizerFast"}))
    # 5.6 garbles it whatever the model is, 5.19 that of a Llama.
    config = json.loads((garbled / "config.json").read_text())
    (garbled / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    lab = Lab(trainer, tmp_path / "volume", garbled, chats)
    one, process = lab.attempt()
    assert process.ended(LIMIT_S) == 64, process.log
    assert "garbles the model's tokenizer (LlamaTokenizerFast)" in str(one.termination()["message"])
