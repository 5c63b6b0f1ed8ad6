"""The chart's files of dashboards: Grafana's JSON, and what Perses has, for the templates to walk over."""

from collections.abc import Mapping
from json import dumps
from pathlib import Path

from deepseek_operator.cli.dashboards.fleet import fleet
from deepseek_operator.cli.dashboards.grafana import grafana
from deepseek_operator.cli.dashboards.perses import perses
from deepseek_operator.cli.dashboards.process import DASHBOARD
from deepseek_operator.core.dashboards import Dashboard
from deepseek_operator.core.kinds import Kinds


def dashboards(kinds: Kinds) -> tuple[Dashboard, ...]:
    """All: over everything, of each kind, of the operator."""
    return (fleet(kinds), *(entry.dashboard for entry in kinds if entry.dashboard), DASHBOARD)


def files(kinds: Kinds) -> Mapping[Path, str]:
    """By path below the folder of dashboards. JSON has no room for who wrote it: the folder's README says so."""
    found = {Path("grafana") / f"{one.name}.json": grafana(one) for one in dashboards(kinds)}
    found |= {Path("perses") / f"{one.name}.json": perses(one) for one in dashboards(kinds)}
    return {path: dumps(told, indent=1) + "\n" for path, told in found.items()}
