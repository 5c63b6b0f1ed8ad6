"""Adapters are served beside their base by the built-in engine: each as its own merged model, none as another's."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest

from deepseek_runtime.checkpoint.integrity import Damaged
from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.settings import read_settings
from deepseek_runtime.model_folder.adapter import refuse_experts
from tests.runtime.families import FAMILIES
from tests.runtime.lives import PROMPTS, STEPS, answer_of, answered, beside, ids_of, whole
from tests.runtime.observed import Document
from tests.runtime.workplace import Workplace, of

pytestmark = pytest.mark.filterwarnings("ignore")

# Two adapters that stand beside different matrices, where the family has experts also of those.
TARGETS: Mapping[str, tuple[list[str], list[str]]] = {
    "deepseek_v3": (["Linear", "Experts"], ["Attention"]),
    "deepseek_v2": (["Experts"], ["Linear"]),
    "deepseek_v32": (["Attention"], ["experts.down_proj"]),
    "llama": (["Attention"], ["Linear"]),
    "qwen2-tied": (["Linear"], ["q_proj", "down_proj"]),
    "qwen3": (["Attention"], ["v_proj"]),
}


def base_of(workplace: Workplace, family: str) -> Path:
    return workplace.train({"model.custom": dict(FAMILIES[family])}).export()


def settings(base: Path, export: str, targets: list[str], data: str = "others", **more: object) -> Document:
    lora = {"rank": 4, "alpha": 16, "targets": targets, "export": export}
    return {
        "model": {"path": str(base)},
        "method": {"type": "LoRA", "lora": lora},
        "datasets": of(data),
        "hyperparameters.maxSteps": STEPS,
        "hyperparameters.learningRate": "3e-2",
        **more,
    }


def trained(workplace: Workplace, volume: Path, changes: Document) -> Path:
    run = workplace.attempt(volume, changes)
    return run.root / "exports" / str(STEPS)


def expected(model: Path, tokenizer: Path) -> dict[str, str]:
    """What plain transformers write with a model's folder."""
    from transformers import AutoTokenizer

    network, decoder = whole(model), AutoTokenizer.from_pretrained(tokenizer)
    return {
        text: decoder.decode(answer_of(network, ids_of(tokenizer, text)), skip_special_tokens=True) for text in PROMPTS
    }


@pytest.mark.parametrize("family", TARGETS)
async def test_each_answers_as_its_own_merged_model_whatever_runs_beside_it(
    workplace: Workplace, family: str, tmp_path: Path
) -> None:
    base, (first, second) = base_of(workplace, family), TARGETS[family]
    one = trained(workplace, tmp_path / "one", settings(base, "Adapter", first))
    of_experts = any("xperts" in target for target in first)
    with pytest.raises(Invalid, match="stands beside fused experts") if of_experts else nullcontext():
        refuse_experts("one", one)
    two = trained(workplace, tmp_path / "two", settings(base, "Adapter", second, "heldout"))
    merged_one = trained(workplace, tmp_path / "merged-one", settings(base, "Merged", first))
    merged_two = trained(workplace, tmp_path / "merged-two", settings(base, "Merged", second, "heldout"))
    wanted = {"tiny": expected(base, base), "one": expected(merged_one, base), "two": expected(merged_two, base)}
    assert len({json.dumps(answers) for answers in wanted.values()}) == 3, "three that differ"
    async with beside(base, one, two) as client:
        asked = [(name, text) for text in PROMPTS for name in wanted] * 2
        answers = await asyncio.gather(*(answered(client, name, text) for name, text in asked))
        for (name, text), answer in zip(asked, answers, strict=True):
            assert answer == wanted[name][text], (name, text)
        assert await answered(client, None, PROMPTS[0]) == wanted["tiny"][PROMPTS[0]]
        cards = (await (await client.get("/v1/models")).json())["data"]
        assert [(card["id"], card.get("parent")) for card in cards] == [
            ("tiny", None),
            ("one", "tiny"),
            ("two", "tiny"),
        ]
        lost = await client.post("/v1/completions", json={"prompt": "a", "model": "three"})
        assert (lost.status, (await lost.json())["error"]["message"]) == (
            404,
            "the model 'three' is not served here; ask for 'tiny', 'one' or 'two'",
        )


async def test_an_adapter_brings_the_chat_template_that_it_was_trained_by(workplace: Workplace, tmp_path: Path) -> None:
    base = base_of(workplace, "llama")
    chats = [{"messages": [{"role": "user", "content": "ab"}, {"role": "assistant", "content": "AB"}]}]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats * 4))
    template = (
        "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
    )
    data = [{"source": {"path": str(tmp_path / "chats.jsonl")}, "format": "Messages"}]
    changes = {**settings(base, "Adapter", ["Attention"]), "datasets": data, "chatTemplate": {"text": template}}
    async with beside(base, trained(workplace, tmp_path / "one", changes)) as client:
        body = {"messages": [{"role": "user", "content": "ab"}], "max_tokens": 1}
        answers = [await client.post("/v1/chat/completions", json={**body, "model": name}) for name in ("tiny", "one")]
        of_base, of_adapter = [(await answer.json())["usage"]["prompt_tokens"] for answer in answers]
        assert of_adapter == len("u:ab;a:") != of_base


