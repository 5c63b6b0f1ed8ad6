"""What is planted to try the campaign has its place in the operator as it is now."""

import pytest

from tests.campaign.planted import PLANTED
from tests.support.operator_process import ROOT


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_has_its_place(name: str) -> None:
    planted = PLANTED[name]
    text = planted.in_place((ROOT / "operator" / "deepseek_operator" / planted.file).read_text())
    compile(text, planted.file, "exec")
