"""The plugin's command line: every command is documented, and tried from end to end."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

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
