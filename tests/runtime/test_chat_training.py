"""A model that learnt chats is killed, resumed with the same bits, exported with its template, and answers as evaluated."""

import json
from pathlib import Path

import pytest

from deepseek_runtime.chat.template import DEEPSEEK
from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.model import Model
from deepseek_runtime.engine.request import chat
from deepseek_runtime.engine.sequence import Answer
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.dataset import read_examples
from tests.runtime.families import FAMILIES
from tests.runtime.lives import killed_and_resumed
from tests.runtime.workplace import Workplace

STEPS = 6
QUESTIONS = ("ab", "cd", "ef", "gh")


def chats(folder: Path) -> Path:
    """Two rounds each, so that a turn in the middle is learnt too."""
    file = folder / "chats.jsonl"
    lines = [
        [_said("user", one), _said("assistant", one.upper()), _said("user", one * 2), _said("assistant", one)]
        for one in QUESTIONS
    ]
    file.write_text("".join(json.dumps({"messages": line}) + "\n" for line in lines))
    return file


def _said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def settings(file: Path, family: str, steps: int, rate: str) -> dict[str, object]:
    source = {"source": {"path": str(file)}, "format": "Messages"}
    return {
        "model.custom": {**FAMILIES[family], "max_position_embeddings": 128},
        "datasets": [source, {**source, "split": "Heldout"}],
        "chatTemplate": {"name": "DeepSeek"},
        "hyperparameters.sequenceLength": 128,
        "hyperparameters.maxSteps": steps,
        "hyperparameters.learningRate": rate,
    }


@pytest.mark.parametrize("family", ["llama", "deepseek_v3"])
def test_training_on_chats_resumes_with_the_same_bits(workplace: Workplace, family: str, tmp_path: Path) -> None:
    changes = settings(chats(tmp_path), family, STEPS, "1e-2")
    undisturbed = workplace.attempt(tmp_path / "undisturbed", changes)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", changes)
    begun = int(str(resumed.began[0]))
    assert begun > 0
    assert killed.losses == undisturbed.losses[: len(killed.losses)]
    assert resumed.losses == undisturbed.losses[begun:]


def test_served_chat_answers_what_the_evaluation_saw(workplace: Workplace, tmp_path: Path) -> None:
    """Evaluated: every answer of the held-out chats, end token included, is the likeliest. Asked for by chat: the same."""
    file = chats(tmp_path)
    run = workplace.attempt(tmp_path / "volume", settings(file, "llama", 200, "2e-2"))
    (evaluated,) = [record for record in run.records if record["event"] == "evaluation"]
    assert evaluated["accuracy"] == 1.0

    model = Model.load(run.export())
    assert model.tokenizer.chat_template == DEEPSEEK
    for line in file.read_text().splitlines():
        messages = json.loads(line)["messages"]
        for turn in (1, 3):
            body = {"messages": messages[:turn], "temperature": 0, "max_tokens": 16}
            asked = chat(body, model)
            answer = Answer(model, asked.prompt, asked.sampling)
            text = ""
            while (piece := answer.step()).finish is None:
                text += piece.text
            assert (text + piece.text, piece.finish) == (messages[turn]["content"], "stop")


def test_export_of_a_base_carries_the_template_that_it_was_trained_by(workplace: Workplace, tmp_path: Path) -> None:
    base = workplace.export()
    changes = {**settings(chats(tmp_path), "llama", 2, "1e-2"), "model": {"path": base}}
    changes["hyperparameters.sequenceLength"] = 64
    del changes["model.custom"]
    own = "{% for m in messages %}{{ m.role }}:{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
    run = workplace.attempt(tmp_path / "volume", {**changes, "chatTemplate": {"text": own}})
    export = run.export()
    assert (export / "chat_template.jinja").read_text() == own
    assert json.loads((export / "tokenizer_config.json").read_text())["chat_template"] == own
    assert load_tokenizer(export).chat_template == own
    source = Dataset(tmp_path / "chats.jsonl", None, "Train", 1.0, "Messages")
    (first, *_) = read_examples(source, load_tokenizer(export), 64).examples
    assert len(first.learnt) == 2


def test_chats_without_a_template_are_refused(workplace: Workplace, tmp_path: Path) -> None:
    changes = settings(chats(tmp_path), "llama", 2, "1e-2")
    del changes["chatTemplate"]
    with pytest.raises(Invalid, match=r"the model has no chat template.*write chatTemplate: \{name: DeepSeek\}"):
        workplace.attempt(tmp_path / "volume", changes)
