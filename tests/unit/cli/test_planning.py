"""`plan`: which files it reads, how, and what its exit status and its forms say."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deepseek_operator.__main__ import main
from tests.support.api_objects import minimal_serving, minimal_training

TRAINING, SERVING = (yaml.safe_dump(manifest) for manifest in (minimal_training(), minimal_serving()))


def plan(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    status = main(["plan", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.yml").write_text(SERVING)
    (tmp_path / "a.yaml").write_text(f"{TRAINING}---\n---\n")
    (tmp_path / "README.md").write_text("not: read")
    status, out, _ = plan("-f", str(tmp_path), "-o", "json", capsys=capsys)
    assert (status, [one["name"] for one in json.loads(out)["resources"]]) == (0, ["tune", "chat"])


def test_an_empty_folder_a_missing_file_and_no_yaml_are_told_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is a folder without" in plan("-f", str(tmp_path), capsys=capsys)[2]
    assert "No such file" in plan("-f", str(tmp_path / "nosuch.yaml"), capsys=capsys)[2]
    (tmp_path / "a.yaml").write_text("a: [1\nb: 2\n")
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, "line 2" in err) == (1, True)


@pytest.mark.parametrize("text", ["just a text", "- 1", "a: 1", "kind: 3"])
def test_a_document_that_is_no_object_is_told_with_its_place(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(f"{TRAINING}---\n{text}\n")
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, "a.yaml, document 2: every document must be an object" in err) == (1, True)


def test_standard_input_and_lists_are_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": [minimal_training(), minimal_serving()]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(listed)))
    status, out, _ = plan("-f", "-", "-o", "yaml", capsys=capsys)
    assert (status, len(yaml.safe_load(out)["resources"])) == (0, 2)


def test_one_object_twice_is_refused_with_both_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(f"{TRAINING}---\n{TRAINING}")
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, "is written twice" in err, "document 1" in err, "document 2" in err) == (1, True, True, True)


def test_what_the_operator_does_not_look_at_is_passed_over_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}}
    (tmp_path / "a.yaml").write_text(f"{TRAINING}---\n{yaml.safe_dump(secret)}")
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, "Secret default/hub" in err, "is passed over" in err) == (0, True, True)


def test_a_file_without_a_resource_of_ours_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("")
    assert plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)[0] == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hyperparameters": {"maxSteps": 10, "warmupSteps": 20}}, "is invalid: spec.hyperparameters: Invalid value"),
        ({"accelerator": {"profile": "nosuch"}}, "would be Stalled (UnknownProfile)"),
        ({"accelerator": {"profile": "nvidia-h100-80"}, "model": {"name": "deepseek-r1", "custom": None, "source": {"uri": "pvc://m/x"}}}, "would be Stalled (DoesNotFit)"),
    ],
)  # fmt: skip
def test_what_is_refused_or_would_be_stalled_is_no_success(
    spec: dict[str, object], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = minimal_training()
    manifest["spec"] |= spec
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(manifest))
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, words in err) == (1, True), err


@pytest.mark.parametrize(
    ("written", "is_let_in"),
    [("1e-5", False), ("0.001", False), ('"1e-5"', True), ("1", True), ("2026-01-01", False), ("1:30", False)],
)
def test_scalars_are_read_as_kubectl_reads_them(
    written: str, is_let_in: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyYAML's own reading makes a text of 1e-5, a date of 2026-01-01 and 90 of 1:30."""
    text = TRAINING.replace("maxSteps: 100", f"maxSteps: 100\n    learningRate: {written}")
    assert text != TRAINING
    (tmp_path / "a.yaml").write_text(text)
    assert plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)[0] == int(not is_let_in)


def test_the_controller_never_imports_the_judge_of_rules() -> None:
    code = "import sys, deepseek_operator.controller.handlers; sys.exit('cel' in sys.modules)"
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=paths).returncode == 0
