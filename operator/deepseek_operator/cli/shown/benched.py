"""What a bench says in its log, for a person: each load as it is over, the result with how exactly it is known, and targets.

The log is a pod's, in the user's namespace: whatever is no number there is shown as a dash.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.policy.capacity import Held, targets
from deepseek_operator.domain.values.table import aligned

_WORDS = {"Held": "held", "Broken": "not held", "Undecided": "too few to say"}


def documents(log: str, what: str) -> list[Mapping[str, Any]]:
    """The documents of that name in a log, as far as it goes."""
    found = []
    for line in log.splitlines():
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and isinstance(said.get(what), dict):
            found.append(said[what])
    return found


def load_line(load: Mapping[str, Any]) -> str:
    """One load: `8 at a time: held · P99 TimeToFirstToken 312 ms · 41.2 tokens/s · 368 requests in 41 s`."""
    quantile = percentile(load.get("quantile"))
    times = [f"{quantile} {name} {_time(found)}" for name, found in _times(load) if name in (load.get("misses") or {})]
    failed = f", {_number(load.get('failed'))} failed" if load.get("failed") else ""
    counted = f"{_number(load.get('requests'))} requests in {_number(load.get('seconds'))} s{failed}"
    head = f"{_number(load.get('streams'))} at a time: {_WORDS.get(str(load.get('verdict')), '-')}"
    return " · ".join([head, *times, f"{_number(load.get('tokensPerSecond'))} tokens/s", counted])


def percentile(quantile: object) -> str:
    """P99, of 0.99."""
    return f"P{float(quantile) * 100:g}" if isinstance(quantile, int | float) else "-"


def text(name: str, replica: str, result: Mapping[str, Any], headroom_percent: int) -> str:
    """The result and the targets that follow from it. `name`: of the object."""
    return "\n".join(_lines(name, replica, result, headroom_percent)) + "\n"


def _lines(name: str, replica: str, result: Mapping[str, Any], headroom_percent: int) -> Iterator[str]:
    quantile, held = percentile(result.get("quantile")), result.get("held")
    limits = " and ".join(f"{limit:g} ms of {measure}" for measure, limit in (result.get("objectives") or {}).items())
    if not isinstance(held, Mapping):
        yield f"{name}: not even one request at a time is known to be answered within {limits} at {quantile}"
    else:
        broken = f"; with {result['brokenAt']} it does not" if result.get("brokenAt") else ""
        yield f"{name}: one replica answers {held['streams']} requests at a time within {limits} at {quantile}{broken}"
    if result.get("why"):
        yield f"  {result['why']}"
    if not isinstance(held, Mapping):
        return
    yield f"  measured at {replica} with prompts of {_number(held.get('promptTokens'))} tokens, answers of {_number(held.get('answerTokens'))}"  # fmt: skip
    yield ""
    rows = [(f"  {quantile} {measure}", *_spread(found)) for measure, found in _times(held)]
    rows += [("  requests a second", _number(held.get("requestsPerSecond")), "")]
    rows += [("  tokens a second", _number(held.get("tokensPerSecond")), "")]
    yield from aligned(rows)
    yield ""
    yield f"Targets for each replica, {headroom_percent} % below"
    found = targets(_held(held), headroom_percent)
    yield f"  InFlight          {found.in_flight}"
    for measure, limit in (result.get("objectives") or {}).items():
        yield f"  {measure:<17} {limit:g} ms at {quantile}, as it is"
    if found.request_rate is not None:
        yield f"  RequestRate       {found.request_rate}, for requests as long as these alone"
    if found.tokens_per_second is not None:
        yield f"  TokensPerSecond   {found.tokens_per_second}, for requests as long as these alone"


def _held(held: Mapping[str, Any]) -> Held:
    return Held(held["streams"], held.get("requestsPerSecond"), held.get("tokensPerSecond"))


def patch_text(manifest: Manifest, change: Manifest, result: Mapping[str, Any]) -> str:
    """A patch as a file: for Kustomize, or `kubectl patch --type merge --patch-file`."""
    held = (result.get("held") or {}).get("streams")
    meta = manifest["metadata"]
    head = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
    }
    limits = ", ".join(f"{measure} {limit:g} ms" for measure, limit in (result.get("objectives") or {}).items())
    comment = f"# One replica held {held} requests at a time within {limits} at {percentile(result.get('quantile'))}.\n"
    return comment + str(yaml.safe_dump({**head, **change}, sort_keys=False, width=120))


def _times(load: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, found) for name, found in (load.get("quantiles") or {}).items() if isinstance(found, Mapping)]


def _spread(found: Mapping[str, Any]) -> tuple[str, str]:
    """A time, and between which it lies."""
    between: Sequence[Any] = found.get("between") or ()
    told = f"{_number(found.get('samples'))} samples"
    if len(between) == 2:
        told = f"between {_number(between[0])} and {_number(between[1])} ms with a confidence of 95 %, {told}"
    return _time(found), told


def _time(found: Mapping[str, Any]) -> str:
    return f"{_number(found.get('ms'))} ms" if found.get("ms") is not None else "never"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else "-"
