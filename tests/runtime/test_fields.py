"""No field of a training is accepted and ignored: each one changes what the built-in trainer does.

A case trains twice, with the field at one value and at another, and looks at what went through the model, at what the
optimizer did and at what is left on the volume. A field of the API without a case fails the last test.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from deepseek_runtime.contract import Invalid
from tests.runtime.families import FAMILIES
from tests.runtime.observed import Document, Observed
from tests.runtime.pods import ROOT
from tests.runtime.workplace import ABSENT, TINY, WORDS, Workplace, of

pytestmark = pytest.mark.filterwarnings("ignore")


def another_model_is_built(base: Observed, other: Observed) -> None:
    assert len(other.updates[0].before) > len(base.updates[0].before)


def weights_are_gone_on_from(base: Observed, other: Observed) -> None:
    assert not torch.equal(base.updates[0].before[0], base.updates[-1].after[0])
    assert_equal(other.updates[0].before, base.updates[-1].after)


def other_examples_are_learnt(base: Observed, other: Observed) -> None:
    assert set(base.learnt) == solved("few", "others")
    assert set(other.learnt) == solved("heldout", "others")


def another_task_is_learnt(base: Observed, other: Observed) -> None:
    for run, answer in ((base, str.upper), (other, lambda word: word[::-1])):
        pairs = [text.split("=") for text in run.learnt]
        assert [right for _, right in pairs] == [answer(word) for word, _ in pairs]
        assert len(pairs) == 4


def dataset_is_evaluated_instead_of_learnt(base: Observed, other: Observed) -> None:
    assert solved("others") <= set(base.learnt)
    assert not solved("others") & evaluated(base)
    assert not solved("others") & set(other.learnt)
    assert solved("others") <= evaluated(other)


def experts_are_chosen_by_a_moving_bias(base: Observed, other: Observed) -> None:
    assert base.learnt == other.learnt
    for run, is_moved in ((base, False), (other, True)):
        (bias,) = (one for name, one in run.network.named_buffers() if name.endswith("e_score_correction_bias"))
        assert bool(bias.any()) == is_moved


def texts_are_packed(base: Observed, other: Observed) -> None:
    assert set(base.learnt) == solved("few")
    assert set(other.learnt) == {"ab=AB<|end|>cd=CD<|end|>ef=", "F<|end|>gh=GH"}
    assert base.losses[0] != other.losses[0]


def dataset_is_seen_as_often_as_its_weight_says(base: Observed, other: Observed) -> None:
    assert base.learnt == dict.fromkeys(solved("few", "others"), 1)
    assert other.learnt == dict.fromkeys(solved("few"), 3) | dict.fromkeys(solved("others"), 1)


def step_sees_so_many_sequences(base: Observed, other: Observed) -> None:
    assert [len(one.texts) for one in base.trained] == [4, 4]
    assert [len(one.texts) for one in other.trained] == [8, 8]


def passes_are_smaller_and_losses_alike(base: Observed, other: Observed) -> None:
    assert [len(one.texts) for one in base.trained] == [4] * 2
    assert [len(one.texts) for one in other.trained] == [1] * 8
    assert {len(one.texts) for one in base.evaluated} == {2}
    assert {len(one.texts) for one in other.evaluated} == {1}, "evaluation needs the memory as well"
    assert other.losses == pytest.approx(base.losses, abs=1e-5)
    assert_close(other.updates[0].after, base.updates[0].after)


def narrow_matrices_are_moved(base: Observed, other: Observed) -> None:
    assert max(min(one.shape) for one in base.updates[0].before if one.ndim > 1) > 4
    assert {min(one.shape) for one in other.updates[0].before} == {4}


def matrices_are_wider(base: Observed, other: Observed) -> None:
    assert {min(one.shape) for one in base.updates[0].before} == {4}
    assert {min(one.shape) for one in other.updates[0].before} == {8}


def what_is_learnt_counts_twice(base: Observed, other: Observed) -> None:
    assert other.losses[0] == base.losses[0], "an adapter begins as nothing"
    assert other.updates[0].gradient_norm == pytest.approx(2 * base.updates[0].gradient_norm)


def adapter_sees_less(base: Observed, other: Observed) -> None:
    assert other.losses[0] == base.losses[0], "an adapter begins as nothing"
    assert not torch.equal(other.updates[0].change, base.updates[0].change)


def one_matrix_is_adapted(base: Observed, other: Observed) -> None:
    assert len(base.updates[0].before) == 2 * 5, "all projections of latent attention"
    assert len(other.updates[0].before) == 2


def more_are_learnt(base: Observed, other: Observed) -> None:
    assert [tuple(one.shape) for one in virtual_tokens(base, other)] == [(2, 16), (3, 16)]


def encoder_is_narrower(base: Observed, other: Observed) -> None:
    widths = [run.network.prompt_encoder.mlp_head[0].out_features for run in (base, other)]
    assert widths == [128, 4]
    assert [len(one) for one in virtual_tokens(base, other)] == [2, 2]


def virtual_tokens(*runs: Observed) -> list[torch.Tensor]:
    """What each run exported."""
    return [load_file(run.export() / "adapter_model.safetensors")["prompt_embeddings"] for run in runs]


def adapter_is_left_in_two_files(base: Observed, other: Observed) -> None:
    assert (base.export() / "model.safetensors").exists()
    files = {file.name for file in other.export().iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "manifest.json"}


def gradients_are_smaller_from_the_third_step_on(base: Observed, other: Observed) -> None:
    assert other.losses[:2] == base.losses[:2]
    for before, (plain, narrow) in enumerate(zip(base.updates, other.updates, strict=True)):
        assert torch.equal(plain.change, narrow.change) is (before < 2)


def no_logits_leave_the_head(base: Observed, other: Observed) -> None:
    assert {len(shape) for shape in base.logits} == {3}
    assert {tuple(shape) for shape in other.logits} == {(2,)}, "the sum of the losses and a count"
    assert other.losses == pytest.approx(base.losses, abs=1e-5)
    assert_close(other.updates[-1].after, base.updates[-1].after)
    assert [record for record in other.records if record["event"] == "evaluation"] == [
        pytest.approx(record, abs=1e-5) for record in base.records if record["event"] == "evaluation"
    ]


def layers_are_computed_again(base: Observed, other: Observed) -> None:
    assert other.attended == 2 * base.attended > 0
    assert other.losses == base.losses
    assert torch.equal(other.updates[-1].change, base.updates[-1].change)


def sequences_are_cut(base: Observed, other: Observed) -> None:
    assert set(base.learnt) == solved("few", "others")
    assert set(other.learnt) == {text[:-1] for text in solved("few", "others")}


def first_update_is_as_large_as_the_rate(base: Observed, other: Observed) -> None:
    assert base.updates[0].change.norm() > 0.1
    assert torch.allclose(other.updates[0].change, base.updates[0].change / 100, atol=1e-6)


def rate_falls_in_a_line(base: Observed, other: Observed) -> None:
    assert rates(base) == pytest.approx([1e-2] * 4)
    assert rates(other) == pytest.approx([1e-2, 0.75e-2, 0.5e-2, 0.25e-2])


def rate_falls_as_a_cosine(base: Observed, other: Observed) -> None:
    assert rates(base) == pytest.approx([1e-2] * 4)
    assert rates(other) == pytest.approx([1e-2, 0.85355e-2, 0.5e-2, 0.14645e-2], rel=1e-4)


def rate_rises_first(base: Observed, other: Observed) -> None:
    assert rates(base) == pytest.approx([1e-2] * 4)
    assert rates(other) == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2, 1e-2])
    assert torch.allclose(other.updates[0].change, base.updates[0].change / 3, atol=1e-6)


def so_many_steps_are_made(base: Observed, other: Observed) -> None:
    assert (len(base.updates), len(other.updates)) == (2, 3)
    assert (base.kept, other.kept) == ([2], [3])


def examples_are_seen_once_more(base: Observed, other: Observed) -> None:
    assert base.learnt == dict.fromkeys(solved("few", "others"), 1)
    assert other.learnt == dict.fromkeys(solved("few", "others"), 2)


def numbers_are_of_that_kind(base: Observed, other: Observed) -> None:
    for run, kind in ((base, torch.float32), (other, torch.bfloat16)):
        assert {one.kind for one in run.passes} == {kind}
        assert load_file(run.export() / "model.safetensors")["lm_head.weight"].dtype == kind
        assert {one.dtype for one in run.updates[0].after} == {torch.float32}


def matrices_are_turned(base: Observed, other: Observed) -> None:
    """Of the two optimizers of a step Muon is the first; no direction of a matrix is moved further than another."""
    turned = [
        torch.linalg.svdvals(after - before) / (1e-2 * 0.2 * max(before.shape) ** 0.5)
        for before, after in zip(other.updates[0].before, other.updates[0].after, strict=True)
        if before.ndim == 2
    ]
    assert all(0.6 < values[0] < 1.3 for values in turned)
    assert len(other.updates[0].before) + len(other.updates[1].before) == len(base.updates[0].before)


def matrices_shrink(base: Observed, other: Observed) -> None:
    for before, plain, decayed in zip(
        base.updates[0].before, base.updates[0].after, other.updates[0].after, strict=True
    ):
        shrunk = 1e-2 * 0.5 * before if before.ndim > 1 else torch.zeros_like(before)
        assert torch.allclose(plain - decayed, shrunk, atol=1e-6)


def gradients_are_shortened(base: Observed, other: Observed) -> None:
    assert base.updates[0].gradient_norm > 0.5
    assert other.updates[0].gradient_norm == pytest.approx(0.01, rel=1e-3)


def weights_and_order_are_others(base: Observed, other: Observed) -> None:
    assert not torch.equal(base.updates[0].before[0], other.updates[0].before[0])
    assert [one.texts for one in base.trained] != [one.texts for one in other.trained]
    assert base.learnt == other.learnt


def dropout_is_another(base: Observed, other: Observed) -> None:
    assert_equal(base.updates[0].before, other.updates[0].before)
    assert base.trained == other.trained
    assert base.losses[0] != other.losses[0]


def evaluated_after_every_step(base: Observed, other: Observed) -> None:
    assert base.evaluations == [2]
    assert other.evaluations == [0, 1, 2]


def answers_are_written(base: Observed, other: Observed) -> None:
    samples = [[record for record in run.records if record["event"] == "sample"] for run in (base, other)]
    assert (samples[0], [record["prompt"] for record in samples[1]]) == ([], ["qr=", "st="])
    assert [record["meant"] for record in samples[1]] == ["QR<|end|>", "ST<|end|>"]
    assert_equal(base.updates[-1].after, other.updates[-1].after)


def answers_are_longer(base: Observed, other: Observed) -> None:
    for run, least in ((base, 1), (other, 3)):
        widest = max(one.width for one in run.evaluated[-least:])
        assert widest == len("qr=") + least - 1


def solved(*names: str) -> set[str]:
    """The examples of these files as the model reads them."""
    return {f"{word}={word.upper()}" for name in names for word in WORDS[name]}


def rates(run: Observed) -> list[float]:
    return [update.rate for update in run.updates]


def evaluated(run: Observed) -> set[str]:
    return {text for one in run.evaluated for text in one.texts}


def assert_equal(these: list[torch.Tensor], those: list[torch.Tensor]) -> None:
    assert all(torch.equal(one, two) for one, two in zip(these, those, strict=True))


def assert_close(these: list[torch.Tensor], those: list[torch.Tensor]) -> None:
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in zip(these, those, strict=True))


@dataclass(frozen=True)
class Case:
    """`field` by its name in the API; `base` and `other` are the specification's values by dotted path."""

    field: str
    base: Mapping[str, object]
    other: Mapping[str, object]
    shows: Callable[[Observed, Observed], None]


