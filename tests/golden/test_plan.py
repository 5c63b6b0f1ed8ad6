"""What `plan -f` tells of sizing, without a cluster: what was found and why, or what is missing and what would fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deepseek_operator.__main__ import main
from tests.support.trainings import claim

EXAMPLES = Path(__file__).parents[2] / "examples"
CLAIMS = yaml.safe_dump_all([{**claim(name), "metadata": {"name": name}} for name in ("models", "corpora")])
EDITS = {
    "training-r1-distill-70b": ("training-r1-distill-70b", "", ""),
    "serving-r1-vllm": ("serving-r1-vllm", "", ""),
    "serving-r1-on-8-h100": ("serving-r1-vllm", "nvidia-h200-141", "nvidia-h100-80, perNode: 8"),
    "serving-r1-on-h100": ("serving-r1-vllm", "nvidia-h200-141", "nvidia-h100-80"),
    "serving-r1-on-unknown": ("serving-r1-vllm", "nvidia-h200-141", "nvidia-h300"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_tells_of_sizing_as_its_golden_file_says(
    name: str, golden: Callable[[str, str], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example, old, new = EDITS[name]
    text = (EXAMPLES / f"{example}.yaml").read_text()
    assert old in text
    (tmp_path / "resource.yaml").write_text(text.replace(old, new) if old else text)
    (tmp_path / "seen.yaml").write_text(CLAIMS)
    assert main(["plan", "-f", str(tmp_path / "resource.yaml"), "--seen", str(tmp_path / "seen.yaml")]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    golden(f"plan/{name}.txt", "\n".join(told) + "\n")
