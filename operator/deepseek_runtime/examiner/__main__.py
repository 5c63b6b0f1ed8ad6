"""`python3 -m deepseek_runtime.examiner`: measures what answers at DEEPSEEK_EXAM_URL, and prints the marks as one line of JSON.

DEEPSEEK_EXAM_URL is a server with OpenAI's protocol, DEEPSEEK_SERVED_MODEL_NAME the model that is asked for,
DEEPSEEK_EXAM_DATA a file or folder of {"prompt": …, "completion": …} or a task such as builtin://uppercase, and
DEEPSEEK_EXAM_SAMPLES how many of them are asked, the first ones (200). DEEPSEEK_EXAM_KEY is shown to a server that wants one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from deepseek_runtime import termination
from deepseek_runtime.contract import ExitCode, Invalid
from deepseek_runtime.examiner.exam import examine
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Dataset
from deepseek_runtime.trainer.data.source import contents_of, pairs_of
from deepseek_runtime.trainer.data.tasks import TASKS

SAMPLES = 200
MOST_UNANSWERED = 0.1
"""Of all questions: with more, what was answered is no sample of them any more."""


@dataclass(frozen=True)
class Settings:
    """What is asked of whom."""

    url: str
    model: str
    dataset: Dataset
    samples: int
    key: str = field(default="", repr=False)


def main() -> int:
    """Returns 0 with marks, 64 for what can't be asked, and 1 where too much was not answered."""
    try:
        settings = read_settings(os.environ)
        with reading("the held-out data", "write pairs of prompt and completion"):
            pairs = pairs_of(settings.dataset, contents_of(settings.dataset))
            questions = [(prompt, completion) for _, prompt, completion in islice(pairs, settings.samples)]
        if not questions:
            raise Invalid("DEEPSEEK_EXAM_DATA holds no pair of prompt and completion")
    except Invalid as error:
        return _over(ExitCode.INVALID, str(error))
    marks = asyncio.run(examine(settings.url, settings.model, questions, settings.key))
    print(
        json.dumps({"accuracy": marks.accuracy, "answered": marks.answered, "unanswered": marks.unanswered}), flush=True
    )
    if marks.accuracy is None or marks.unanswered > MOST_UNANSWERED * len(questions):
        return _over(1, f"{marks.unanswered} of {len(questions)} questions were not answered: {marks.why}")
    said = f"{marks.right} of {marks.answered} answers are right"
    return _over(ExitCode.COMPLETE, said, {"accuracy": marks.accuracy, "samples": float(marks.answered)})


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Invalid naming the variable that is wrong."""
    url, data = environment.get("DEEPSEEK_EXAM_URL", ""), environment.get("DEEPSEEK_EXAM_DATA", "")
    if not url.startswith(("http://", "https://")):
        raise Invalid(
            f"DEEPSEEK_EXAM_URL is {url[:200]!r}; write a server's address, for example http://chat-serve:8000"
        )
    if not data:
        raise Invalid(
            "DEEPSEEK_EXAM_DATA is empty; write a file, for example /data/heldout.jsonl, or builtin://uppercase"
        )
    text = environment.get("DEEPSEEK_EXAM_SAMPLES") or str(SAMPLES)
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise Invalid(f"DEEPSEEK_EXAM_SAMPLES is {text[:200]!r}; write a whole number of at least 1")
    return Settings(
        url,
        environment.get("DEEPSEEK_SERVED_MODEL_NAME", ""),
        _dataset(data),
        int(text),
        environment.get("DEEPSEEK_EXAM_KEY", ""),
    )


def _dataset(data: str) -> Dataset:
    task = data.removeprefix("builtin://")
    if task == data:
        return Dataset(Path(data), None, "Heldout", 1.0, "PromptCompletion")
    if task not in TASKS:
        raise Invalid(
            f"DEEPSEEK_EXAM_DATA is {data[:200]!r}; write one of {', '.join(f'builtin://{one}' for one in TASKS)}"
        )
    return Dataset(None, task, "Heldout", 1.0, "PromptCompletion")


def _over(code: int, message: str, metrics: Mapping[str, float | None] | None = None) -> int:
    print(f"examiner: {message}", file=sys.stderr, flush=True)
    log = Path(os.environ.get(termination.PATH_VARIABLE) or termination.DEFAULT_PATH)
    last = termination.Termination(termination.result_of(code), message, metrics=metrics or {})
    termination.write(last, log)
    return code


if __name__ == "__main__":
    sys.exit(main())