def hyperparameter(
    name: str, base: object, other: object, shows: Callable[[Observed, Observed], None], **same: object
) -> Case:
    """Two values of one hyperparameter, beside others that are the same in both runs."""
    path, both = f"hyperparameters.{name}", {f"hyperparameters.{key}": value for key, value in same.items()}
    return Case(path, {**both, path: base}, {**both, path: other}, shows)


def dropout(seed: int) -> dict[str, object]:
    return {
        "model": lambda workplace: {"path": workplace.with_dropout()},
        "datasets": of("one"),
        "hyperparameters.globalBatchSize": 1,
        "hyperparameters.seed": seed,
    }


def builtin(task: str) -> dict[str, object]:
    return {"datasets": [{"source": {"builtin": task}}], "hyperparameters.maxSteps": 1}


ONE_EPOCH = {"hyperparameters.maxSteps": ABSENT, "hyperparameters.epochs": 1}
FEW = {"datasets": of("few")}
WITH_EXPERTS = {**FEW, "datasets.0.format": "Text", "model.custom": FAMILIES["deepseek_v3"]}


def lora(**settings: object) -> Document:
    """An adapter of rank 4 beside the weights that the usual training has left."""
    return {
        "model": lambda workplace: {"path": workplace.export()},
        "method": {"type": "LoRA", "lora": {"rank": 4, **settings}},
    }


