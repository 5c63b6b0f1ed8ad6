"""The plugin's command line: every command is documented, and tried from end to end."""

import ast
import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import deepseek_operator
from deepseek_operator.cli.commands import by_kubeconfig
from deepseek_operator.cli.kubectl import main, parser

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "plugin.md").read_text()
HERE = [Path(__file__).with_name(name) for name in ("test_plot_and_report.py", "test_ui.py")]
TRIES = [*(ROOT / "tests" / "api_server").glob("test_plugin*.py"), *HERE]
TRIED = "".join(file.read_text() for file in TRIES)


def commands(of: ArgumentParser) -> dict[str, ArgumentParser]:
    """Its commands by name."""
    (found,) = [action.choices for action in of._actions if action.dest != "help" and isinstance(action.choices, dict)]
    return found


@pytest.mark.parametrize("command", commands(parser()))
def test_every_command_is_documented_and_tried(command: str) -> None:
    assert f"`{command}" in PAGE
    assert f'"{command}"' in TRIED


@pytest.mark.parametrize("command", commands(parser()))
def test_every_command_says_what_it_is_for(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: kubectl deepseek {command}")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["logs"], ["top", "-o", "xml"], ["logs", "x", "--tail", "y"]])
def test_wrong_usage_is_exit_status_2(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "x", "--kubeconfig", str(tmp_path / "none")]) == 1
    assert "Name a kubeconfig by --kubeconfig FILE or KUBECONFIG" in capsys.readouterr().err


STATUSES = {int(code): means for code, means in re.findall(r"(?m)^\| (\d+) \| (.+) \|$", PAGE)}
"""As docs/plugin.md has them."""
SOURCE = Path(deepseek_operator.__file__).parent


def ended_with(tree: ast.AST) -> Iterator[int]:
    """Numbers that functions of `int` return, one of two by a condition too."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and _is_status(function):
            for end in (node for node in ast.walk(function) if isinstance(node, ast.Return) and node.value is not None):
                written = [end.value.body, end.value.orelse] if isinstance(end.value, ast.IfExp) else [end.value]
                for one in written:
                    if isinstance(one, ast.Constant) and isinstance(one.value, int):
                        yield one.value


def _is_status(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return function.returns is not None and ast.unparse(function.returns) in ("int", "int | None")


def test_every_exit_status_of_the_source_is_documented_and_no_other() -> None:
    files = [*(SOURCE / "cli").glob("*.py"), *(SOURCE / "kinds").glob("*/story.py")]
    found = {code for file in files for code in ended_with(ast.parse(file.read_text()))}
    assert found | {2} == STATUSES.keys(), "2 is argparse's too"


def test_an_exit_status_that_nobody_documents_would_be_seen() -> None:
    assert [*ended_with(ast.parse("def answer() -> int:\n    return 0 if True else 64"))] == [0, 64]


async def _interrupted() -> int:
    raise KeyboardInterrupt


async def _refused() -> int:
    raise ValueError("there is no such object")


def test_an_end_is_told_by_the_status_that_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Ctrl-C" in STATUSES[by_kubeconfig(_interrupted())]
    assert "not found" in STATUSES[by_kubeconfig(_refused())]
    assert capsys.readouterr().err == "there is no such object\n"
    size = ["size", "deepseek-ai/DeepSeek-V3", "--accelerator"]
    assert "does not fit" in STATUSES[main([*size, "h200", "--gpus", "1"])]
    assert "can't be answered" in STATUSES[main([*size, "nosuch"])]
    assert STATUSES[main(["size", "--list"])].startswith("done")
