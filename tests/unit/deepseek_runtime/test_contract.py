"""Environment and specification are read once, and a wrong value says what to write instead."""

import json
from pathlib import Path

import pytest
import yaml

from deepseek_runtime.contract import Ancestor, Invalid, ResumeFrom, read_contract
from deepseek_runtime.spec import Custom, Full, Weights, read_spec
from tests.support.contract import ENVIRONMENT, SPEC


def test_environment_of_the_contract_is_understood() -> None:
    contract = read_contract(ENVIRONMENT)
    assert contract.gang.world_size == 8
    assert contract.checkpoints.root == Path("/checkpoints/uid")
    assert (contract.checkpoints.every_steps, contract.checkpoints.every_seconds) == (100, None)
    assert contract.ancestry == (Ancestor(1, "j1", "i1"), Ancestor(2, "j2", None))
    assert contract.resume_from == ResumeFrom("other", "Best")
    assert (contract.stall_timeout_s, contract.start_timeout_s) == (600, 900)


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("DEEPSEEK_TRAINING_UID", "", "not set"),
        ("DEEPSEEK_ATTEMPT", "0", "at least 1"),
        ("DEEPSEEK_ATTEMPT", "two", "whole number"),
        ("DEEPSEEK_NODE_RANK", "2", "write 0 to 1"),
        ("DEEPSEEK_CHECKPOINT_EVERY_STEPS", "", "exactly one"),
        ("DEEPSEEK_CHECKPOINT_EVERY_SECONDS", "60", "exactly one"),
        ("DEEPSEEK_CHECKPOINT_BEST_METRIC", "bleu", "Min where less bleu is better, Max where more is"),
        ("DEEPSEEK_RESUME_POLICY", "Sometimes", "Auto or Never"),
        ("DEEPSEEK_RESUME_ANCESTRY", "{}", "list of attempts"),
        ("DEEPSEEK_RESUME_ANCESTRY", "[", "not JSON"),
        ("DEEPSEEK_RESUME_ANCESTRY", '[{"attempt":1}]', "jobUID"),
        ("DEEPSEEK_RESUME_FROM", '{"trainingUID":"../..","checkpoint":"Best"}', "trainingUID"),
        ("DEEPSEEK_RESUME_FROM", '{"trainingUID":"other","checkpoint":"Newest"}', "Latest, Best or a step"),
    ],
)
def test_wrong_variable_says_what_to_write(variable: str, value: str, advice: str) -> None:
    with pytest.raises(Invalid, match=advice):
        read_contract({**ENVIRONMENT, variable: value})


def test_specification_is_read_with_its_defaults() -> None:
    spec = read_spec(json.dumps(SPEC))
    assert spec.model == Custom({"model_type": "deepseek_v3", "hidden_size": 64})
    assert spec.datasets[0].weight == 0.5
    assert spec.hyperparameters.learning_rate == 3e-4
    assert (spec.hyperparameters.max_steps, spec.hyperparameters.epochs) == (10, None)
    assert (spec.hyperparameters.schedule, spec.hyperparameters.precision) == ("Cosine", "bf16")


def test_what_an_older_operator_leaves_out_means_what_was_done_before_there_was_a_choice() -> None:
    chosen = {"objective": "SFT", "method": {"type": "Full"}}
    bare = {name: value for name, value in SPEC.items() if name not in chosen}
    assert read_spec(json.dumps(bare)) == read_spec(json.dumps({**bare, **chosen}))
    assert read_spec(json.dumps({**bare, "objective": None, "method": {}})).method == Full()
    assert read_spec(json.dumps(bare)).objective == "SFT"


def test_weights_are_named_by_their_directory() -> None:
    assert read_spec(json.dumps({**SPEC, "model": {"path": "/model"}})).model == Weights(Path("/model"))


