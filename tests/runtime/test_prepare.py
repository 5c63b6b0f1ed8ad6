"""Datasets that are prepared once: what is dropped and why, what is learnt then, and that a crash leaves all or nothing."""

import errno
import json
import shutil
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from deepseek_runtime.checkpoint.files import write_whole
from deepseek_runtime.checkpoint.room import Full
from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Dataset, Preparation
from deepseek_runtime.trainer.data import preparation, store, token_files
from deepseek_runtime.trainer.data.cleaning import Cleaning
from deepseek_runtime.trainer.data.example import Example
from deepseek_runtime.trainer.data.making import Maker
from deepseek_runtime.trainer.data.preparation import Source
from deepseek_runtime.trainer.data.source import contents_of
from deepseek_runtime.trainer.data.token_files import Mapped
from deepseek_runtime.trainer.tokenizer import byte_tokenizer
from tests.runtime.lives import killed_and_resumed
from tests.runtime.observed import Observed
from tests.runtime.workplace import Workplace

Line = Mapping[str, object]


def file(path: Path, lines: Sequence[Line]) -> dict[str, object]:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    return {"path": str(path)}


def pairs(*completions: str) -> list[Line]:
    return [{"prompt": "p=", "completion": one} for one in completions]


def report(run: Observed, split: str = "Train") -> Line:
    (found,) = [one for one in run.records if one["event"] == "prepared" and one["split"] == split]
    return found


def prepared(run: Observed) -> object:
    """What /progress says of it."""
    data = run.told["data"]
    assert isinstance(data, dict)
    return data["prepared"]


def dropped(workplace: Workplace, volume: Path, lines: list[Line], options: Line, *more: Line) -> object:
    """Why how many of the lines are left out."""
    datasets = [{"source": file(volume.with_suffix(".jsonl"), lines)}, *more]
    changes = {"datasets": datasets, "data": options, "hyperparameters.sequenceLength": 512}
    return report(workplace.attempt(volume, changes))["dropped"]


@pytest.mark.parametrize("form", ["PromptCompletion", "Text", "Messages"])
def test_what_is_prepared_without_options_is_learnt_as_what_is_read(
    form: str, workplace: Workplace, tmp_path: Path
) -> None:
    words = ["ab", "cd", "ef", "gh", "ij", "kl", "mn"]
    lines = [
        {
            "prompt": f"{one}=",
            "completion": one.upper(),
            "text": f"{one} {one.upper()}" * 3,
            "messages": [{"role": "user", "content": one}, {"role": "assistant", "content": one.upper()}],
        }
        for one in words
    ]
    source = {"source": file(tmp_path / "a.jsonl", lines), "format": form}
    changes: dict[str, object] = {
        "datasets": [{**source, "weight": "1.5"}, {**source, "split": "Heldout"}],
        "hyperparameters.sequenceLength": 64,
        "hyperparameters.maxSteps": 6,
        **({"chatTemplate": {"name": "DeepSeek"}} if form == "Messages" else {}),
    }
    read = workplace.attempt(tmp_path / "read", changes)
    made = workplace.attempt(tmp_path / "prepared", {**changes, "data": {}})
    assert made.losses == read.losses
    assert made.told["evalLoss"] == read.told["evalLoss"]
    assert isinstance(read.told["data"], dict)
    assert made.told["data"] == {**read.told["data"], "prepared": prepared(made)}
    assert "prepared" not in read.told["data"]


def said(*turns: str, system: str = "") -> Line:
    roles = ("user", "assistant")
    told = [{"role": "system", "content": system}] if system else []
    return {"messages": told + [{"role": roles[n % 2], "content": one} for n, one in enumerate(turns)]}


