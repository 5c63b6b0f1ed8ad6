"""Every kubectl command of README and docs/ is read by a real kubectl, which nobody answers: its flags and words must exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.doc_blocks import Block, all_blocks, typed
from tests.support.shell_words import commands

KUBECTL = Path(sys.executable).parent / "kubectl"
NOBODY = """
apiVersion: v1
kind: Config
current-context: nobody
contexts: [{name: nobody, context: {cluster: nobody, user: nobody}}]
clusters: [{name: nobody, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: nobody, user: {}}]
"""
OTHERS = frozenset({"deepseek", "completion"})
"""Not kubectl's own, or without a server."""
WRONG = (
    "unknown flag",
    "unknown shorthand",
    "unknown command",
    "invalid argument",
    "arg(s)",
    "must specify",
    "needs an argument",
)


def _commands() -> dict[tuple[str, ...], Block]:
    return {
        tuple(words[1:]): block
        for block in all_blocks()
        if block.language in ("bash", "console") and not block.is_marked
        for words in commands(typed(block))
        if words[0] == "kubectl" and words[1] not in OTHERS
    }


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a kubectl that reaches nobody."""
    file = tmp_path_factory.mktemp("nobody") / "kubeconfig"
    file.write_text(NOBODY)
    return {**os.environ, "KUBECONFIG": str(file)}


def told(arguments: tuple[str, ...], environment: dict[str, str]) -> str:
    """What kubectl says of a command line that it does not read; empty of one that it tried to do."""
    done = subprocess.run(
        [KUBECTL, *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
    )
    return next((line for line in done.stderr.splitlines() if any(word in line for word in WRONG)), "")


@pytest.mark.parametrize(("arguments", "block"), [pytest.param(*one, id=str(one[1])) for one in _commands().items()])
def test_kubectl_reads_it(arguments: tuple[str, ...], block: Block, environment: dict[str, str]) -> None:
    assert told(arguments, environment) == "", str(block)


@pytest.mark.parametrize(
    "arguments", [("get", "pods", "--nosuch"), ("lgos", "x"), ("get", "pods", "-Q"), ("wait", "--for")]
)
def test_what_kubectl_does_not_read_is_told(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    assert told(arguments, environment)
