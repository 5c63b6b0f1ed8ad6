"""The chart's alerts as a plain file of rules, for a Prometheus that no chart configures.

`files/alerts.yaml` of the chart is their one source. Where the chart writes its values, this writes those that they have when
nobody sets them; both put the address of its runbook beside each alert.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

HEADER = """\
# Alerts and the rules that they stand on, for `rule_files` of a Prometheus: promtool check rules alerts.rules.yaml
# Generated from files/alerts.yaml and the chart's values by `python3 -m deepseek_operator chart`; not to be edited.
"""
_PLACE = re.compile(r"@(\w+)@")


def settled(source: str, values: Mapping[str, Any], lease: str) -> dict[str, Any]:
    """The groups with `values`, which are the chart's `alerts`, in their places.

    Raises:
        KeyError: the source names a value that is not there.
    """
    known = {**values["thresholds"], "latencyMeasure": values["latencyMeasure"], "lease": lease}
    found: dict[str, Any] = yaml.safe_load(_PLACE.sub(lambda place: str(known[place[1]]), source))
    for rule in (rule for group in found["groups"] for rule in group["rules"] if "alert" in rule):
        rule["annotations"]["runbook_url"] = f"{values['runbooks']}/{rule['alert']}.md"
        rule |= {"for": waits} if (waits := values["for"].get(rule["alert"])) is not None else {}
    return found


def rules_file(source: str, values: Mapping[str, Any], lease: str = "deepseek-operator") -> str:
    """YAML for `rule_files`."""
    return HEADER + yaml.safe_dump(settled(source, values, lease), sort_keys=False, width=120)
