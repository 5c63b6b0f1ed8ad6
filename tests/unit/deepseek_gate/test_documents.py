"""What the documents tell a person to write is what the gate reads and says."""

import inspect
import re
from pathlib import Path

import yaml

import deepseek_gate
from deepseek_gate import decision, server
from deepseek_gate.knowledge import known

ROOT = Path(__file__).parents[3]
SAID = set(decision.INTERNAL)
READ = {
    name.lower()
    for name in re.findall(r'of\("([\w-]+)"\)|getall\("([\w-]+)"', inspect.getsource(server))
    for name in name
    if name
}


def test_the_example_is_one_that_the_gate_reads() -> None:
    maps = list(yaml.safe_load_all((ROOT / "examples" / "gateway-keys" / "keys.yaml").read_text()))
    found = known(maps)
    assert not found.faults
    assert [key.client for key in found.keys.values()] == ["alice"]


def test_the_package_says_in_its_first_lines_how_it_is_asked() -> None:
    told = deepseek_gate.__doc__ or ""
    assert not {name for name in READ | SAID if name not in told}