LONG = "The committee met on Tuesday to discuss the plans for a new bridge over the river and the costs that it would bring"
DROPPED: Mapping[str, tuple[list[Line], Line, Line]] = {
    "exact duplicates": (pairs("a", "b", "a", "a", "A"), {"deduplicate": "Exact"}, {"exactDuplicate": 2}),
    "exact but for the form of Unicode": (
        pairs("caf\u00e9", "cafe\u0301"),
        {"deduplicate": "Exact", "normalize": "NFC"},
        {"exactDuplicate": 1},
    ),
    "near duplicates": (
        pairs(LONG, "b", LONG + " now", LONG, "Nothing of this is like the others, and so it is kept where it stands"),
        {"deduplicate": "Near"},
        {"exactDuplicate": 1, "nearDuplicate": 1},
    ),
    "not near enough": (
        pairs(LONG, LONG + " and all of it again in other words, which takes a while to say"),
        {"deduplicate": "Near", "nearSimilarity": "0.9"},
        {},
    ),
    "near duplicates in Chinese": (
        pairs(
            "委员会星期二开会讨论在河上修建一座新桥的计划以及由此产生的费用问题",
            "委员会星期二开会讨论在河上修建一座新桥的计划以及由此产生的费用问题。",
        ),
        {"deduplicate": "Near"},
        {"nearDuplicate": 1},
    ),
    "short and long": (
        pairs("", "ab", "abc", "abcdefgh"),
        {"minTokens": 5, "maxTokens": 6},
        {"tooLong": 1, "tooShort": 1},
    ),
    "other languages": (
        pairs(
            "Das ist ein deutscher Satz, der hier nichts zu suchen hat.", LONG, "法国的首都是哪里，请你告诉我。", "ok"
        ),
        {"languages": ["en", "zh"]},
        {"otherLanguage": 1},
    ),
    "short English with numbers, which is likelier Danish": (
        pairs("Solve 3x + 5 = 20 for x.", "Ich habe gestern einen langen Brief geschrieben."),
        {"languages": ["en"]},
        {"otherLanguage": 1},
    ),
    "few letters": (pairs("a" * 20, "-" * 30 + "|" * 30 + "=" * 30), {"minLetters": "0.5"}, {"fewLetters": 1}),
    "repeated lines": (
        pairs("buy now\n" * 9, "one\ntwo\nthree", "one\ntwo\none"),
        {"maxRepetition": "0.5"},
        {"repetitive": 1},
    ),
}


@pytest.mark.parametrize("case", DROPPED)
def test_what_is_dropped_is_counted_by_its_reason(case: str, workplace: Workplace, tmp_path: Path) -> None:
    lines, options, reasons = DROPPED[case]
    assert dropped(workplace, tmp_path / "volume", lines, options) == reasons
    assert dropped(workplace, tmp_path / "untouched", lines, {}) == {}


def test_first_of_what_is_the_same_is_kept_over_all_datasets(workplace: Workplace, tmp_path: Path) -> None:
    sources = [
        file(tmp_path / "a", pairs("a", "b")),
        file(tmp_path / "b", pairs("c", "b", LONG)),
        file(tmp_path / "c", pairs(LONG + " now", "d")),
    ]
    run = workplace.attempt(
        tmp_path / "volume",
        {
            "datasets": [{"source": one} for one in sources],
            "data": {"deduplicate": "Near"},
            "hyperparameters.sequenceLength": 256,
            "hyperparameters.epochs": 1,
            "hyperparameters.maxSteps": None,
            "hyperparameters.globalBatchSize": 5,
        },
    )
    assert sorted(one.split("=")[1].removesuffix("<|end|>") for one in run.learnt) == sorted(["a", "b", "c", LONG, "d"])
    assert prepared(run) == {
        "digest": folders(tmp_path / "volume")[0],
        "read": 7,
        "sequences": 5,
        "tokens": sum(len(f"p={one}") + 1 for one in ("a", "b", "c", LONG, "d")),
        "dropped": {"exactDuplicate": 1, "nearDuplicate": 1},
    }


def test_common_instructions_of_the_system_make_no_duplicates_and_no_contamination(
    workplace: Workplace, tmp_path: Path
) -> None:
    lines = [said("ab", "cd", system=LONG), said("ef", "gh", system=LONG)]
    heldout = {
        "source": file(tmp_path / "h.jsonl", [said("xy", "zw", system=LONG)]),
        "split": "Heldout",
        "format": "Messages",
    }
    run = workplace.attempt(
        tmp_path / "volume",
        {
            "datasets": [{"source": file(tmp_path / "a.jsonl", lines), "format": "Messages"}, heldout],
            "chatTemplate": {"name": "DeepSeek"},
            "data": {"deduplicate": "Near", "decontaminateWords": 5},
            "hyperparameters.sequenceLength": 512,
        },
    )
    assert report(run)["dropped"] == {}


def test_what_heldout_datasets_hold_is_not_learnt(workplace: Workplace, tmp_path: Path) -> None:
    """Thirteen words in a row, whatever stands between them, or a short one as a whole; the held-out ones stay."""
    heldout = {"source": file(tmp_path / "h.jsonl", pairs(LONG, "short one", LONG)), "split": "Heldout"}
    lines = pairs(
        "As I said: " + LONG.upper().replace(" ", " - "), "p short one", "another short one", " ".join(LONG.split()[:8])
    )
    lines[1] = {"prompt": "P=", "completion": "Short, one!"}
    assert dropped(workplace, tmp_path / "v", lines, {"decontaminateWords": 13}, heldout) == {"contaminated": 2}


