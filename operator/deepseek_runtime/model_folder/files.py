"""One file of a model folder: itself, or what a download or a copy left in its place."""

import json
import os
from pathlib import Path

from deepseek_runtime.contract import Invalid
from deepseek_runtime.model_folder.parts import AGAIN

# The largest there are, tokenizer.json of 200,000 entries, have 30 MB.
_JSON_LIMIT = 1 << 29


def read_json(file: Path) -> dict[str, object]:
    """The object in a JSON file. Raises Invalid with what it is instead."""
    if strange := _strangeness(file):
        raise Invalid(f"{file} {strange}")
    if (size := file.stat().st_size) > _JSON_LIMIT:
        raise Invalid(f"{file} has {size} bytes, more than any model's; {AGAIN}")
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{file} is no JSON ({' '.join(str(error).split())}); {AGAIN}") from None
    if not isinstance(value, dict):
        raise Invalid(f"{file} holds no JSON object but {type(value).__name__}; {AGAIN}")
    return value


def refuse_strange(file: Path) -> None:
    if strange := _strangeness(file):
        raise Invalid(f"{file} {strange}")


def _strangeness(file: Path) -> str | None:
    """What else than itself a file is, and what to do; None for one that may be what it is called."""
    if file.is_dir():
        return f"is a folder; {AGAIN}"
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
    except PermissionError:
        return f"is not readable for uid {os.geteuid()}; make it so (`chmod -R a+rX` on the model's folder)"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a Git-LFS pointer, not the file itself; run `git lfs pull` where it was cloned, and copy it again"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return f"is a web page, not the file itself: a download was answered by a log-in or an error; {AGAIN}"
    return None if start else f"is empty; {AGAIN}"
