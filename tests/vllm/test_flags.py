"""Every flag that the table of vLLM names, or that a command has, is one of the released parser's, and no short one is missed."""

import fnmatch
import os
import re
import subprocess
from pathlib import Path

import pytest

from deepseek_operator.domain.programs.engines.vllm import FLAGS
from tests.vllm.rendered import rendered
from tests.vllm.shapes import SHAPES

_OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][a-zA-Z0-9-]*")
OURS_NOT = {"-h", "-dcp", "-dc", "-ac", "-cc"}
"""Short flags that decide nothing of ours: help, the cache spread over the tensor ranks, and engine-internal settings."""


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Options as the manual of this release spells them, where it lists them; what its sentences say is none."""
    program = [str(Path(os.environ["VLLM"]) / "bin" / "vllm"), "serve", "--help=all"]
    manual = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    heads = [line for line in manual.splitlines() if re.match(r"  -{1,2}[a-zA-Z]", line)]
    return {option for line in heads for option in _OPTION.findall(line)}


def test_the_table_names_no_flag_that_it_has_not(known: set[str]) -> None:
    owned = [name for one in FLAGS.owned for name in one.names]
    names = [*owned, *FLAGS.read, *FLAGS.overrides, *FLAGS.yielding]
    spelt = [name if name.startswith("-") else f"--{name}" for name in names]
    assert len(known) > 300
    assert [name for name in spelt if not fnmatch.filter(known, name)] == []


def test_the_table_has_every_short_flag(known: set[str]) -> None:
    """A flag that is refused or counted by its long name must not pass by its short one."""
    named = {name for one in FLAGS.owned for name in one.names} | set(FLAGS.read)
    assert {name for name in known if not name.startswith("--")} - named == OURS_NOT


def test_a_command_has_no_flag_that_it_has_not(known: set[str]) -> None:
    command = rendered(Path("/m"), SHAPES["llama"], {"one": Path("/a")}).arguments(8000)
    written = {word for word in command if word.startswith("-")}
    assert {"--shutdown-timeout", "--middleware", "--lora-modules", "--served-model-name"} <= written
    assert written - known == set()
