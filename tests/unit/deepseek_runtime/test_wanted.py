"""Which files of a source are fetched: of data those that the trainer will read of the folder, and no others."""

import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_operator.api.v1alpha1.common.source import ModelSource
from deepseek_operator.api.v1alpha1.training.data import DatasetSource
from deepseek_runtime.contract import Invalid
from deepseek_runtime.fetcher.failures import NotThere
from deepseek_runtime.fetcher.listing import File
from deepseek_runtime.fetcher.settings import Settings, read_settings
from deepseek_runtime.fetcher.wanted import chosen
from deepseek_runtime.trainer.data.files import files_of
from tests.support.search import search

COMMIT = "0" * 40
REPOSITORY = "hf://datasets/openai/gsm8k@main"
STEPS = st.sampled_from(("a", "ab", "b.jsonl", "a.jsonl", "_b", ".c", "main", "c.parquet"))
PATTERNS = st.sampled_from(("*", "**", "*.jsonl", "?", "?b", "a*", "_*", "main", "a", "*.parquet", "**b"))
TREES = st.lists(st.lists(STEPS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=8)
WHERE = (
    "hf://datasets/{name}/{name}@{revision}/{path}",
    "s3://{name}/{path}",
    "https://{name}.org/{path}",
    "http://{name}:8080/{path}/",
    "https://{name}/",
)
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=3, max_size=8)


def settings(uri: str, want: str = "Data") -> Settings:
    return read_settings({"DEEPSEEK_SOURCE_URI": uri, "DEEPSEEK_SOURCE_WANT": want, "DEEPSEEK_SOURCE_CLAIM": "/claim"})


def paths(uri: str, *there: str, want: str = "Data") -> list[str]:
    return [file.path for file in chosen([File(path, 1) for path in there], settings(uri, want))]


@search(400, 1)
@given(tree=TREES, selection=st.lists(STEPS | PATTERNS, min_size=1, max_size=3).map("/".join))
def test_what_is_fetched_of_data_is_what_the_trainer_reads_of_it(tree: list[str], selection: str) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        there = [path for path in tree if placed(root, path)]
        expected = sorted(str(path.relative_to(root)) for path in read(root, selection))
        try:
            found = sorted(paths(f"{REPOSITORY}/{selection}", *dict.fromkeys(there)))
        except Invalid:
            return  # A step that no URI may have.
        except NotThere:
            found = []
        assert found == expected


def placed(root: Path, path: str) -> bool:
    """False where a file has the place of a folder, or a folder that of the file."""
    try:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    except OSError:
        return False
    return True


def read(root: Path, selection: str) -> list[Path]:
    """The files that the trainer finds there; none where it would find fault with the path."""
    try:
        return [path for path in files_of(root / selection) if path.is_file()]
    except (Invalid, ValueError):
        return []


def test_of_a_whole_repository_records_are_fetched_and_no_card_licence_or_script() -> None:
    there = (
        "README.md",
        "LICENSE.txt",
        "dataset_infos.json",
        "gsm8k.py",
        "train.jsonl",
        "more/test.parquet",
        ".x.json",
    )
    assert paths(REPOSITORY, *there) == ["train.jsonl", "more/test.parquet"]


def test_a_repository_without_records_is_refused_with_what_it_has() -> None:
    with pytest.raises(
        NotThere, match=r"holds no \.jsonl, .* file \(there are README\.md, data\.csv\); write the path of"
    ):
        paths(REPOSITORY, "data.csv", "README.md")


def test_a_path_that_names_nothing_is_refused_with_what_is_there() -> None:
    with pytest.raises(
        NotThere, match=r"nothing of it is, or lies in, train \(there are a0, a1, a2, a3, a4 and 3 more\)"
    ):
        paths(f"{REPOSITORY}/train", *(f"a{number}" for number in range(8)))


def test_an_adapter_is_what_lies_beside_its_configuration() -> None:
    there = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "checkpoint-5/optimizer.pt",
             "checkpoint-5/adapter_model.safetensors", ".gitattributes", "tokenizer.json")  # fmt: skip
    kept = ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"]
    assert paths("hf://team/lora@main", *there, want="Adapter") == kept


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (("config.json", "model.safetensors"), "has no adapter_config.json: it is no adapter in peft's form"),
        (("adapter_config.json", "adapter_model.bin"), "has no .safetensors file: its weights are .bin"),
    ],
)
def test_what_is_no_adapter_is_refused(there: tuple[str, ...], words: str) -> None:
    with pytest.raises(NotThere, match=words):
        paths("hf://team/lora@main", *there, want="Adapter")


@search(200, 1)
@given(
    name=NAMES, steps=st.lists(STEPS | PATTERNS, min_size=1, max_size=4), revision=NAMES, where=st.sampled_from(WHERE)
)
def test_operator_and_pod_divide_a_uri_alike(name: str, steps: list[str], revision: str, where: str) -> None:
    uri = where.format(name=name, revision=revision, path="/".join(steps))
    try:
        source = DatasetSource(uri=uri, claim_name="c")
    except ValueError:
        with pytest.raises(Invalid):
            settings(uri)
        return
    told = settings(uri).source
    assert (source.place, source.selection) == (f"sources/{told.place}", told.selection)


@pytest.mark.parametrize(
    "uri",
    [
        "hf://a/b@main",
        "s3://bucket/v2/lite",
        f"s3://bucket/{'x/' * 120}y",
        "https://a.org/",
        "http://a.org:8080/v2/lite/",
        f"https://a.org/{'x/' * 120}",
    ],
)
def test_operator_and_pod_divide_a_models_uri_alike(uri: str) -> None:
    told = settings(uri, "Model").source
    assert ModelSource(uri=uri, claim_name="c").place == f"sources/{told.place}"


@pytest.mark.parametrize(
    "uri",
    [
        "https://a.org",
        "https://a.org/lite",
        "https://u:p@a.org/lite/",
        "https://a.org/../lite/",
        "https://a.org/lite/?b=c",
        "https://A.org/lite/",
        "https://a.org/%2e%2e/",
        "https://a.org//lite/",
        "https://[::1]/lite/",
    ],
)
def test_what_is_no_folder_of_a_web_server_is_refused_with_what_to_write(uri: str) -> None:
    with pytest.raises(Invalid, match="or https://<host>/<folder>/"):
        settings(uri, "Model")
    with pytest.raises(ValueError, match="should match pattern"):
        ModelSource(uri=uri, claim_name="c")


def test_a_part_of_a_commit_has_a_folder_of_its_own() -> None:
    whole, part, other = (
        settings(uri).source.folder(COMMIT) for uri in (REPOSITORY, f"{REPOSITORY}/a", f"{REPOSITORY}/b")
    )
    assert whole == COMMIT
    assert len({whole, part, other}) == 3
    assert part.startswith(f"{COMMIT}-")


@pytest.mark.parametrize(
    "uri", ["hf://openai/gsm8k@main", "hf://datasets/gsm8k@main", "s3://corpora", "s3://corpora/../x"]
)
def test_what_is_no_source_of_data_is_refused_with_what_to_write(uri: str) -> None:
    with pytest.raises(Invalid, match=r"write hf://datasets/<organisation>/<dataset>@.*, or s3://<bucket>/<the same>"):
        settings(uri)
