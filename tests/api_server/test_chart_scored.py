"""What kube-score says of the chart's objects: nothing but what docs/security.md argues, check by check."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from examples.local_cluster import programs
from tests.support.go_programs import KUBE_SCORE, built

ROOT = Path(__file__).parents[2]
EVERYTHING = (
    "alerts.enabled=true", "dashboards.grafana.enabled=true", "dashboards.perses.enabled=true", "externalMetrics.enabled=true",
    "gate.enabled=true", "gate.namespaces={team}", "keda.enabled=true", "monitors.enabled=true", "networkPolicy.enabled=true",
    "networkPolicy.workloads.namespaces={team}", "prometheus.url=http://prometheus.monitoring.svc:9090", "replicas=2",
)  # fmt: skip
FULL_MARKS = 10


def told(text: str) -> dict[str, set[str]]:
    """Of each check that an object has not passed, the objects, as the last word of their names."""
    found = defaultdict(set)
    for one in json.loads(text):
        for check in one["checks"]:
            if not check["skipped"] and check["grade"] < FULL_MARKS:
                found[check["check"]["id"]].add(one["object_name"].rpartition("/")[2])
    return dict(found)


def argued() -> dict[str, set[str]]:
    """The same by the table of docs/security.md."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", (ROOT / "docs" / "security.md").read_text(), re.M)
    return {check: set(re.findall(r"`([a-z-]+)`", objects)) for check, objects in rows}


def test_whatever_kube_score_finds_is_argued_and_nothing_is_argued_that_it_does_not_find() -> None:
    switches = [word for value in EVERYTHING for word in ("--set", value)]
    command = [
        programs.built("helm"),
        "template",
        "deepseek-operator",
        str(ROOT / "charts" / "deepseek-operator"),
        *switches,
    ]
    rendered = subprocess.run(command, capture_output=True, timeout=60, check=True)
    # It ends with 1 where it finds something.
    scored = subprocess.run(
        [built(KUBE_SCORE), "score", "-", "--output-format", "json"],
        input=rendered.stdout,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert told(scored.stdout.decode()) == argued(), scored.stderr.decode()
