"""Every architecture that teams train: killed, resumed, exported, and answered by the real vLLM as by the built-in engine.

Random beginnings are trained for a few steps in fp32, where only other arithmetic could make another token the likeliest,
and vLLM is told to compute so: no serving may, since sizing counts 16 bits. What begins from weights is bf16, as teams have
it, and runs from exactly what is rendered, asked for what it has learnt, its end included.
"""

from pathlib import Path

import pytest

from deepseek_runtime.pretrained import load_tokenizer
from tests.runtime.lives import KILLED_IN, STEPS, killed_and_resumed
from tests.runtime.workplace import Workplace, of
from tests.vllm.real import Answers, Asked, ours, real
from tests.vllm.shapes import SHAPES

pytestmark = pytest.mark.filterwarnings("ignore")

LEARNT_STEPS = 150
LEARNT = {"ab=": "AB", "cd=": "CD", "ij=": "IJ", "op=": "OP"}
MOST = 3
"""Answers that a model has learnt for certain: one may still miss a letter, in both engines."""
STRANGE = ("ab=", "hello=", "é")
LIVES = [(family, from_weights) for family in SHAPES for from_weights in (False, True)]
IDS = [f"{family}{' from weights' if from_weights else ''}" for family, from_weights in LIVES]


def life(workplace: Workplace, family: str, from_weights: bool, volume: Path) -> Asked:
    """A training that was killed and went on, and what its export is asked."""
    own = {"datasets": of("few", "others"), "hyperparameters.learningRate": "3e-3"}
    start: dict[str, object] = {**own, "model.custom": dict(SHAPES[family])}
    if from_weights:
        bf16 = {"hyperparameters.precision": "bf16"}
        learnt = workplace.train({**start, **bf16, "hyperparameters.maxSteps": LEARNT_STEPS})
        start = {**own, **bf16, "model": {"path": str(learnt.export())}}
    _, resumed = killed_and_resumed(workplace, volume, {**start, "hyperparameters.maxSteps": STEPS})
    assert 0 < int(str(resumed.began[0])) < KILLED_IN
    export = resumed.root / "exports" / str(STEPS)
    if from_weights:
        return Asked(export, SHAPES[family], tuple(LEARNT), {}, tokens=len("AB") + 1)
    return Asked(export, SHAPES[family], STRANGE, {}, whole=True)


@pytest.fixture(scope="module")
def lives(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Asked]:
    folder = tmp_path_factory.mktemp("lives")
    return {one: life(workplace, *one, folder / name) for one, name in zip(LIVES, IDS, strict=True)}


@pytest.fixture(scope="module")
def told(lives: dict[tuple[str, bool], Asked]) -> dict[tuple[str, bool], Answers]:
    """What vLLM answers."""
    return dict(zip(lives, real(list(lives.values())), strict=True))


@pytest.mark.parametrize("one", LIVES, ids=IDS)
def test_both_engines_answer_alike(
    one: tuple[str, bool], lives: dict[tuple[str, bool], Asked], told: dict[tuple[str, bool], Answers]
) -> None:
    found = ours(lives[one])
    assert told[one] == found
    if one[1]:
        tokenizer = load_tokenizer(lives[one].export)
        answers = [tokenizer.decode(ids, skip_special_tokens=True) for _, ids in found[""]]
        right = [answer == LEARNT[prompt] for prompt, answer in zip(lives[one].prompts, answers, strict=True)]
        assert sum(right) >= MOST, answers