def compressed(rank: int | None) -> dict[str, object]:
    """An adapter whose gradients travel as matrices of so many columns, or whole."""
    asked = {"type": "PowerSGD", "rank": rank} if rank is not None else ABSENT
    return {**lora(rank=8), "hyperparameters.maxSteps": 4, "hyperparameters.gradientCompression": asked}


def virtual(kind: str, **settings: object) -> Document:
    """Virtual tokens before the weights that the usual training has left."""
    model = {"model": lambda workplace: {"path": workplace.export()}}
    return {**model, "method": {"type": kind, "prompt": {"virtualTokens": 2, **settings}}}


CASES = (
    Case("method.type", {"model": lambda w: {"path": w.export()}}, lora(), narrow_matrices_are_moved),
    Case("method.lora.rank", lora(), lora(rank=8), matrices_are_wider),
    Case("method.lora.alpha", lora(alpha=8), lora(alpha=16), what_is_learnt_counts_twice),
    Case("method.lora.dropout", lora(), lora(dropout="0.5"), adapter_sees_less),
    Case("method.lora.targets", lora(), lora(targets=["q_a_proj"]), one_matrix_is_adapted),
    Case("method.lora.export", lora(), lora(export="Adapter"), adapter_is_left_in_two_files),
    Case("method.prompt.virtualTokens", virtual("PromptTuning"), virtual("PromptTuning", virtualTokens=3), more_are_learnt),
    Case("method.prompt.encoderHiddenSize", virtual("PTuning"), virtual("PTuning", encoderHiddenSize=4), encoder_is_narrower),
    Case("model.custom", {}, {"model.custom": {**TINY, "num_hidden_layers": 2}}, another_model_is_built),
    Case("model.source.uri", {}, {"model": lambda w: {"path": w.export()}}, weights_are_gone_on_from),
    Case("datasets.source.uri", {}, {"datasets.0.source": lambda w: w.file("heldout")}, other_examples_are_learnt),
    Case("datasets.source.uri", builtin("uppercase"), builtin("reverse"), another_task_is_learnt),
    Case("datasets.split", {}, {"datasets.1.split": "Heldout"}, dataset_is_evaluated_instead_of_learnt),
    Case(
        "objective",
        {**WITH_EXPERTS, "objective": "SFT"},
        {**WITH_EXPERTS, "objective": "Pretrain"},
        experts_are_chosen_by_a_moving_bias,
    ),
    Case("datasets.format", FEW, {**FEW, "datasets.0.format": "Text"}, texts_are_packed),
    Case("datasets.weight", ONE_EPOCH, {**ONE_EPOCH, "datasets.0.weight": "3"}, dataset_is_seen_as_often_as_its_weight_says),
    hyperparameter("globalBatchSize", 4, 8, step_sees_so_many_sequences),
    hyperparameter("microBatchSize", ABSENT, 1, passes_are_smaller_and_losses_alike),
    hyperparameter("sequenceLength", 16, 5, sequences_are_cut),
    hyperparameter("learningRate", "1e-2", "1e-4", first_update_is_as_large_as_the_rate),
    hyperparameter("schedule", "Constant", "Linear", rate_falls_in_a_line, maxSteps=4),
    hyperparameter("schedule", "Constant", "Cosine", rate_falls_as_a_cosine, maxSteps=4),
    hyperparameter("warmupSteps", 0, 3, rate_rises_first, maxSteps=4),
    hyperparameter("maxSteps", 2, 3, so_many_steps_are_made),
    hyperparameter("epochs", 1, 2, examples_are_seen_once_more, maxSteps=ABSENT),
    hyperparameter("precision", "fp32", "bf16", numbers_are_of_that_kind),
    hyperparameter("crossEntropy", "Whole", "Chunked", no_logits_leave_the_head, evalEverySteps=1),
    hyperparameter("activationRecomputation", "None", "Selective", layers_are_computed_again),
    hyperparameter("activationRecomputation", "None", "Full", layers_are_computed_again),
    hyperparameter("optimizer", "AdamW", "Muon", matrices_are_turned),
    Case("hyperparameters.gradientCompression.type", compressed(None), compressed(1), gradients_are_smaller_from_the_third_step_on),
    Case("hyperparameters.gradientCompression.rank", compressed(1), compressed(2), gradients_are_smaller_from_the_third_step_on),
    hyperparameter("weightDecay", "0", "0.5", matrices_shrink),
    hyperparameter("gradientClipNorm", "0", "0.01", gradients_are_shortened),
    hyperparameter("seed", 0, 1, weights_and_order_are_others),
    Case("hyperparameters.seed", dropout(seed=0), dropout(seed=1), dropout_is_another),
    hyperparameter("evalEverySteps", ABSENT, 1, evaluated_after_every_step),
    hyperparameter("evalSamples", ABSENT, 2, answers_are_written),
    hyperparameter("evalSampleTokens", 1, 3, answers_are_longer, evalSamples=2),
)  # fmt: skip
# How status and metrics call the model and where the catalogue finds its size; what the operator turns into a path
# and into a number of steps before a pod is told; and what only DeepSpeed's file says.
OF_THE_OPERATOR = {
    *("model.name", "model.fromTraining.name", "model.fromTraining.checkpoint", "hyperparameters.moreSteps"),
    "hyperparameters.gradientCompression.freezeSteps",
    # Of what is fetched before the trainer starts, which reads a folder.
    *(f"{part}.source.{name}" for part in ("model", "datasets") for name in ("claimName", "credentials", "digest")),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.field}: {case.shows.__name__}")
