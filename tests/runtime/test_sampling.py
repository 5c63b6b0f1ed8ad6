"""Samples are what the model would write, one prompt after the other, for every architecture; bounded, and stopped at once."""

import json
from array import array
from pathlib import Path

import pytest

from deepseek_runtime.contract import ExitCode
from deepseek_runtime.spec import Custom
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.sampling import sampled
from tests.runtime.families import FAMILIES
from tests.runtime.forked import Rank
from tests.runtime.greedy import greedy
from tests.runtime.observed import Observed, environment
from tests.runtime.whole_model import build
from tests.runtime.workplace import Workplace, changed

pytestmark = pytest.mark.filterwarnings("ignore")

PROMPTS = ("ab=", "a longer prompt than that: ", "c", "{}")


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_are_greedy_answers_whatever_stands_beside_them(workplace: Workplace, family: str) -> None:
    model, tokenizer = build(Custom(FAMILIES[family]), seed=1)
    model.eval()
    prompts = [tokenizer(text).input_ids for text in PROMPTS]
    alone = [greedy(model, prompt, 12) for prompt in prompts]
    # An end token that comes in the middle of some answers, and in none of others.
    tokenizer.eos_token_id = alone[0][5]
    expected = [
        made[: made.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in made else made for made in alone
    ]
    beats: list[int] = []
    examples = [Example.after(len(prompt), array("i", [*prompt, 65, 66])) for prompt in prompts]
    found = sampled(
        model,
        tokenizer,
        examples,
        workplace.bench.gang,
        lambda: beats.append(1),
        most_tokens=12,
        wants_stop=lambda: False,
    )
    assert found is not None
    assert [one.written for one in found] == [tokenizer.decode(made) for made in expected]
    assert [(one.prompt, one.meant) for one in found] == [(text, tokenizer.decode([65, 66])) for text in PROMPTS]
    assert len(beats) == max(map(len, expected)), "a sign of life for every token, and none after the last end"
    assert model.training, "what comes after it is learnt"


@pytest.mark.parametrize("after", [1, 2, 5])
def test_stop_is_heard_after_the_token_under_way(workplace: Workplace, after: int) -> None:
    model, tokenizer = build(Custom(FAMILIES["llama"]), seed=1)
    made = greedy(model.eval(), [70], 9)
    tokenizer.eos_token_id = next(number for number in range(256) if number not in made)
    beats: list[int] = []
    found = sampled(
        model,
        tokenizer,
        [Example.after(1, array("i", [70, 71]))],
        workplace.bench.gang,
        lambda: beats.append(1),
        most_tokens=9,
        wants_stop=lambda: len(beats) >= after,
    )
    assert (found, len(beats)) == (None, after)


def test_sigterm_within_the_samples_saves_with_the_evaluation_that_was_made(
    workplace: Workplace, tmp_path: Path
) -> None:
    changes = {"hyperparameters.maxSteps": 3, "hyperparameters.evalEverySteps": 1, "hyperparameters.evalSamples": 2}

    def samples_first_step(run: Observed) -> bool:
        return len(run.losses) >= 1 and 1 in run.evaluations

    stopped = workplace.attempt(tmp_path, changes, wants_stop=samples_first_step)
    assert (stopped.code, stopped.kept, len(stopped.losses)) == (ExitCode.SAVED, [1], 1)
    ancestry = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
    again = workplace.attempt(tmp_path, changes, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ancestry)
    assert (again.code, again.began, again.evaluations) == (ExitCode.COMPLETE, (1, "first"), [2, 3])


def test_two_ranks_write_what_one_writes(workplace: Workplace, tmp_path: Path) -> None:
    told: list[list[tuple[object, ...]]] = []
    for world in (1, 2):
        folder = tmp_path / str(world)
        (folder / "meeting").mkdir(parents=True)
        spec = changed(workplace.spec, {"hyperparameters.evalSamples": 2, "hyperparameters.evalSampleTokens": 5})
        variables = environment(folder / "volume") | {
            "DEEPSEEK_TRAINING_SPEC": json.dumps(spec),
            "DEEPSEEK_PROCESSES_PER_NODE": str(world),
            "DEEPSEEK_RUN_DIRECTORY": str(folder / "meeting"),
            "WORLD_SIZE": str(world),
            "LOCAL_WORLD_SIZE": str(world),
        }
        numbers = [{**variables, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
        ranks = [Rank(own, folder / f"rank-{own['RANK']}.log").start() for own in numbers]
        assert [rank.ended(120) for rank in ranks] == [ExitCode.COMPLETE] * world
        samples = [event for event in ranks[0].events if event["event"] == "sample"]
        told.append([(one["step"], one["prompt"], one["written"], one["meant"]) for one in samples])
    assert told[0] == told[1]
    assert len(told[0]) == 2
