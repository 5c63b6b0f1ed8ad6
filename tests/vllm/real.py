"""What the real vLLM answers to a list of models, and what the built-in engine does: token ids of the likeliest, each."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepseek_runtime.engine.adapters import beside
from deepseek_runtime.engine.check import base_digest
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.settings import Adapter
from tests.runtime.lives import TOKENS, served_tokens
from tests.vllm.rendered import Rendered, rendered

Answers = Mapping[str, list[list[list[int]]]]
"""By name, of the model an empty one and of each adapter its own: for every prompt its ids and those that follow."""


@dataclass(frozen=True)
class Asked:
    """An export, the adapters beside it by name, and what both engines are asked.

    Attributes:
        tokens: how many of the answer are compared.
        whole: vLLM computes in fp32, as no serving may, and latent attention without its kernel for CPUs, which rounds.
    """

    export: Path
    shape: Mapping[str, object]
    prompts: tuple[str, ...]
    adapters: Mapping[str, Path]
    tokens: int = TOKENS
    whole: bool = False

    @property
    def rendered(self) -> Rendered:
        """The pods that serve it."""
        return rendered(self.export, self.shape, self.adapters)

    @property
    def line(self) -> str:
        """For `answers.py`."""
        arguments = self.rendered.arguments(8000)
        return json.dumps([[*arguments, "--dtype", "float32"] if self.whole else arguments, self.prompts, self.tokens])


def real(asked: Sequence[Asked]) -> list[Answers]:
    """By vLLM: one process for all that compute alike, since most of a start is its imports."""
    found: dict[int, Answers] = {}
    for whole in {one.whole for one in asked}:
        alike = [number for number, one in enumerate(asked) if one.whole is whole]
        found |= dict(zip(alike, _real([asked[number] for number in alike], whole), strict=True))
    return [found[number] for number in range(len(asked))]


def _real(asked: Sequence[Asked], whole: bool) -> list[Answers]:
    pod = asked[0].rendered
    own = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_MLA_DISABLE": str(int(whole))}
    variables = {**os.environ, **pod.environment(pod.container), **own}
    program = [str(Path(os.environ["VLLM"]) / "bin" / "python"), str(Path(__file__).with_name("answers.py"))]
    lines = "".join(f"{one.line}\n" for one in asked)
    ended = subprocess.run(program, input=lines, env=variables, capture_output=True, text=True, check=False)
    found = [json.loads(line[8:]) for line in ended.stdout.splitlines() if line.startswith("ANSWERS ")]
    assert len(found) == len(asked), (ended.stdout + ended.stderr)[-8000:]
    return found


def ours(asked: Asked) -> Answers:
    """By the built-in engine."""
    base, digest = Model.load(asked.export), base_digest(asked.export)
    models = {"": base, **{name: beside(base, digest, Adapter(name, path)) for name, path in asked.adapters.items()}}
    return {name: [_answer(model, text, asked.tokens) for text in asked.prompts] for name, model in models.items()}


def _answer(model: Model, text: str, tokens: int) -> list[list[int]]:
    return [list(model.tokenizer(text).input_ids), served_tokens(model, text)[:tokens]]
