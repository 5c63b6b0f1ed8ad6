"""What a bench is told by its environment: which replica, which objective, which requests, and within which limits."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from deepseek_runtime.bencher.verdict import Measure, Objective
from deepseek_runtime.contract import Invalid

QUANTILE = "0.99"
QUANTILES = (0.5, 0.999)
"""Within these a load has 100 to 3,688 requests: more take hours."""
PROMPT_WORDS, ANSWER_TOKENS = 256, 128
MOST_STREAMS, LOAD_SECONDS = 256, 600


@dataclass(frozen=True)
class Settings:
    """One bench.

    Attributes:
        url: of the replica, without a path.
        model: that is asked for; empty: the first that the replica lists.
        objectives: at least one, all of one quantile.
        prompt_words: of each prompt; all are different, so that no cache of prefixes answers.
        answer_tokens: of an answer, in the mean: lengths are spread from half of it to one and a half, since answers of one
            length would begin all together again and again.
        most_streams: never more at a time.
        load_s: never longer at one number of streams.
        in_flight: the engine's metrics that together count its requests; none: it can't be seen whether others ask it.
        among_others: go on although others ask it.
        key: which requests carry as a bearer's token; empty for none.
    """

    url: str
    model: str
    objectives: tuple[Objective, ...]
    prompt_words: int
    answer_tokens: int
    most_streams: int
    load_s: int
    in_flight: tuple[str, ...]
    among_others: bool
    key: str

    @property
    def quantile(self) -> float:
        """Of all objectives."""
        return self.objectives[0].quantile


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Invalid naming the variable that is wrong."""
    url = environment.get("DEEPSEEK_BENCH_URL", "")
    if not url.startswith(("http://", "https://")):
        raise Invalid(
            f"DEEPSEEK_BENCH_URL is {url[:200]!r}; write a replica's address, for example http://10.0.0.7:8000"
        )
    quantile = _quantile(environment.get("DEEPSEEK_BENCH_QUANTILE") or QUANTILE)
    limits = _json(environment, "DEEPSEEK_BENCH_OBJECTIVES", "{}", '{"TimeToFirstToken": 500}')
    names = _json(environment, "DEEPSEEK_BENCH_IN_FLIGHT", "[]", '["vllm:num_requests_running"]')
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid("DEEPSEEK_BENCH_IN_FLIGHT is no list of names of metrics")
    return Settings(
        url=url.rstrip("/"),
        model=environment.get("DEEPSEEK_BENCH_MODEL", ""),
        objectives=tuple(_objectives(limits, quantile)),
        prompt_words=_count(environment, "DEEPSEEK_BENCH_PROMPT_WORDS", PROMPT_WORDS),
        answer_tokens=_count(environment, "DEEPSEEK_BENCH_ANSWER_TOKENS", ANSWER_TOKENS),
        most_streams=_count(environment, "DEEPSEEK_BENCH_MOST_STREAMS", MOST_STREAMS),
        load_s=_count(environment, "DEEPSEEK_BENCH_LOAD_SECONDS", LOAD_SECONDS),
        in_flight=tuple(names),
        among_others=environment.get("DEEPSEEK_BENCH_AMONG_OTHERS") == "true",
        key=environment.get("DEEPSEEK_BENCH_KEY", ""),
    )


def _objectives(limits: object, quantile: float) -> list[Objective]:
    known = ", ".join(measure.value for measure in Measure)
    if not isinstance(limits, dict) or not limits:
        raise Invalid(f"DEEPSEEK_BENCH_OBJECTIVES has no limit: write milliseconds for at least one of {known}")
    found = []
    for name, limit in limits.items():
        if name not in [measure.value for measure in Measure]:
            raise Invalid(f"DEEPSEEK_BENCH_OBJECTIVES names {str(name)[:80]!r}; write {known}")
        if not isinstance(limit, int | float) or isinstance(limit, bool) or not 0 < limit < math.inf:
            raise Invalid(f"DEEPSEEK_BENCH_OBJECTIVES has {limit!r} for {name}; write milliseconds above 0")
        found.append(Objective(Measure(name), limit / 1000, quantile))
    return found


def _quantile(text: str) -> float:
    least, most = QUANTILES
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not least <= found <= most:
        raise Invalid(f"DEEPSEEK_BENCH_QUANTILE is {text[:80]!r}; write {least} to {most}, for example 0.95")
    return found


def _json(environment: Mapping[str, str], name: str, absent: str, example: str) -> object:
    try:
        return json.loads(environment.get(name) or absent)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{name} is no JSON; write for example {example}") from error


def _count(environment: Mapping[str, str], name: str, absent: int) -> int:
    text = environment.get(name) or str(absent)
    if not (text.isascii() and text.isdigit() and len(text) <= 7) or int(text) < 1:
        raise Invalid(f"{name} is {text[:80]!r}; write a whole number of at least 1")
    return int(text)