def test_nothing_that_is_left_is_refused_with_the_numbers(workplace: Workplace, tmp_path: Path) -> None:
    words = r"none of 3 examples is left \(3 tooShort\); ask less of them by spec.data"
    with pytest.raises(Invalid, match=words):
        dropped(workplace, tmp_path / "v", pairs("a", "b", "c"), {"minTokens": 50})


SETTINGS: dict[str, object] = {"data": {"deduplicate": "Near", "packing": "Documents"}, "hyperparameters.maxSteps": 6}


def folders(volume: Path) -> list[str]:
    return sorted(one.name for one in (volume / "datasets").iterdir())


def spied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often anything was prepared."""
    runs = list[int]()
    run = preparation.Preparing.run

    def counted(self: preparation.Preparing) -> list[preparation.Counted]:
        runs.append(len(self.sources))
        return run(self)

    monkeypatch.setattr(preparation.Preparing, "run", counted)
    return runs


def test_it_is_done_once_for_each_digest(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another name of the same content, another seed or another batch are the same data; any option is another."""
    runs = spied(monkeypatch)
    first = beside(workplace, tmp_path, "one")
    again = beside(workplace, tmp_path, "two")
    assert (runs, again.losses, prepared(again)) == ([3], first.losses, prepared(first))
    renamed = shutil.copy(workplace.files / "few.jsonl", tmp_path / "other")
    other = {"datasets.0.source.path": str(renamed)}
    beside(workplace, tmp_path, "three", {**other, "hyperparameters.seed": 3, "hyperparameters.globalBatchSize": 2})
    assert len(runs) == 1
    others: list[Line] = [{"data": {}}, {"data": {"minTokens": 1}}, {"hyperparameters.sequenceLength": 17}]
    for number, change in enumerate(others):
        beside(workplace, tmp_path, f"x{number}", change)
    Path(renamed).write_text(Path(renamed).read_text() + "\n")
    beside(workplace, tmp_path, "four", other)
    assert len(runs) == 5
    assert len(folders(tmp_path)) == 5


def beside(workplace: Workplace, volume: Path, uid: str, changes: Line = MappingProxyType({})) -> Observed:
    """Another training on the same volume."""
    return workplace.attempt(volume, {**SETTINGS, **changes}, CHECKPOINT_ROOT=str(volume / uid))


def test_prepared_training_resumes_with_the_same_bits(workplace: Workplace, tmp_path: Path) -> None:
    undisturbed = workplace.attempt(tmp_path / "undisturbed", SETTINGS)
    killed, resumed = killed_and_resumed(workplace, tmp_path / "killed", SETTINGS)
    begun = int(str(resumed.began[0]))
    assert begun > 0
    assert killed.losses == undisturbed.losses[: len(killed.losses)]
    assert resumed.losses == undisturbed.losses[begun:]


def test_two_that_prepare_the_same_at_a_time_use_what_the_first_has_made(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = beside(workplace, tmp_path / "a", "one")
    commit, firsts = store._committed, list[Path]()

    def late(torn: Path, final: Path, digest: str) -> store.Prepared:
        shutil.copytree(torn, final)
        firsts.append(final)
        (final / "of-the-first").touch()
        return commit(torn, final, digest)

    monkeypatch.setattr(store, "_committed", late)
    assert beside(workplace, tmp_path / "b", "two").losses == expected.losses
    (first,) = firsts
    assert (first / "of-the-first").exists()
    assert folders(tmp_path / "b") == [first.name]


def test_language_that_nothing_is_told_as_is_refused_before_all_is_dropped(
    workplace: Workplace, tmp_path: Path
) -> None:
    with pytest.raises(
        Invalid, match=r"data\.languages: xx is none that py3langid tells; write of ace, .*, en, .*, zh"
    ):
        dropped(workplace, tmp_path / "v", pairs(LONG), {"languages": ["en", "xx"]})


class Dies(BaseException):
    """The power goes."""


def dies_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, when: int) -> Callable[[], None]:
    """The nth call of a function is the last thing that happens; returns what brings it back to life."""
    function, calls = getattr(module, name), list[int]()

    def deadly(*arguments: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == when:
            raise Dies
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, deadly)
    return lambda: monkeypatch.setattr(module, name, function)


