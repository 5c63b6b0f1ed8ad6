"""Whether the trainer's transformers reads the model's tokenizer as it was made, asked before anything is learnt.

transformers 5 builds a `LlamaTokenizerFast` anew from its vocabulary and leaves out how DeepSeek's splits text: spaces vanish,
and what is learnt is garbage (transformers#45488, #48206). 5.6, 5.19, 5.20 and 5.21 were found to do so; 4.57.6, 5.22 and 5.23
not. LLaMA-Factory 0.9.5 installs 5.6, ms-swift 4.6 installs 5.19. What the file `tokenizer.json` says, read by the library `tokenizers` alone, is what is right.

    python3 -m deepseek_runtime.foreign.tokenizer FOLDER     exit code 0, or 64 and why
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from deepseek_runtime.contract import ExitCode, Invalid

VARIABLE = "DEEPSEEK_CHECK_TOKENIZER"
"""Names the model's folder to the launcher."""
LIMIT_S = 300.0
TEXTS = (
    "Hello world, this is  a test.\n\n  def f(x):\n\treturn x + 1  # 12345.67",
    "你好,世界!深度求索 🙂 naïve café — «ünïcödé»",
    "<think>\nA number: 1,000,000\n</think>\n\nThe end.",
)
"""Spaces in a row, tabs, new lines, digits, Chinese, an emoji, accents, quotes, the marks of reasoning."""


def check(environment: Mapping[str, str]) -> None:
    """Asks in a process of its own, with the trainer's libraries. Raises Invalid with what to pin."""
    folder = environment.get(VARIABLE)
    if not folder:
        return
    command = [sys.executable, "-m", "deepseek_runtime.foreign.tokenizer", folder]
    try:
        asked = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"launcher: the tokenizer was not checked within {LIMIT_S:.0f} s", file=sys.stderr, flush=True)
        return
    said = asked.stdout.strip().splitlines()[-1:] or [""]
    if asked.returncode == ExitCode.INVALID:
        raise Invalid(said[0])
    if asked.returncode or said[0]:
        reason = said[0] or (asked.stderr.strip().splitlines() or [""])[-1]
        print(f"launcher: the tokenizer was not checked: {reason}", file=sys.stderr, flush=True)


def problem(folder: Path) -> str | None:
    """How transformers reads the tokenizer otherwise than its file says; None where both agree on every text.

    Raises ImportError where one of both libraries is not there.
    """
    transformers: Any = import_module("transformers")
    tokenizers: Any = import_module("tokenizers")
    made = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    right = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        wanted, found = (
            right.encode(text, add_special_tokens=False).ids,
            made(text, add_special_tokens=False)["input_ids"],
        )
        if list(found) != wanted:
            return f"{text[:24]!r} becomes {list(found)[:8]} in place of {wanted[:8]}"
        back = made.decode(found, clean_up_tokenization_spaces=False, skip_special_tokens=False)
        if back != right.decode(wanted, skip_special_tokens=False):
            return f"{text[:24]!r} comes back as {back[:24]!r}"
    return None


def main(folder: Path) -> int:
    """Prints why in one line; nothing where all is well."""
    if not (folder / "tokenizer.json").is_file():
        print(f"{folder} has no tokenizer.json to compare with")
        return ExitCode.COMPLETE
    try:
        found = problem(folder)
    except ImportError as error:
        print(f"{error}")
        return ExitCode.COMPLETE
    if found is None:
        return ExitCode.COMPLETE
    version = getattr(import_module("transformers"), "__version__", "?")
    print(
        f"transformers {version} of trainer.image garbles the model's tokenizer ({_class_of(folder)}): {found}. Pin "
        'transformers 4.57.6 or >=5.22 in the image, or write "tokenizer_class": "PreTrainedTokenizerFast" into the model\'s '
        "tokenizer_config.json"
    )
    return ExitCode.INVALID


def _class_of(folder: Path) -> str:
    try:
        said = json.loads((folder / "tokenizer_config.json").read_text())
        return str(said.get("tokenizer_class"))
    except (OSError, ValueError, AttributeError):
        return "no tokenizer_config.json"


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main(Path(sys.argv[1])))
