"""What a serving pod is told, read once from its environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`max_concurrency` requests generate at once, `queue_limit` more wait, the rest is refused."""

    model_path: Path
    served_model_name: str
    port: int
    max_concurrency: int
    queue_limit: int
    drain_s: float


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
    )


def _whole(environment: Mapping[str, str], name: str, absent: int, *, least: int) -> int:
    text = environment.get(name) or str(absent)
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        raise ValueError(f"{name} is {text!r}; write a whole number of at least {least}")
    return int(text)