@pytest.mark.parametrize(
    ("path", "value", "advice"),
    [
        ("objective", "DPO", "write one of SFT, Pretrain"),
        ("objective", "Pretrain", "format is PromptCompletion: write format: Text, or objective: SFT"),
        ("method", {"type": "QLoRA"}, "method.type .* write one of Full, LoRA"),
        ("method", {"type": "LoRA"}, "random weights: give the base as model.path, or write method.type Full"),
        ("method", {"lora": {"rank": 8}}, "method.lora is of method LoRA: write method.type LoRA"),
        ("method", {"type": "PTuning"}, "method.type is PTuning, .* random weights"),
        ("method", {"prompt": {}}, "method.prompt is of method PromptTuning and PTuning: write"),
        ("method", {"type": "LoRA", "prompt": {}}, "method.prompt is of method PromptTuning and PTuning"),
        ("method", {"type": "PTuning", "prompt": {"virtualTokens": 0}}, "virtualTokens is 0; write a whole number"),
        ("method", {"type": "PromptTuning", "prompt": {"encoderHiddenSize": 8}}, "only PTuning has an encoder"),
        ("method", {"type": "LoRA", "lora": {"rank": 0}}, "method.lora.rank is 0; write a whole number of at least 1"),
        ("method", {"type": "LoRA", "lora": {"alpha": 0}}, "method.lora.alpha is 0; write a whole number"),
        ("method", {"type": "LoRA", "lora": {"dropout": "1"}}, "method.lora.dropout .* below 1"),
        ("method", {"type": "LoRA", "lora": {"dropout": "-0.1"}}, "method.lora.dropout .* quoted decimal"),
        ("method", {"type": "LoRA", "lora": {"dropout": "0.1", "targets": ["Experts"]}}, "Experts out of targets"),
        ("method", {"type": "LoRA", "lora": {"targets": "Attention"}}, "write a list of texts"),
        ("method", {"type": "LoRA", "lora": {"targets": [""]}}, "write a list of texts"),
        ("method", {"type": "LoRA", "lora": {"export": "GGUF"}}, "write one of Merged, Adapter"),
        ("method", {"type": "LoRA", "lora": {"useDora": True}}, "method.lora.useDora .* no such field"),
        ("model", {}, "exactly one of custom"),
        ("model", {"custom": {}, "path": "/m"}, "exactly one of custom"),
        ("datasets", [], "at least one entry"),
        ("datasets", [{"source": {}}], r"datasets\[0\].source needs exactly one"),
        ("datasets", [{"source": {"builtin": "chess"}}], "uppercase"),
        ("datasets", [{"source": {"builtin": "uppercase"}, "split": "Heldout"}], "split: Train"),
        ("datasets", [{"source": {"builtin": "uppercase"}, "weight": "-1"}], "weight"),
        (
            "datasets",
            [{"source": {"builtin": "reverse"}, "split": "Heldout", "weight": "2"}],
            r"\[0\].weight .* leave it out",
        ),
        ("objectives", "SFT", "objectives is 'SFT'; this trainer knows no such field"),
        ("method", {"type": "Full", "rank": 8}, "method.rank .* no such field"),
        ("model", {"custom": {"hidden_size": 64}, "revision": "main"}, "model.revision .* no such field"),
        ("datasets", [{"source": {"builtin": "reverse", "sha256": "0"}}], "source.sha256 .* no such field"),
        ("datasets", [{"source": {"builtin": "reverse"}, "columns": {}}], "columns .* no such field"),
        ("hyperparameters", {"momentum": "0.9"}, "momentum .* no such field"),
        ("hyperparameters", {"maxSteps": 1, "epochs": 1}, "write one of them"),
        ("hyperparameters", {"learningRate": "fast"}, "quoted decimal"),
        ("hyperparameters", {"learningRate": "nan"}, "quoted decimal"),
        ("hyperparameters", {"optimizer": "SGD"}, "optimizer is 'SGD'; write one of AdamW, AdamW8bit, Muon"),
        ("hyperparameters", {"globalBatchSize": 0}, "at least 1"),
        ("hyperparameters", {"globalBatchSize": "8"}, "whole number"),
        ("hyperparameters", {"schedule": "Exponential"}, "Cosine"),
        ("hyperparameters", {"precision": "fp4"}, "fp32, bf16"),
    ],
)
def test_wrong_field_says_what_to_write(path: str, value: object, advice: str) -> None:
    with pytest.raises(Invalid, match=advice):
        read_spec(json.dumps({**SPEC, path: value}))


def test_field_that_is_null_is_absent() -> None:
    assert read_spec(json.dumps({**SPEC, "parallelism": None})) == read_spec(json.dumps(SPEC))


@pytest.mark.parametrize("example", ["minimal", "accelerators", "resume-from", "r1-distill-70b"])
def test_specification_is_understood_as_the_operator_renders_it(example: str) -> None:
    assert read_spec(rendered_specification(example)).datasets


def rendered_specification(example: str) -> str:
    """DEEPSEEK_TRAINING_SPEC of an example's Job."""
    rendered = (Path(__file__).parents[2] / "golden" / "training" / f"{example}.yaml").read_text()
    rest: list[object] = list(yaml.safe_load_all(rendered))
    while rest:
        match rest.pop():
            case {"name": "DEEPSEEK_TRAINING_SPEC", "value": str(text)}:
                return text
            case dict() as inner:
                rest += inner.values()
            case list() as inner:
                rest += inner
    raise AssertionError(f"{example} has none")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_specification_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="DEEPSEEK_TRAINING_SPEC"):
        read_spec(text)