def test_field_changes_what_the_trainer_does(workplace: Workplace, case: Case) -> None:
    case.shows(workplace.train(case.base), workplace.train(case.other))


def test_pins_of_dvc_let_the_data_in_that_they_were_made_of_and_no_other(workplace: Workplace, tmp_path: Path) -> None:
    pinned = workplace.files / "few.jsonl"
    right = hashlib.md5(pinned.read_bytes(), usedforsecurity=False).hexdigest()
    for md5 in (right, "f" * 32):
        (workplace.files / f"{md5}.dvc").write_text(f"outs:\n- md5: {md5}\n  path: few.jsonl\n")
    for field, good, bad in (
        ("md5", right, "f" * 32),
        ("file", f"{workplace.files}/{right}.dvc", f"{workplace.files}/{'f' * 32}.dvc"),
    ):
        source = {"path": str(pinned), "dvc": {field: good}}
        assert workplace.train({"datasets.0.source": source}).losses == workplace.train().losses
        with pytest.raises(Invalid, match=right):
            workplace.attempt(tmp_path / field, {"datasets.0.source": {**source, "dvc": {field: bad}}})


def test_every_field_that_the_api_offers_the_trainer_has_a_case() -> None:
    crd = yaml.safe_load((ROOT / "crds" / "deepseek-operator.io_deepseektrainings.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    offered = {leaf for part in PARTS for leaf in leaves(part, spec[part])}
    assert offered == {case.field for case in CASES} | OF_THE_OPERATOR | PINS


PINS = {"datasets.source.dvc.md5", "datasets.source.dvc.file"}
"""A wrong one trains nothing, so two trainings can't be compared."""
PARTS = ("model", "objective", "method", "datasets", "hyperparameters")


def leaves(path: str, schema: Mapping[str, object]) -> Iterator[str]:
    """Dotted paths of the fields below a schema; an object of free fields is one."""
    properties = (schema.get("items") or schema).get("properties")  # type: ignore[attr-defined]
    if not properties:
        yield path
    for name, inner in (properties or {}).items():
        yield from leaves(f"{path}.{name}", inner)
