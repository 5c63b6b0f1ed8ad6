"""What is done before a foreign trainer starts: our part is copied into its container, and its tokenizer is asked."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.foreign import tokenizer
from deepseek_runtime.foreign.ending import End, judged
from deepseek_runtime.foreign.installing import install
from deepseek_runtime.foreign.telling import Said, read

ROOT = Path(__file__).parents[3]
TOKENIZERS = """
class Encoding:
    def __init__(self, ids): self.ids = ids
class Tokenizer:
    @staticmethod
    def from_file(path): return Tokenizer()
    def encode(self, text, add_special_tokens): return Encoding([ord(c) for c in text])
    def decode(self, ids, skip_special_tokens): return "".join(map(chr, ids))
"""
TRANSFORMERS = """
__version__ = "5.6.0"
class AutoTokenizer:
    @staticmethod
    def from_pretrained(folder, local_files_only): return AutoTokenizer()
    def __call__(self, text, add_special_tokens): return {"input_ids": [ord(c) for c in READ(text)]}
    def decode(self, ids, clean_up_tokenization_spaces, skip_special_tokens): return SAID("".join(map(chr, ids)))
"""
AS_IT_IS = "READ = SAID = lambda text: text\n"


def libraries(folder: Path, behaviour: str) -> dict[str, str]:
    """Played ones; and the environment in which they are found."""
    (folder / "libraries").mkdir()
    (folder / "libraries" / "tokenizers.py").write_text(TOKENIZERS)
    (folder / "libraries" / "transformers.py").write_text(behaviour + TRANSFORMERS)
    (folder / "model").mkdir()
    (folder / "model" / "tokenizer.json").write_text("{}")
    (folder / "model" / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizerFast"}')
    path = f"{folder / 'libraries'}:{ROOT / 'operator'}"
    return {**os.environ, "PYTHONPATH": path, tokenizer.VARIABLE: str(folder / "model")}


def test_a_tokenizer_that_is_read_as_it_was_made_passes(tmp_path: Path) -> None:
    tokenizer.check(libraries(tmp_path, AS_IT_IS))


@pytest.mark.parametrize(
    "behaviour",
    [
        'READ = lambda text: text.replace(" ", ""); SAID = lambda text: text\n',
        'READ = lambda text: text; SAID = lambda text: text.replace("  ", " ")\n',
        'READ = lambda text: "".join(c for c in text if ord(c) < 128); SAID = lambda text: text\n',
    ],
)
def test_one_that_is_garbled_ends_the_attempt_with_what_to_pin(tmp_path: Path, behaviour: str) -> None:
    with pytest.raises(Invalid) as refused:
        tokenizer.check(libraries(tmp_path, behaviour))
    said = str(refused.value)
    assert "transformers 5.6.0 of trainer.image garbles the model's tokenizer (LlamaTokenizerFast)" in said
    assert "4.57.6" in said
    assert "PreTrainedTokenizerFast" in said


def test_without_the_libraries_or_a_tokenizer_nothing_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), tokenizer.VARIABLE: str(tmp_path)}
    tokenizer.check(environment)
    assert "was not checked" in capfd.readouterr().err
    tokenizer.check({})


def test_what_is_installed_runs_alone_and_the_files_lie_beside_it(tmp_path: Path) -> None:
    install(tmp_path, {"DEEPSEEK_FILES": json.dumps({"run.sh": "echo $1\n"})})
    assert (tmp_path / "run.sh").read_text() == "echo $1\n"
    command = [sys.executable, "-S", "-m", "deepseek_runtime.launcher", "--adapter", "axolotl", "--", "true"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "DEEPSEEK_TERMINATION_LOG": str(tmp_path / "log")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 64, ran.stderr
    assert "no adapter 'axolotl' is known" in ran.stderr


@pytest.mark.parametrize("name", ["../run.sh", "/etc/passwd", "", "..", "a/b"])
def test_a_file_is_written_nowhere_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid):
        install(tmp_path, {"DEEPSEEK_FILES": json.dumps({name: "x"})})


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (End(0, began=0, step=30, max_steps=30, at_stop=None), 0),
        (End(0, began=0, step=31, max_steps=30, at_stop=None), 0),
        (End(0, began=30, step=30, max_steps=30, at_stop=30), 0),
        (End(0, began=0, step=20, max_steps=None, at_stop=None), 0),
        (End(0, began=0, step=20, max_steps=None, at_stop=10), 75),
        (End(0, began=0, step=20, max_steps=30, at_stop=10), 75),
        (End(0, began=0, step=20, max_steps=30, at_stop=20), 75),
        (End(0, began=0, step=20, max_steps=30, at_stop=None), 75),
        (End(0, began=20, step=20, max_steps=30, at_stop=None), 1),
        (End(1, began=0, step=20, max_steps=30, at_stop=10), 75),
        (End(143, began=0, step=20, max_steps=30, at_stop=20), 143),
        (End(1, began=0, step=20, max_steps=30, at_stop=None), 1),
        (End(137, began=0, step=30, max_steps=30, at_stop=None), 137),
        (End(76, began=0, step=20, max_steps=30, at_stop=None), 76),
    ],
)
def test_what_an_end_means(end: End, code: int) -> None:
    assert judged(end)[0] == code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"current_steps": 7, "total_steps": 30, "loss": 1.5, "epoch": 0.2}\n', Said(7, 30, 0.2, 1.5)),
        ('{"loss": 0.5, "epoch": 1, "global_step/max_steps": "9/10"}\n', Said(9, 10, 1.0, 0.5)),
        ('{"current_steps": 7, "loss": 1.5}\n{"current_steps": 7, "eval_loss": 2.5}\n', Said(7, None, None, 1.5, 2.5)),
        ('{"current_steps": 7, "loss": NaN}\n', Said(7, None, None, float("nan"))),
        ('{"current_steps": 7}\n{"current_st', Said(7)),
        ('[]\n1\nnull\n{"current_steps": true, "global_step/max_steps": "a/b/c"}\n', Said()),
        ("", Said()),
    ],
)
def test_what_a_log_says(tmp_path: Path, text: str, said: Said) -> None:
    (tmp_path / "log").write_text(text)
    assert repr(read(tmp_path / "log")) == repr(said)


def test_a_log_that_is_a_link_or_a_pipe_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe")
    assert read(tmp_path / "link") == read(tmp_path / "pipe") == read(tmp_path / "none") == Said()
