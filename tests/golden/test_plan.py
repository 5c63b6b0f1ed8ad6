"""What `plan -f` tells of sizing, without a cluster: what was found and why, or what is missing and what would fit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_operator.__main__ import main

EXAMPLES = Path(__file__).parents[2] / "examples"
EDITS = {
    "training-r1-distill-70b": ("training-r1-distill-70b", "", ""),
    "serving-r1-vllm": ("serving-r1-vllm", "", ""),
    "serving-triton": ("serving-triton", "", ""),
    "serving-tensorrt-llm": ("serving-tensorrt-llm", "", ""),
    "serving-tensorrt-llm-on-amd": ("serving-tensorrt-llm", "nvidia-h200-141", "amd-mi300x-192"),
    "serving-r1-two-nodes": ("serving-r1-two-nodes", "", ""),
    "serving-r1-over-nodes": ("serving-r1-vllm", "nvidia-h200-141", "nvidia-h100-80"),
    "serving-r1-on-8-h100": ("serving-r1-two-nodes", "count: 2", "count: 1"),
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
    is_refused = name.startswith("serving-r1-on-") or name.endswith("-on-amd")
    assert main(["plan", "-f", str(tmp_path / "resource.yaml")]) == int(is_refused)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("#")]
    golden(f"plan/{name}.txt", "\n".join(told) + "\n")


@pytest.mark.parametrize(
    "example",
    sorted(path for path in EXAMPLES.rglob("*.yaml") if "\napiVersion: deepseek-operator.io/" in path.read_text()),
    ids=lambda path: path.relative_to(EXAMPLES).as_posix(),
)
def test_a_plan_of_any_example_shows_what_would_be_made(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "values.yaml").write_text("sources: {web: {allowed: [https://artifacts.example.org]}}\n")
    assert main(["plan", "-f", str(example), "--profiles", str(tmp_path / "values.yaml")]) == 0
    made = capsys.readouterr().out
    assert any(f"\nkind: {kind}\n" in made for kind in ("Job", "Deployment", "LeaderWorkerSet"))


def test_a_plan_says_what_no_administrator_allows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(EXAMPLES / "training-from-web.yaml")]) == 1
    assert "SourceNotAllowed" in "".join(capsys.readouterr())


def test_a_plan_beside_a_shown_cluster_assumes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.yaml").write_text("")
    example = EXAMPLES / "serving-from-training.yaml"
    assert main(["plan", "-f", str(example), "--seen", str(tmp_path / "empty.yaml")]) == 0
    told = capsys.readouterr().out
    assert "assumed" not in told
    assert "WaitingForTraining" in told
    assert "it would make 0 objects" in told


def test_a_plan_says_what_it_assumed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", str(EXAMPLES / "serving-from-training.yaml")]) == 0
    assumed = [line for line in capsys.readouterr().out.splitlines() if "assumed" in line]
    assert assumed == [
        "#   assumed: DeepSeekTraining minimal is complete and has exported step 1",
        "#   assumed: PersistentVolumeClaim minimal-checkpoints exists",
    ]


SOURCE = {"source": {"uri": "pvc://models/r1"}}


@pytest.mark.parametrize(
    ("model", "fields", "is_told"),
    [
        (SOURCE, {}, True),
        ({"fromTraining": {"name": "tune"}}, {}, True),
        (SOURCE, {"format": "Text"}, False),
        ({"custom": {"model_type": "qwen2"}}, {}, False),
    ],
    ids=["weights", "another training's", "text", "fresh, whose chat is bare text"],
)
def test_a_plan_says_that_training_knows_no_chat_template(
    model: dict[str, object],
    fields: dict[str, str],
    is_told: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = {
        "model": model,
        "datasets": [{"source": {"uri": "builtin://uppercase"}, **fields}],
        "hyperparameters": {"maxSteps": 1},
    }
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekTraining", "metadata": {"name": "t"}}
    (tmp_path / "training.yaml").write_text(json.dumps({**head, "spec": spec}))
    assert main(["plan", "-f", str(tmp_path / "training.yaml")]) == 0
    told = capsys.readouterr().out
    assert ("without the model's chat template" in told) is is_told


@pytest.mark.parametrize(
    "words", [["plan", "-f", "/dev/null", "--profiles"], ["size", "deepseek-r1", "--accelerator", "h200", "--profiles"]]
)
def test_a_file_that_is_nested_too_deeply_is_told_in_a_sentence(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep.yaml"
    file.write_text("[" * 500)
    assert main([*words, str(file)]) == (2 if words[0] == "size" else 1)
    assert "nested too deeply" in capsys.readouterr().err
