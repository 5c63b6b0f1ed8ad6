"""What a serving pod is told, read once from its environment."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Adapter:
    """An adapter that is served beside the model: the name that clients send, and its folder."""

    name: str
    path: Path


@dataclass(frozen=True)
class Settings:
    """`max_concurrency` requests generate at once, `queue_limit` more wait, the rest is refused.

    `aliases`: names by which the model answers beside `served_model_name`, which it shows as its own. `key`: without which
    nobody is answered; empty: everybody is.
    """

    model_path: Path
    served_model_name: str
    port: int
    max_concurrency: int
    queue_limit: int
    drain_s: float
    adapters: tuple[Adapter, ...] = ()
    aliases: tuple[str, ...] = ()
    key: str = field(default="", repr=False)


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises ValueError naming the variable that is wrong."""
    path = Path(environment.get("DEEPSEEK_MODEL_PATH") or "/model")
    return Settings(
        model_path=path,
        served_model_name=environment.get("DEEPSEEK_SERVED_MODEL_NAME")
        or environment.get("DEEPSEEK_SERVING_NAME")
        or path.name,
        port=_whole(environment, "DEEPSEEK_PORT", 8000, least=0),
        max_concurrency=_whole(environment, "DEEPSEEK_MAX_CONCURRENCY", 4, least=1),
        queue_limit=_whole(environment, "DEEPSEEK_QUEUE_LIMIT", 64, least=0),
        drain_s=_whole(environment, "DEEPSEEK_DRAIN_SECONDS", 30, least=0),
        adapters=tuple(_adapters(environment.get("DEEPSEEK_ADAPTERS") or "[]")),
        aliases=tuple((environment.get("DEEPSEEK_MODEL_ALIASES") or "").split()),
        key=_key(environment.get("DEEPSEEK_API_KEY")),
    )


def _key(text: str | None) -> str:
    """What no header can hold would lock everybody out; it is not quoted, since a log may be read by many."""
    if text is None:
        return ""
    if not text or any(not "!" <= one <= "~" for one in text):
        raise ValueError(
            "DEEPSEEK_API_KEY is empty, or holds more than printable ASCII; write the Secret's entry without white space and "
            "without a newline at its end, for example by kubectl create secret generic --from-literal"
        )
    return text


def _adapters(text: str) -> Iterator[Adapter]:
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    for one in listed if isinstance(listed, list) else [None]:
        match one:
            case {"name": str(name), "path": str(path)} if name and path:
                yield Adapter(name, Path(path))
            case _:
                raise ValueError(
                    f'DEEPSEEK_ADAPTERS is {text[:200]!r}; write a list such as [{{"name": "legal", "path": "/adapters/0"}}]'
                )


def _whole(environment: Mapping[str, str], name: str, absent: int, *, least: int) -> int:
    text = environment.get(name) or str(absent)
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise ValueError(f"{name} is {text!r}; write a whole number of at least {least}")
    return int(text)
