"""What a dataset's source holds: records of a file, or of a task made by code, each with its place for a person."""

import hashlib
import json
from collections.abc import Iterator

from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data import tasks
from deepseek_runtime.trainer.data.records import Content, read_content, records, text_of

PAIR_ADVICE = 'write {"prompt": "…", "completion": "…"}, one object per line'
TEXT_ADVICE = 'write {"text": "…"}, one object per line'


def name_of(dataset: Dataset) -> str:
    """The dataset as its user named it."""
    return dataset.builtin or str(dataset.path)


def content_of(dataset: Dataset) -> Content | None:
    """What its file holds; None where it is made by code. Raises Invalid."""
    return read_content(dataset.path) if dataset.path is not None else None


def pairs_of(dataset: Dataset, content: Content | None) -> Iterator[tuple[str, str, str]]:
    """Prompts and completions with their places."""
    if content is None:
        yield from ((name_of(dataset), *made) for made in tasks.examples(dataset.builtin or "", dataset.split))
        return
    for place, record in records(content, PAIR_ADVICE):
        yield (
            place,
            text_of(place, record, "prompt", PAIR_ADVICE),
            text_of(place, record, "completion", PAIR_ADVICE),
        )


def texts_of(dataset: Dataset, content: Content | None) -> Iterator[tuple[str, str]]:
    """The `text` fields of JSON, or any other content as a whole, with their places."""
    if content is None:
        yield name_of(dataset), "\n".join("".join(pair) for _, *pair in pairs_of(dataset, content))
    elif content.is_json:
        for place, record in records(content, TEXT_ADVICE):
            yield place, text_of(place, record, "text", TEXT_ADVICE)
    else:
        yield content.name, content.text


def sha256_of(dataset: Dataset, content: Content | None) -> str:
    """Of what was read, before a tokenizer saw it."""
    if content is not None:
        return content.sha256
    made = json.dumps(tasks.examples(dataset.builtin or "", dataset.split))
    return hashlib.sha256(made.encode()).hexdigest()
