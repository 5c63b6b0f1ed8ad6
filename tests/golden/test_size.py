"""What `size` prints: a golden file for each question that a team asks first, and what a mistaken question is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepseek_operator.__main__ import main

QUESTIONS = {
    "r1-on-8-h200": ("deepseek-r1 --accelerator h200 --gpus 8", 0),
    "r1-on-8-h100": ("deepseek-r1 --accelerator h100 --gpus 8", 1),
    "r1-on-h100": ("deepseek-r1 --accelerator h100", 0),
    "r1-awq-on-8-h100-sglang": (
        "deepseek-r1 --accelerator h100 --gpus 8 --quantization awq --engine sglang --sequence-length 32768",
        0,
    ),
    "70b-full-on-16-a100": ("deepseek-r1-distill-llama-70b --method Full --accelerator a100-80 --gpus 16", 0),
    "70b-full-on-8-a100": ("deepseek-r1-distill-llama-70b --method Full --accelerator a100-80 --nodes 1", 1),
    "32b-lora-on-h100": (
        "deepseek-r1-distill-qwen-32b --method LoRA --accelerator h100 --sequence-length 8192 --tokens 1000000000",
        0,
    ),
    "list": ("--list", 0),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_as_its_golden_file_says(
    name: str, golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    words, status = QUESTIONS[name]
    assert main(["size", *words.split()]) == status
    golden(f"size/{name}.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("deepseek-r2 --accelerator h100", "nearest: deepseek-r1"),
        ("deepseek-r1 --accelerator a100", "nearest: "),
        ("deepseek-r1 --accelerator h200 --quantization q4", "known are"),
        ("deepseek-r1 --accelerator h100 --gpus 12", "write a multiple of 8"),
        ("deepseek-r1", "--accelerator"),
        ("deepseek-r1 --accelerator h200 --gpus 0", "must be at least 1"),
        ("deepseek-r1 --accelerator h200 --gpus 8 --nodes 0", "must be at least 1"),
        ("deepseek-r1 --accelerator h200 --gpus 8 --nodes 3", "write a multiple of 3"),
        ("deepseek-r1 --accelerator h200 --gpus 1000000000", "nodes must be from 1 to 1,024"),
        ("deepseek-r1 --accelerator h200 --concurrency 0", "concurrency must be from 1"),
        ("deepseek-r1 --accelerator h200 --method LoRA --sequence-length 0", "sequence must be from 1"),
        ("deepseek-r1 --accelerator h200 --method LoRA --sequence-length 10000000000", "sequence must be from 1"),
        ("deepseek-r1 --accelerator h200 --method LoRA --tokens -1", "total_tokens must be from 1"),
        (f"deepseek-r1 --accelerator h200 --method LoRA --tokens 1{'0' * 400}", "total_tokens must be from 1"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", *words.split()]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_private_model_is_sized_by_its_own_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 80,
        "hidden_size": 8192,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert main(["size", str(file), "--accelerator", "h100"]) == 0
    assert "TP 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no JSON that can be read"),
        ("[" * 100_000, "is no JSON that can be read"),
        ("[1]", "must hold a JSON object"),
        ("null", "must hold a JSON object"),
        ('{"model_type": "mixtral"}', "model_type 'mixtral' is not one that sizing knows"),
    ],
)
def test_a_config_that_can_not_be_read_is_told_by_its_name(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    assert main(["size", str(file), "--accelerator", "h100"]) == 2
    assert said in capsys.readouterr().err


def test_an_administrators_profile_is_asked_for_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles:\n  lab-h200: {base: h200, perNode: 4}\n")
    words = ["size", "deepseek-r1-distill-llama-70b", "--accelerator", "lab-h200", "--profiles", str(file)]
    assert main(words) == 0
    assert "on lab-h200" in capsys.readouterr().out


@pytest.mark.parametrize(
    "written", ["lora", "LORA", "LoRA", "qlora", "p-tuning", "prompt-tuning", "full", "full-fine-tuning"]
)
def test_a_method_is_known_in_any_case(written: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "deepseek-r1-distill-qwen-7b", "--accelerator", "h200", "--method", written]) == 0, written
    assert "trained" in capsys.readouterr().out


def test_an_unknown_method_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "deepseek-r1", "--accelerator", "h200", "--method", "dora"]) == 2
    assert "QLoRA" in capsys.readouterr().err


@pytest.mark.parametrize(("gpus", "status"), [("8", 0), ("1", 1)])
def test_json_has_the_whole_answer_and_its_status(gpus: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["size", "deepseek-r1", "--accelerator", "h200", "--gpus", gpus, "-o", "json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found["fits"] is (status == 0)
    wanted = {"shape", "layout", "memory"} | (
        {"serving", "warnings", "storage"} if status == 0 else {"reason", "message"}
    )
    assert wanted <= found.keys()
