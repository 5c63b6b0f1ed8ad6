"""What a base model came with is handed on by the export: configuration, tokenizer, generation settings."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from deepseek_runtime.engine.model import Model, Usual
from deepseek_runtime.engine.request import completion
from deepseek_runtime.pretrained import load_tokenizer
from deepseek_runtime.trainer import export as exports
from deepseek_runtime.trainer.tokenizer import BYTE_VOCABULARY, byte_tokenizer
from tests.runtime.families import FAMILIES
from tests.runtime.lives import whole
from tests.runtime.observed import Observed
from tests.runtime.workplace import ABSENT, Workplace, of

GENERATION = {
    "bos_token_id": 1,
    "do_sample": True,
    "eos_token_id": [2, 7],
    "temperature": 0.6,
    "top_p": 0.95,
    "top_k": 20,
    "min_p": 0.01,
}
# As the hub's configurations are written, which transformers' own would be written otherwise.
FIELDS = {
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"],
        "torch_dtype": "bfloat16",
        "rope_theta": 1000000.0,
        "use_mrope": False,
        "transformers_version": "4.44.0",
    },
    "llama-tied": {
        "architectures": ["LlamaForCausalLM"],
        "torch_dtype": "bfloat16",
        "eos_token_id": [2, 7],
        "rope_theta": 500000.0,
        "rope_scaling": {
            "factor": 8.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 32,
            "rope_type": "llama3",
        },
    },
    "deepseek_v3": {
        "architectures": ["DeepseekV3ForCausalLM"],
        "torch_dtype": "bfloat16",
        "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "moe_layer_freq": 1,
        "rope_theta": 10000,
        "rope_scaling": {
            "beta_fast": 32,
            "beta_slow": 1,
            "factor": 40,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "original_max_position_embeddings": 32,
            "type": "yarn",
        },
    },
}


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def base(path: Path, family: str) -> Path:
    """A folder as somebody downloaded it."""
    path.mkdir()
    fields = {**FAMILIES[family], **FIELDS[family], "vocab_size": BYTE_VOCABULARY}
    fields.pop("auto_map", None)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**fields)).save_pretrained(path)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>"]})
    tokenizer.save_pretrained(path)
    written = {**FAMILIES[family], **FIELDS[family], "vocab_size": BYTE_VOCABULARY, "note": "of a field unknown here"}
    (path / "config.json").write_text(json.dumps(written))
    (path / "generation_config.json").write_text(json.dumps(GENERATION))
    for name in ("configuration_deepseek.py", "LICENSE", "special_tokens_map.json"):
        (path / name).write_text("{}")
    for name in ("README.md", "optimizer.pt", "model.safetensors.bak"):
        (path / name).write_text("of no use to a server")
    return path


def trained(workplace: Workplace, path: Path, volume: Path) -> Observed:
    changes = {"model.custom": ABSENT, "model.path": str(path), "datasets": of("few", "others")}
    return workplace.attempt(volume, changes)


@pytest.mark.parametrize("family", FIELDS)
def test_export_keeps_what_the_base_came_with(
    workplace: Workplace, tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch, narrow_umask: None
) -> None:
    monkeypatch.setattr(exports, "SHARD_SIZE", "8KB")
    path = base(tmp_path / "base", family)
    run = trained(workplace, path, tmp_path / "volume")
    export = run.export()
    given, kept = (json.loads((one / "config.json").read_text()) for one in (path, export))
    assert kept == {**given, "torch_dtype": "float32", "dtype": "float32"}
    assert json.loads((export / "generation_config.json").read_text()) == GENERATION

    handed_on = {name for name in os.listdir(path) if "token" in name or "chat" in name}
    handed_on |= {"LICENSE", "configuration_deepseek.py"}
    unchanged = handed_on - {"tokenizer_config.json"}
    assert {name: (export / name).read_bytes() for name in unchanged} == {
        name: (path / name).read_bytes() for name in unchanged
    }
    given, kept = (json.loads((one / "tokenizer_config.json").read_text()) for one in (path, export))
    assert kept == {**given, "tokenizer_class": "PreTrainedTokenizerFast"}
    index = json.loads((export / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    own = {"config.json", "generation_config.json", "manifest.json", "model.safetensors.index.json"}
    assert set(os.listdir(export)) == handed_on | shards | own
    whole(export)

    assert {oct(stat.S_IMODE(file.stat().st_mode)) for file in export.iterdir()} == {"0o644"}
    assert {oct(stat.S_IMODE(place.stat().st_mode)) for place in (export, export.parent, run.root)} == {"0o755"}


TEXTS = ("ab=", " 12345.67\n\n x", "名前", "<think>é")


@pytest.mark.parametrize("begins", [True, False, None])
@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("llama-tied", "LlamaTokenizerFast"),
        ("llama-tied", "TokenizersBackend"),
        ("deepseek_v3", "LlamaTokenizerFast"),
        ("deepseek_v3", "PreTrainedTokenizerFast"),
    ],
)
def test_tokenizer_of_an_export_is_everybodys(
    workplace: Workplace, tmp_path: Path, family: str, kind: str, begins: bool | None
) -> None:
    """What training read is what tokenizer.json says by itself, and what the library of other engines makes of the folder."""
    path = base(tmp_path / "base", family)
    config = json.loads((path / "tokenizer_config.json").read_text())
    told = {"tokenizer_class": kind, **({} if begins is None else {"add_bos_token": begins})}
    (path / "tokenizer_config.json").write_text(json.dumps({**config, **told}))
    read = {text: list(load_tokenizer(path)(text).input_ids) for text in TEXTS}
    assert {ids[0] == 1 for ids in read.values()} == {begins is True}

    export = trained(workplace, path, tmp_path / "volume").export()
    raw, other = Tokenizer.from_file(str(export / "tokenizer.json")), AutoTokenizer.from_pretrained(export)
    assert {text: raw.encode(text).ids for text in TEXTS} == read
    assert {text: list(other(text).input_ids) for text in TEXTS} == read
    assert {text: list(load_tokenizer(export)(text).input_ids) for text in TEXTS} == read


def test_export_of_a_private_model_is_read_by_older_libraries(workplace: Workplace) -> None:
    """Engines built on transformers 4 know the plain tokenizer by this name alone."""
    config = json.loads((workplace.train().export() / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_engine_samples_and_ends_as_the_base_says(workplace: Workplace, tmp_path: Path) -> None:
    path = base(tmp_path / "base", "qwen2")
    model = Model.load(trained(workplace, path, tmp_path / "volume").export())
    assert (model.usual, set(model.end_ids)) == (Usual(0.6, 0.95, 20, 0.01), {2, 7})
    silent = completion({"prompt": "ab="}, model).sampling
    assert (silent.temperature, silent.top_p, silent.top_k, silent.min_p) == (0.6, 0.95, 20, 0.01)
    said = {"temperature": 0, "top_p": 1, "top_k": -1, "min_p": 0}
    asked = completion({"prompt": "ab=", **said}, model).sampling
    assert (asked.temperature, asked.top_p, asked.top_k, asked.min_p) == (0, 1, 0, 0)


@pytest.mark.parametrize(
    ("eos", "ends"),
    [(2, 2), ([2, 7], [2, 7]), (7, [7, 2]), ([7, 8], [7, 8, 2]), (None, 2)],
)
def test_token_that_ended_every_example_ends_an_answer(
    workplace: Workplace, tmp_path: Path, eos: object, ends: object
) -> None:
    """A base's settings may list others than its tokenizer's, with which training ends its examples."""
    path = base(tmp_path / "base", "qwen2")
    listed = {} if eos is None else {"eos_token_id": eos}
    (path / "generation_config.json").write_text(json.dumps({"temperature": 0.6, **listed}))
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "eos_token_id": 2}))
    export = trained(workplace, path, tmp_path / "volume").export()
    assert json.loads((export / "generation_config.json").read_text()) == {"temperature": 0.6, "eos_token_id": ends}
    assert Model.load(export).end_ids == set(ends if isinstance(ends, list) else [ends])


def test_settings_that_the_engine_lacks_are_told(workplace: Workplace, tmp_path: Path) -> None:
    path = base(tmp_path / "base", "qwen2")
    given = {**GENERATION, "no_repeat_ngram_size": 3, "repetition_penalty": 1.05}
    (path / "generation_config.json").write_text(json.dumps(given))
    assert Model.load(path).usual.unused == ("repetition_penalty", "no_repeat_ngram_size")


def test_training_says_that_it_knows_no_chat_template(workplace: Workplace, tmp_path: Path) -> None:
    def told(run: Observed) -> list[object]:
        return [record["message"] for record in run.records if record["event"] == "rendering"]

    [words] = told(trained(workplace, base(tmp_path / "base", "qwen2"), tmp_path / "volume"))
    assert "without the model's chat template" in str(words)
    assert told(workplace.train()) == []
