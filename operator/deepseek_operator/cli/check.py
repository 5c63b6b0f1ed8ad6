"""`check`: whether an operator behind an address works, by what it tells Prometheus; what `helm test` runs."""

import time
from collections.abc import Callable
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

LIMIT_S = 60.0
EVERY_S = 1.0
"""A Service leads to any replica: one of those that are asked must be the one that leads."""


def trouble(page: str) -> str | None:
    """What is wrong with the operator that tells this; None: it leads, and every watch stands."""
    told = {family.name: family.samples for family in text_string_to_metric_families(page)}
    leads = told.get("leader_election_master_status", ())
    if not leads:
        return "what answers is no operator"
    if not any(sample.value for sample in leads):
        return "no process that answered leads"
    deaf = sorted(
        sample.labels["resource"] for sample in told.get("deepseek_operator_watch_down_seconds", ()) if sample.value
    )
    return f"its watch of {', '.join(deaf)} does not stand" if deaf else None


def answer(url: str, limit_s: float = LIMIT_S, read: Callable[[str], str] | None = None) -> int:
    """Asks until all is well, which is 0, or the limit is over, which is 1 with what was wrong last."""
    ends_at = time.monotonic() + limit_s
    while True:
        try:
            wrong = trouble((read or _read)(url))
        except (OSError, ValueError) as error:
            wrong = f"{url} can't be read: {error}"
        if wrong is None:
            print("an operator leads, and every watch of it stands")
            return 0
        if time.monotonic() >= ends_at:
            print(wrong)
            return 1
        time.sleep(min(EVERY_S, max(0.0, ends_at - time.monotonic())))


def _read(url: str) -> str:
    with urlopen(url, timeout=5) as response:
        return str(response.read().decode())
