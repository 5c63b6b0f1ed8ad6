"""What a report leaves out: whatever may be a secret, or what a user or a model has said.

Nothing is read of Secrets at all. Of what is read, a literal value of an environment variable is kept only where its name is
known to hold none; data of ConfigMaps never; and of logs no line that may quote a prompt, an example or an answer. What looks
like a credential is blotted out wherever it stands. It errs on the side of leaving out: the kept rest says where that was.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LEFT_OUT = "[left out]"
_CREDENTIAL = re.compile(
    r"""(?x)
      (?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_-]{8,} | hf_[A-Za-z0-9]{8,} | gh[pousr]_[A-Za-z0-9]{8,} | AKIA[A-Z0-9]{12,}
        | xox[a-z]-[A-Za-z0-9-]{8,} | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)
    | (?i:(?<=bearer\ ))[^\s"',]+
    | (?i:(?<=basic\ ))[A-Za-z0-9+/=]{8,}
    | (?s:-----BEGIN[^-]*-----.*?-----END[^-]*-----)
    """
)
_NAMED = re.compile(
    r"""(?ix) ( [\w.-]*(?:token|secret|passw(?:or)?d|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]*
        ["']? \s* (?: [:=] | \s ) \s* ) ( "[^"]*" | '[^']*' | [^\s"',&;)}\]]+ )"""
)
"""`--api-key x`, `password=x`, `"token": "x"`."""
_COUNT = re.compile(r"""["']?[0-9][0-9.,]*["']?""")
"""Of tokens there are also numbers, which are what a report is for."""
_OPEN_VARIABLES = re.compile(
    r"DEEPSEEK_(?!.*(?:KEY|TOKEN|SECRET|PASS)).*|(?:NCCL|RCCL|HCCL|UCX|GLOO|OMP|CUDA|PYTORCH|TORCH|PET)_[A-Z_]+|HF_HUB_OFFLINE|HOME"
)
_SPOKEN = re.compile(
    r"(?i)prompt|completion|messages?\"|\bcontent\b|input_ids|token_ids|\btext\b|sampl|generated|example|answer"
)
_OPEN_EVENTS = frozenset(
    {"step", "evaluation", "checkpoint", "complete", "stop", "init", "preparing", "prepared", "data", "diverged", "rollback",
     "export", "experts", "straggler", "preflight"}
)  # fmt: skip
"""Lines of the trainer that hold numbers; `sample` quotes the model, and what is unknown may."""


def text(line: str) -> str:
    """A text with what looks like a credential blotted out."""
    found = _CREDENTIAL.sub(LEFT_OUT, line)
    return _NAMED.sub(lambda one: one[0] if _COUNT.fullmatch(one[2]) else f"{one[1]}{LEFT_OUT}", found)


def log(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a log that hold neither a secret nor what somebody said; for the others one that says so."""
    for line in lines:
        yield text(line) if _is_open(line) else LEFT_OUT


def _is_open(line: str) -> bool:
    try:
        record = json.loads(line) if line.startswith("{") else None
    except (ValueError, RecursionError):
        return False
    if isinstance(record, dict):
        return record.get("event") in _OPEN_EVENTS
    return _SPOKEN.search(line) is None


def manifest(one: Mapping[str, Any]) -> dict[str, Any]:
    """An object without what may be secret, and without what only the API server needs."""
    metadata = {key: value for key, value in (one.get("metadata") or {}).items() if key != "managedFields"}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    kept = {**one, "metadata": metadata}
    for key in ("data", "binaryData", "stringData"):
        if one.get("kind") in ("ConfigMap", "Secret") and kept.get(key):
            kept[key] = dict.fromkeys(kept[key], LEFT_OUT)
    found = _value(kept)
    assert isinstance(found, dict)
    return found


def _value(value: Any) -> Any:
    match value:
        case dict():
            return {key: _field(str(key), inner) for key, inner in value.items()}
        case list():
            return _items(value)
        case str():
            return text(value)
    return value


def _items(values: list[Any]) -> list[Any]:
    """A list; what follows a flag that names a secret is left out with it."""
    made: list[Any] = []
    secret = False
    for value in values:
        made.append(LEFT_OUT if secret and isinstance(value, str) else _value(value))
        secret = isinstance(value, str) and value.startswith("-") and "=" not in value and _is_secret(value)
    return made


def _field(key: str, value: Any) -> Any:
    if key == "env" and isinstance(value, list):
        return [_variable(one) if isinstance(one, dict) else _value(one) for one in value]
    if isinstance(value, str) and _is_secret(key) and not key.endswith(("Name", "Ref")):
        return LEFT_OUT
    return _value(value)


_SECRET = re.compile(r"(?i)token$|secret$|passw(or)?d|credential|api-?_?key|private-?_?key|access-?_?key")


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _variable(one: Mapping[str, Any]) -> dict[str, Any]:
    """Its name, and its value where the name is known to hold no secret, or where it is a reference."""
    is_open = _OPEN_VARIABLES.fullmatch(str(one.get("name") or "")) is not None
    return {key: _value(inner) if key != "value" or is_open else LEFT_OUT for key, inner in one.items()}
