"""`plan`: which files it reads, how, and what its exit status and its forms say."""

import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deepseek_operator.__main__ import main
from deepseek_operator.cli.planning import Document, planned, read
from deepseek_operator.core.configuration import Configuration
from tests.support.api_objects import minimal_serving, minimal_training
from tests.support.posters import WITH_POSTERS, a_poster

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


# --- files that are odd ---------------------------------------------------------------------------------------------


def _json_of(field: str, text: str) -> str:
    """A serving with a piece of JSON at that field."""
    manifest = minimal_serving()
    manifest["spec"]["accelerator"] = {"profile": "nvidia-h100-80"}
    *above, last = field.split(".")
    place: dict[str, object] = manifest
    for name in above:
        place = place.setdefault(name, {})  # type: ignore[assignment]
    place[last] = "@"
    return json.dumps(manifest).replace('"@"', text)


def _nested(depth: int, opening: str = '{"a":', closing: str = "}") -> str:
    return opening * depth + "1" + closing * depth


def _lists(depth: int) -> str:
    return _nested(depth, "[", "]")


def _aliases(first: str, of_many: str) -> str:
    """Nine names, each nine of the one before."""
    lines = [f"a: &a {first}"]
    for before, name in itertools.pairwise("abcdefghij"):
        lines.append(f"{name}: &{name} " + of_many.replace("@", ",".join([f"*{before}"] * 9)))
    return "".join(f"    {line}\n" for line in lines)


def _with_custom(text: str) -> str:
    manifest = minimal_serving()
    manifest["spec"]["model"].pop("custom", None)
    return f"{yaml.safe_dump(manifest).replace('  model:', '  model:' + chr(10) + '   custom:' + chr(10) + text.rstrip(), 1)}"


TOO_DEEP = "would be Stalled (TooLarge): {} is nested more than 24 levels deep"


@pytest.mark.parametrize("depth", [100, 600])
@pytest.mark.parametrize(
    ("field", "nested", "words"),
    [
        ("spec.model.custom", _nested, TOO_DEEP.format("spec.model.custom")),
        ("spec.model.custom.list", _lists, TOO_DEEP.format("spec.model.custom")),
        ("spec.model.custom.quantization_config", _nested, TOO_DEEP.format("spec.model.custom")),
        ("metadata.annotations", _nested, "metadata.annotations: Invalid value: a: must be a string"),
        ("metadata.labels.deep", _lists, "metadata.labels: Invalid value: deep: must be a string"),
        ("spec.nosuch", _nested, 'unknown field "spec.nosuch"'),
        ("spec.engine.args", _lists, "spec.engine.args[0]: Invalid value"),
        ("status", _nested, TOO_DEEP.format("status.a.a")),
    ],
)
def test_what_is_nested_deeply_is_answered_as_the_server_and_the_operator_would(
    field: str, nested: Callable[[int], str], words: str, depth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(_json_of(field, nested(depth)))
    status, _, err = plan("-f", str(tmp_path / "a.json"), capsys=capsys)
    assert (status, words in err) == (1, True), err[-500:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_json_of("spec.model.custom", _nested(10_100)), "a.yaml: exceeded max depth of 10000"),
        (_with_custom(_aliases("[x,x,x,x]", "[@]")), "document 1: Request entity too large: limit is 3145728"),
        (_with_custom(_aliases("{x: 1}", "{<<: [@]}")), "a.yaml: document contains excessive aliasing"),
        (_with_custom("    a: &a {x: *a}"), "a.yaml: anchor 'a' value contains itself"),
        (_with_custom("    a: &a [[*a]]"), "a.yaml: anchor 'a' value contains itself"),
        ("kind: List\nitems: &a [*a]", "a.yaml: anchor 'a' value contains itself"),
        (_with_custom(f"    a: &a {'x' * 200_000}\n    b: [{'*a,' * 20}]"), "document 1: Request entity too large"),
        (_with_custom("    a: .nan"), "a.yaml: json: unsupported value: .nan"),
        (_with_custom("    a: -.inf"), "a.yaml: json: unsupported value: -.inf"),
        (_with_custom("    a: " + "9" * 5_000), "a.yaml: Exceeds the limit"),
        (_with_custom("    a: !!binary aGk="), "a.yaml: could not determine a constructor"),
        (_with_custom("    a: !!set {x}"), "a.yaml: could not determine a constructor"),
        ("kind: !!python/object/apply:os.system ['x']", "a.yaml: could not determine a constructor"),
        ("kind: DeepSeekServing\nmetadata: [1]", "document 1: metadata must be an object"),
        (_json_of("metadata.annotations", "[1]"), "metadata.annotations: Invalid value: must be a map of texts"),
        (_json_of("metadata.annotations", '{"a": true}'), "a: must be a string: write it in quotes"),
        (_json_of("metadata.namespace", "1"), "metadata.namespace: Invalid value: 1: must be a string"),
        (_json_of("metadata.finalizers", "[1]"), "metadata.finalizers: Invalid value: must be a list of texts"),
        ("---\n---\n# nothing\n---\n", "there is no DeepSeekTraining and no DeepSeekServing"),
    ],
    ids=lambda value: value[:40] if value.startswith(("a.", "doc", "meta")) else "",
)  # fmt: skip
def test_an_odd_file_is_refused_in_words_that_name_it(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(text)
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, words in err) == (1, True), err[-500:]


