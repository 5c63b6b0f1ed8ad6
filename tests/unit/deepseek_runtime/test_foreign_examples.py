"""What is learnt from is looked at before a trainer that would pass over what it can't read."""

import json
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.contract import Invalid
from deepseek_runtime.foreign.examples import FIELDS, check

GOOD: dict[str, Any] = {
    "PromptCompletion": {"prompt": "a", "completion": "b"},
    "Preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "Alpaca": {"instruction": "a", "input": "", "output": "b"},
    "Text": {"text": "a"},
    "Messages": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
}


def environment(path: Path, form: str) -> dict[str, str]:
    dataset = {"source": {"uri": "pvc://data/x", "path": str(path)}, "format": form}
    return {"DEEPSEEK_TRAINING_SPEC": json.dumps({"datasets": [dataset]})}


def lines(*records: object) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


@pytest.mark.parametrize("form", FIELDS)
def test_records_of_the_format_pass_in_lines_and_in_a_list_and_in_a_folder(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.jsonl").write_text(lines(GOOD[form], GOOD[form]))
    (tmp_path / "b.json").write_text(json.dumps([GOOD[form]]))
    (tmp_path / "c.parquet").write_bytes(b"PAR1\xff\xfe")
    (tmp_path / "_index").write_text("{")
    check(environment(tmp_path, form))
    check(environment(tmp_path / "a.jsonl", form))


BAD: dict[str, tuple[str, object, str]] = {
    "no rejected answer": ("Preference", {"prompt": "a", "chosen": "b"}, "line 2 has no text 'rejected'"),
    "no answer at all": (
        "Preference",
        GOOD["PromptCompletion"],
        'write {"prompt": "…", "chosen": "…", "rejected": "…"}',
    ),
    "one answer twice": ("Preference", {"prompt": "a", "chosen": "b", "rejected": "b"}, "prefers an answer to itself"),
    "answers in lists": ("Preference", {"prompt": "a", "chosen": ["b"], "rejected": "c"}, "no text 'chosen'"),
    "no record": ("Preference", "a", 'is "a", no object'),
    "a question alone": (
        "PromptCompletion",
        {"prompt": "a"},
        "no text 'completion', which format PromptCompletion needs",
    ),
    "a number": ("PromptCompletion", {"prompt": "a", "completion": 2}, "no text 'completion'"),
    "an instruction alone": ("Alpaca", {"instruction": "a"}, "no text 'output'"),
    "nothing said": ("Messages", {"messages": []}, 'has no messages: write {"messages": [{"role": "user"'),
    "another name": ("Text", {"content": "a"}, "no text 'text'"),
    "a null": ("Text", {"text": None}, "no text 'text'"),
}


@pytest.mark.parametrize("case", BAD)
def test_the_first_other_record_is_named_by_its_place(tmp_path: Path, case: str) -> None:
    form, record, said = BAD[case]
    file = tmp_path / "a.jsonl"
    file.write_text(lines(GOOD[form], record))
    with pytest.raises(Invalid) as refused:
        check(environment(file, form))
    assert said in str(refused.value)
    assert f"{file}, line 2" in str(refused.value)
    file.write_text(json.dumps([GOOD[form], record]))
    with pytest.raises(Invalid, match="line 1"):
        check(environment(file, form))


@pytest.mark.parametrize("broken", ['{"prompt": "a"', "{} {}", '{"prompt": "a", "prompt": "b"}', "[1, 2"])
def test_what_begins_as_json_and_is_none_is_named(tmp_path: Path, broken: str) -> None:
    (tmp_path / "a.jsonl").write_text(broken)
    with pytest.raises(Invalid, match=r"a\.jsonl.* (not JSON|no object)"):
        check(environment(tmp_path / "a.jsonl", "Preference"))


@pytest.mark.parametrize("text", ["[1] A book begins so.", "{ not a record }", "plain"])
def test_a_text_may_begin_as_it_likes(tmp_path: Path, text: str) -> None:
    (tmp_path / "book.txt").write_text(text)
    check(environment(tmp_path, "Text"))


def test_indexed_files_by_their_prefix_and_specifications_of_others_are_let_be(tmp_path: Path) -> None:
    check(environment(tmp_path / "books_text_document", "Text"))
    for spec in ("", "{", "[]", '{"datasets": 1}', '{"datasets": [1]}', '{"datasets": [{"source": {}}]}'):
        check({"DEEPSEEK_TRAINING_SPEC": spec})