def edited(adapter: Path, copy: Path, **fields: object) -> Path:
    """As somebody else's program would have written it: without our manifest."""
    shutil.copytree(adapter, copy)
    (copy / "manifest.json").unlink()
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps({**config, **fields}))
    return copy


@pytest.fixture(scope="session")
def plain(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base, and an adapter beside it."""
    base = base_of(workplace, "llama")
    return base, trained(workplace, tmp_path_factory.mktemp("plain"), settings(base, "Adapter", ["Attention"]))


async def test_an_adapter_is_not_served_beside_another_base(
    workplace: Workplace, plain: tuple[Path, Path], tmp_path: Path
) -> None:
    """Also one that differs in a few numbers only: all shapes fit."""
    other = trained(workplace, tmp_path / "other", settings(plain[0], "Merged", ["Attention"]))
    with pytest.raises(Invalid, match=r"adapter one was trained beside other weights \(sha256 \w{12}\) than those"):
        async with beside(other, plain[1]):
            pass


async def test_an_adapter_of_another_program_is_served_and_one_that_says_nothing_of_its_base_too(
    plain: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base, adapter = plain
    strange = edited(adapter, tmp_path / "strange", base_model_sha256=None)
    config = json.loads((strange / "adapter_config.json").read_text())
    del config["base_model_sha256"]
    (strange / "adapter_config.json").write_text(json.dumps(config))
    async with beside(base, adapter, strange) as client:
        assert await answered(client, "one", "ab=") == await answered(client, "two", "ab=")
    told = capfd.readouterr().err
    assert "adapter one was trained beside this model" in told
    assert "adapter two doesn't say beside which model it was trained" in told


STRANGE: list[tuple[dict[str, object], str]] = [
    ({"peft_type": "PREFIX_TUNING"}, "peft_type is 'PREFIX_TUNING', and adapters of methods LoRA, PromptTuning"),
    ({"peft_type": "P_TUNING"}, "adapter one in .* holds base_model.* and prompt_embeddings of width 16 would fit"),
    ({"peft_type": None}, "peft_type is None"),
    ({"bias": "all"}, "bias is 'all', which changes the base that others are served"),
    ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights is 'pissa_niter_4', which changes the base"),
    ({"r": 8}, "adapter one .*can't be read: .*size mismatch"),
    ({"target_modules": ["q_proj"]}, "fits neither its configuration nor its base; tensors that belong nowhere"),
    ({"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]}, "missing tensors"),
    ({"target_modules": ["query_key_value"]}, "adapter one .*can't be read: .*query_key_value"),
]


@pytest.mark.parametrize(("fields", "words"), STRANGE, ids=[next(iter(f)) + str(i) for i, (f, _) in enumerate(STRANGE)])
async def test_an_adapter_that_can_t_stand_there_is_refused_in_words(
    plain: tuple[Path, Path], tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        async with beside(plain[0], edited(plain[1], tmp_path / "edited", **fields)):
            pass


async def test_a_folder_that_is_no_adapter_is_told_apart(plain: tuple[Path, Path], tmp_path: Path) -> None:
    base, adapter = plain
    (tmp_path / "empty").mkdir()
    torn = edited(adapter, tmp_path / "torn")
    content = (torn / "adapter_model.safetensors").read_bytes()
    (torn / "adapter_model.safetensors").write_bytes(content[:-10])
    pickled = edited(adapter, tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    for folder, words in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "empty", "holds no adapter_config.json"),
        (base, "a whole model: serve it as model.source"),
        (torn, "is cut off"),
        (pickled, "holds no adapter_model.safetensors, the only form that is read"),
    ):
        with pytest.raises(Invalid, match=words):
            async with beside(base, folder):
                pass
    bent = tmp_path / "bent"
    shutil.copytree(adapter, bent)
    weights = bytearray((bent / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (bent / "adapter_model.safetensors").write_bytes(weights)
    with pytest.raises((Invalid, Damaged), match="differs from the sha256 in the manifest"):
        async with beside(base, bent):
            pass


@pytest.mark.parametrize("text", ["{}", "[", '[{"name": "a"}]', '[{"name": "", "path": "/a"}]', '["a"]', "null"])
def test_a_list_of_adapters_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="DEEPSEEK_ADAPTERS is"):
        read_settings({"DEEPSEEK_ADAPTERS": text})