@pytest.mark.parametrize("content", [bytes(range(256)), "kind: X".encode("utf-16"), b"\x7fELF\x02\x01\x01\xff"])
def test_what_is_no_text_is_told_with_its_file(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    status, _, err = plan("-f", str(tmp_path), capsys=capsys)
    assert (status, "a.yaml is not text in UTF-8" in err) == (1, True), err


@pytest.mark.parametrize("metadata", [{"name": ["x"]}, {"name": 1}, None])
@pytest.mark.parametrize("version", ["v1", ["v1"], None])
def test_another_kind_that_is_no_object_is_passed_over(
    metadata: object, version: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {"apiVersion": version, "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": [1]}
    (tmp_path / "a.yaml").write_text(f"{SERVING}---\n{yaml.safe_dump(other)}")
    status, _, err = plan("-f", str(tmp_path / "a.yaml"), capsys=capsys)
    assert (status, "is passed over" in err) == (0, True), err


def test_aliases_and_texts_of_two_halves_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = minimal_serving()
    manifest["metadata"]["annotations"] = {"a": "@"}
    (tmp_path / "a.json").write_text(json.dumps(manifest).replace('"@"', '"\\ud83d\\ude00 \\ud800"'))
    labels = "metadata: &m\n  labels: &l {a: b}\n  annotations: {<<: *l, c: d}"
    (tmp_path / "b.yaml").write_text(TRAINING.replace("metadata:", labels, 1))
    assert plan("-f", str(tmp_path), capsys=capsys)[0] == 0
    (document,) = read([str(tmp_path / "a.json")], lambda name: Path(name).read_text())
    assert document.manifest["metadata"]["annotations"] == {"a": "\U0001f600 \ufffd"}


@pytest.mark.parametrize("seen", [None, ()], ids=["assumed", "seen"])
async def test_what_is_made_of_an_api_that_not_every_cluster_has_is_shown_with_what_to_install(
    seen: tuple[Document, ...] | None,
) -> None:
    documents = [Document(a_poster("p"), "a file"), Document(a_poster("plain", board=False), "a file")]
    answer = await planned(documents, seen, Configuration(), WITH_POSTERS)
    with_board, plain = answer.rehearsals
    assert answer.is_made
    assert [item["kind"] for item in with_board.made] == ["ConfigMap", "Board"]
    assert with_board.assumed == (
        "boards of boards.example.com/v1 are served (else install the board controller, release 2 or later)",
    )
    assert plain.assumed == ()
