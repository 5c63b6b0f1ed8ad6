"""What a fetch may take from its claim where room lacks, and what it took.

Whoever has a claim says whether it is a cache: by the annotation deepseek-operator.io/evict: LastUse. The fetch is told then
which folders the namespace names, as of when its Job is made; the rest is up to `deepseek_runtime.fetcher.eviction`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence

from deepseek_operator.api.v1alpha1.common.fetch import FetchStatus
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Event
from deepseek_operator.core.resources import CLAIM, GROUP, Manifest, Ref, annotations_of, uid_of
from deepseek_operator.core.seen import Seen

EVICT = f"{GROUP}/evict"
"""Annotation of a claim: what may go from it."""
LAST_USE = "LastUse"
MOST_TOLD = 16
"""Folders that a status tells of."""

_LONGEST_TOLD = 320
_LONGEST_VARIABLE = 96 * 1024
"""The kernel takes 128 KiB. Where more is named nothing goes."""
_NOTE_LENGTH = 1024


def is_cache(claim: Manifest | None) -> bool:
    """Whether what was fetched to the claim may go from it once nothing names it."""
    return claim is not None and annotations_of(claim).get(EVICT) == LAST_USE


def usage_of(seen: Seen[object], claim: str, configuration: Configuration) -> dict[str, str]:
    """Variables of a fetch: whose claim it fills, and what is in use of one that is a cache."""
    live = seen.references.get(Ref(CLAIM, claim))
    if live is None:
        return {}
    uid = {"DEEPSEEK_CLAIM_UID": uid_of(live)}
    if not is_cache(live) or seen.mentions is None:
        return uid
    said = {
        "named": seen.mentions.on(claim),
        "lookedAt": int(seen.now.timestamp()),
        "spared": ["hf"] if configuration.hub.is_offline else [],
    }
    text = json.dumps(said, separators=(",", ":"))
    return {**uid, "DEEPSEEK_CLAIM_USAGE": text} if len(text) <= _LONGEST_VARIABLE else uid


def advised(seen: Seen[object], claim: str) -> str:
    """What to write instead of an annotation that says something else; empty where none does."""
    live = seen.references.get(Ref(CLAIM, claim))
    said = annotations_of(live).get(EVICT, LAST_USE) if live is not None else LAST_USE
    return f"; its annotation {EVICT} says {said[:40]!r}: write {LAST_USE}" if said != LAST_USE else ""


def evicted(said: Mapping[str, object]) -> list[str]:
    """What a pod says that it took away, checked: it runs in the user's namespace."""
    told = said.get("evicted")
    if not isinstance(told, list):
        return []
    return [one[:_LONGEST_TOLD] for one in told if isinstance(one, str)][:MOST_TOLD]


def evictions(before: Sequence[FetchStatus], after: Sequence[FetchStatus]) -> Iterator[Event]:
    """One event for each fetch that has taken something since."""
    known = {one.reference: one.evicted for one in before}
    for one in after:
        if new := _new(known.get(one.reference, []), one.evicted):
            note = f"{', '.join(new)} went from claim {one.claim_name} for {one.uri} to have room: nothing named it any more"
            yield Event("Normal", "SourceEvicted", "Fetch", note[:_NOTE_LENGTH])


def _new(old: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """What is behind the old ones, of which the first may have been left out."""
    kept = next(len(old) - cut for cut in range(len(old) + 1) if list(now[: len(old) - cut]) == list(old[cut:]))
    return now[kept:]
