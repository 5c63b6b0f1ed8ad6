"""What a dataset's source holds: records of its files, or of a task made by code, each with its place for a person."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from deepseek_runtime.chat.messages import Chat, chat_of, check_exchange
from deepseek_runtime.contract import Invalid
from deepseek_runtime.documents import shown
from deepseek_runtime.spec import Dataset, Format
from deepseek_runtime.trainer.data import dvc, tasks
from deepseek_runtime.trainer.data.files import files_of
from deepseek_runtime.trainer.data.records import Content, read_content, records, text_of, value_of

# What each format is known by, and how a line of it is written.
FIELDS: Mapping[Format, tuple[str, ...]] = {
    "Messages": ("messages",),
    "Alpaca": ("instruction", "output"),
    "PromptCompletion": ("prompt", "completion"),
    "Text": ("text",),
}
# All that is read of a record, in any format: the columns of a table that are worth reading.
COLUMNS = frozenset(
    {*(name for names in FIELDS.values() for name in names), "tools", "input", "system", "history", "conversations"}
)
ADVICE: Mapping[Format, str] = {
    "Messages": 'write {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}, one object'
    " per line",
    "Alpaca": 'write {"instruction": "…", "input": "…", "output": "…"}, one object per line',
    "PromptCompletion": 'write {"prompt": "…", "completion": "…"}, one object per line',
    "Text": 'write {"text": "…"}, one object per line',
}


def name_of(dataset: Dataset) -> str:
    """The dataset as its user named it."""
    return dataset.builtin or str(dataset.path)


def contents_of(dataset: Dataset, beat: Callable[[], None] = lambda: None) -> tuple[Content, ...]:
    """What its files hold, in the order of their names; nothing where it is made by code. `beat` is called with each.

    Raises Invalid, also for data that is not what DVC has recorded of it.
    """
    dvc.check(dataset)
    found = list[Content]()
    for file in files_of(dataset.path) if dataset.path is not None else ():
        found.append(read_content(file))
        beat()
    return tuple(found)


def pairs_of(dataset: Dataset, contents: Sequence[Content]) -> Iterator[tuple[str, str, str]]:
    """Prompts and completions with their places."""
    if dataset.path is None:
        yield from ((name_of(dataset), *made) for made in tasks.examples(dataset.builtin or "", dataset.split))
        return
    for place, record in _of_format("PromptCompletion", contents):
        prompt, completion = (_text(place, record, field, "PromptCompletion") for field in ("prompt", "completion"))
        yield place, prompt, completion


def texts_of(dataset: Dataset, contents: Sequence[Content]) -> Iterator[tuple[str, str]]:
    """The `text` fields of records, or any other content as a whole, with their places."""
    if dataset.path is None:
        yield name_of(dataset), "\n".join("".join(pair) for _, *pair in pairs_of(dataset, contents))
    for content in contents:
        if content.has_records:
            for place, record in _of_format("Text", [content]):
                yield place, _text(place, record, "text", "Text")
        else:
            yield content.name, content.text


def chats_of(dataset: Dataset, contents: Sequence[Content]) -> Iterator[tuple[str, Chat]]:
    """Chats with their places; what isn't written as messages becomes a user's question and the assistant's answer."""
    if dataset.path is None:
        for place, prompt, completion in pairs_of(dataset, contents):
            yield place, chat_of([_said("user", prompt), _said("assistant", completion)])
        return
    form = dataset.format
    for place, record in _of_format(form, contents):
        try:
            messages = _messages(place, record) if form == "Messages" else _of_alpaca(place, record)
            chat = chat_of(messages, record.get("tools") if form == "Messages" else None)
            check_exchange(chat)
        except Invalid as error:
            raise error if str(error).startswith(place) else Invalid(f"{place}: {error}") from None
        yield place, chat


def sha256_of(dataset: Dataset, contents: Sequence[Content]) -> str:
    """Of what was read, before a tokenizer saw it: of one file its own, of several one over theirs, in their order."""
    if len(contents) == 1:
        return contents[0].sha256
    if contents:
        return hashlib.sha256("\n".join(one.sha256 for one in contents).encode()).hexdigest()
    made = json.dumps(tasks.examples(dataset.builtin or "", dataset.split))
    return hashlib.sha256(made.encode()).hexdigest()


def _of_format(form: Format, contents: Sequence[Content]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Raises Invalid for a record that hasn't the format's fields, with the format whose fields it has."""
    for place, record in (found for one in contents for found in records(one, ADVICE[form], COLUMNS)):
        if not all(field in record for field in FIELDS[form]):
            other = next((name for name, fields in FIELDS.items() if all(field in record for field in fields)), None)
            if other is not None:
                raise Invalid(
                    f"{place} is of format {other}, and the dataset's is {form}: write datasets[].format: {other}, or put"
                    " lines of another format into a file and dataset of their own"
                )
            if "chosen" in record and "rejected" in record:
                raise Invalid(
                    f"{place} prefers one answer to another, which objective DPO learns from: write objective: DPO and"
                    " datasets[].format: Preference with trainer.type llama-factory or ms-swift; the built-in trainer has no DPO"
                )
            if "conversations" in record:
                raise Invalid(f"{place} has ShareGPT's 'conversations': {ADVICE['Messages']}, and format: Messages")
        yield place, record


def _messages(place: str, record: Mapping[str, object]) -> object:
    return value_of(place, record, "messages", ADVICE["Messages"])


def _of_alpaca(place: str, record: Mapping[str, object]) -> list[object]:
    """The instruction and its input in two lines are the user's; `history` are earlier pairs of question and answer."""
    instruction, output = (_text(place, record, field, "Alpaca") for field in ("instruction", "output"))
    given = {name: record[name] for name in ("input", "system") if record.get(name) is not None}
    added, system = (_text(place, given, name, "Alpaca") if name in given else "" for name in ("input", "system"))
    said = [_said("system", system)] if system else []
    for number, turn in enumerate(_history(place, record)):
        match turn:
            case [str(question), str(answer)]:
                said += [_said("user", question), _said("assistant", answer)]
            case _:
                raise Invalid(f'{place}: history[{number}] is {shown(turn)}; write ["question", "answer"]')
    return [*said, _said("user", f"{instruction}\n{added}" if added else instruction), _said("assistant", output)]


def _history(place: str, record: Mapping[str, object]) -> list[object]:
    history = record.get("history")
    if history is None or isinstance(history, list):
        return history or []
    raise Invalid(f'{place}: history is {shown(history)}, no list; write [["question", "answer"], …]')


def _said(role: str, text: str) -> dict[str, object]:
    return {"role": role, "content": text}


def _text(place: str, record: Mapping[str, object], field: str, form: Format) -> str:
    return text_of(place, record, field, ADVICE[form])
