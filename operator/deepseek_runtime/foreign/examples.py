"""Whether the records of the datasets are what is to be learnt from, read before a trainer that would pass over them.

LLaMA-Factory and ms-swift leave out, or read as empty, what they can't make an example of, with a line in their log at most.
Here the first such record ends the attempt by its file and line. What is no JSON (tables, Megatron's indexed files, plain
texts) is theirs to read.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import elements, parsed, shown

FIELDS: Mapping[str, tuple[str, ...]] = {
    "PromptCompletion": ("prompt", "completion"),
    "Preference": ("prompt", "chosen", "rejected"),
    "Alpaca": ("instruction", "output"),
    "Text": ("text",),
    "Messages": ("messages",),
}
_SPEC = "DEEPSEEK_TRAINING_SPEC"
_RECORDS = (".json", ".jsonl", ".ndjson")


def check(environment: Mapping[str, str]) -> None:
    """Looks at every record that is JSON. Raises Invalid with the place of the first that is of another form."""
    for path, form in _datasets(environment):
        for file in _files(path):
            if form == "Text" and file.suffix.lower() not in _RECORDS:
                continue  # a text may begin with a bracket
            for place, record in _records(file):
                _check(place, record, form)


def _datasets(environment: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Where they lie, and their formats; nothing where nobody says."""
    try:
        for one in json.loads(environment.get(_SPEC) or "{}")["datasets"]:
            if one.get("format", "PromptCompletion") in FIELDS and "path" in one["source"]:
                yield Path(one["source"]["path"]), one.get("format", "PromptCompletion")
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = (one for one in path.rglob("*") if one.is_file()) if path.is_dir() else ()
    return sorted(one for one in found if not any(part.startswith((".", "_")) for part in one.relative_to(path).parts))


def _records(file: Path) -> Iterator[tuple[str, object]]:
    """Of JSON lines or of one JSON list, each with its place. Raises Invalid for a broken one."""
    try:
        with file.open(encoding="utf-8-sig") as text:
            beginning = text.read(4096).lstrip()[:1]
            if beginning not in ("{", "["):
                return
            text.seek(0)
            if beginning == "[":
                yield from ((f"{file}, line {line}", value) for line, value in elements(text.read))
                return
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield f"{file}, line {number}", _value(f"{file}, line {number}", line)
    except UnicodeDecodeError:
        return
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file} is not JSON as a whole ({error}): write one object per line, or one list") from None
    except OSError as error:
        raise Invalid(f"{file} can't be read ({error})") from None


def _value(place: str, line: str) -> object:
    try:
        return parsed(line)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{place} is not JSON ({error}): write one object per line") from None


def _check(place: str, record: object, form: str) -> None:
    if not isinstance(record, dict):
        raise Invalid(f"{place} is {shown(record)}, no object: write {_example(form)}")
    for field in FIELDS[form]:
        if form == "Messages":
            if not isinstance(record.get(field), list) or not record[field]:
                raise Invalid(f"{place} has no messages: write {_example(form)}")
        elif not isinstance(record.get(field), str):
            raise Invalid(f"{place} has no text {field!r}, which format {form} needs: write {_example(form)}")
    if form == "Preference" and record["chosen"] == record["rejected"]:
        raise Invalid(f"{place} prefers an answer to itself: write another 'rejected', or leave the line out")


def _example(form: str) -> str:
    if form == "Messages":
        return '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
    return json.dumps(dict.fromkeys(FIELDS[form], "…"), ensure_ascii=False)
