"""An engine's or a trainer's name stands in the folder of its entry, in documents and in tests, and nowhere else.

Who branches by a name has a fact to put into the entry. Comments and docstrings may name a source of a number.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.programs.trainers.entry import TrainerEntry
from deepseek_operator.domain.programs.trainers.table import TRAINERS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "deepseek_operator"
FOLDERS = ("domain/programs/engines", "domain/programs/trainers")
PROFILES = "domain/devices/profiles"
"""A profile lists, as data, which programs run on its device, with which image: an administrator writes more of them."""
ALLOWED = {
    ("kinds/serving/revision.py", "builtin"): "frozen: what the names of revisions leave out, whatever is usual later",
    ("kinds/training/pod.py", "builtin"): "key of a generated dataset in the spec that the trainer reads",
    ("domain/sizing/notices.py", "vLLM"): "where a figure that is shown was measured",
}
EVERY: tuple[EngineEntry | TrainerEntry, ...] = (*ENGINES.values(), *TRAINERS.values())
ENTRIES = [entry for entry in EVERY if entry.start is not Start.WRITTEN]
WORDS = sorted({entry.type for entry in ENTRIES} | {entry.title for entry in ENTRIES if entry.start is Start.BUILT})
NAME = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, WORDS))})(?![\w-]|://)")
IDENTIFIERS = {entry.type.replace("-", "_") for entry in ENTRIES}


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string that is a value, and every identifier as words; docstrings and comments are neither."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as value) if id(node) not in told:
                yield value
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str() as name):
                yield from _words(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.alias(name=name):
                yield from _words(name)


def _words(identifier: str) -> Iterator[str]:
    """The names that an identifier holds: `is_ms_swift` holds `ms-swift`."""
    plain = f"_{identifier.replace('.', '_').casefold()}_"
    yield from (name.replace("_", "-") for name in IDENTIFIERS if f"_{name}_" in plain)


def named(source: str) -> set[str]:
    """The engines and trainers that a module's code names."""
    return {found for text in texts(ast.parse(source)) for found in NAME.findall(text)}


def modules() -> list[str]:
    files = (str(file.relative_to(PACKAGE)) for file in sorted(PACKAGE.rglob("*.py")))
    return [file for file in files if not file.startswith((*FOLDERS, PROFILES))]


def test_no_engine_and_no_trainer_is_named_outside_its_entry() -> None:
    """What such a module says of a program belongs into the program's entry."""
    found = {(file, name) for file in modules() for name in named((PACKAGE / file).read_text())}
    assert found - ALLOWED.keys() == set()


def test_every_exception_is_still_needed() -> None:
    assert {key for key in ALLOWED if key[1] in named((PACKAGE / key[0]).read_text())} == ALLOWED.keys()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('x = "vllm"', "vllm"),
        ("if engine.type in ('a', 'sglang'): pass", "sglang"),
        ("rule = f\"self.type == 'triton' || {x}\"", "triton"),
        ('def f(): return "write engine.type vllm or sglang"', "vllm"),
        ("from programs.engines import tensorrt_llm", "tensorrt-llm"),
        ("is_ms_swift = True", "ms-swift"),
        ("f(llama_factory=1)", "llama-factory"),
        ('"""Doc."""\nX = "vLLM answers"', "vLLM"),
    ],
)
def test_the_guard_sees_a_name_wherever_code_can_write_it(source: str, name: str) -> None:
    assert name in named(source)


@pytest.mark.parametrize(
    "source", ['"""As vllm does."""', "x = 1  # vllm", "def f():\n    'sglang'\n", 'x = "evllm"', 'x = "builtin://a"']
)
def test_the_guard_lets_documents_and_other_words_be(source: str) -> None:
    assert not named(source)