@pytest.mark.parametrize(
    ("module", "name", "when"),
    [
        (token_files.TokenWriter, "append", 1),
        (token_files.TokenWriter, "append", 7),
        (token_files.TokenWriter, "append", 12),
        (preparation, "near", 1),
        (store, "sync_files", 1),
        (store, "describe", 1),
        (store, "write_whole", 1),
        (store, "_committed", 1),
        (store, "sync", 1),
    ],
)
def test_death_on_the_way_leaves_all_or_nothing(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, when: int
) -> None:
    expected = workplace.attempt(tmp_path / "a" / "undisturbed", SETTINGS)
    revive = dies_at(monkeypatch, module, name, when)
    with pytest.raises(Dies):
        workplace.attempt(tmp_path / "b" / "volume", SETTINGS)
    revive()
    runs = spied(monkeypatch)
    again = workplace.attempt(tmp_path / "b" / "volume", SETTINGS)
    assert (again.losses, prepared(again)) == (expected.losses, prepared(expected))
    assert runs == ([] if name == "sync" else [3])
    assert folders(tmp_path / "b" / "volume") == folders(tmp_path / "a" / "undisturbed")


def flipped(folder: Path) -> None:
    tokens = folder / "0.tokens"
    content = bytearray(tokens.read_bytes())
    content[0] ^= 1
    tokens.write_bytes(content)


def cut(folder: Path) -> None:
    write_whole(folder / "0.ends", "")


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def nested(folder: Path) -> None:
    (folder / "manifest.json").write_text("[" * 100_000)


def of_another(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "digest": "0" * 32}))


def outside(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0]["path"] = "../../secret"
    (folder / "manifest.json").write_text(json.dumps(manifest))


def linked(folder: Path) -> None:
    (folder / "0.tokens").rename(folder / "away")
    (folder / "0.tokens").symlink_to("away")


@pytest.mark.parametrize("harm", [flipped, cut, without_manifest, nested, of_another, outside, linked])
def test_what_lies_there_and_is_not_what_was_written_is_made_anew(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    expected = beside(workplace, tmp_path, "one")
    (folder,) = (tmp_path / "datasets").iterdir()
    harm(folder)
    runs = spied(monkeypatch)
    assert beside(workplace, tmp_path, "two").losses == expected.losses
    assert runs == [3]


def test_records_are_shared_by_workers_in_order(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**SETTINGS, "data": {"deduplicate": "Near", "normalize": "NFKC"}}
    alone = workplace.attempt(tmp_path / "a" / "one", changes)
    monkeypatch.setattr(preparation, "PARALLEL_BYTES", 0)
    shared = workplace.attempt(tmp_path / "b" / "two", changes, CPUS="2")
    assert prepared(shared) == prepared(alone)
    (one,), (other,) = ((tmp_path / name / "datasets").iterdir() for name in ("a/one", "b/two"))
    for number in range(3):
        assert list(Mapped(one, str(number))) == list(Mapped(other, str(number)))


def test_full_volume_is_told_and_what_was_half_made_takes_no_room(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = token_files.TokenWriter.append, list[int]()

    def full(self: token_files.TokenWriter, example: Example) -> None:
        calls.append(1)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, example)

    monkeypatch.setattr(token_files.TokenWriter, "append", full)
    with pytest.raises(Full, match="the checkpoint volume is full: no room for the prepared datasets"):
        workplace.attempt(tmp_path, SETTINGS)
    assert folders(tmp_path) == []


def test_memory_is_some_bytes_a_line_however_long_they_are(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what Python holds at its fullest, four times the lines add the numbers that duplicates are told by, no texts."""
    peaks = {}
    for lines in (2_000, 8_000):
        file = tmp_path / f"{lines}.jsonl"
        with file.open("w") as out:
            for number in range(lines):
                out.write(json.dumps({"prompt": f"{number}=", "completion": f"{number} {'x' * 500}"}) + "\n")
        source = Source(one := Dataset(file, None, "Train", 1.0, "PromptCompletion"), contents_of(one))
        options = Preparation(deduplicate="Near", packing="Documents")
        maker = Maker(byte_tokenizer(), "AssistantTurns", options, Cleaning(options))
        (tmp_path / str(lines)).mkdir()
        tracemalloc.start()
        preparation.Preparing([source], maker, 1024, tmp_path / str(lines), 1, lambda: None).run()
        peaks[lines] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[8_000] - peaks[2_000] < 6_000 * 200
