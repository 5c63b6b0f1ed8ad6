"""The page over everything: what there is of each kind, what wants attention, who holds devices, and a part of each kind's own."""

from deepseek_operator.core.dashboards import (
    COLUMNS,
    IN_NAMESPACE,
    OBJECT,
    Dashboard,
    Form,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
    by_object,
    increase,
    series,
)
from deepseek_operator.core.kinds import Entry, Kinds

_HELD = by_object(series("deepseek_operator_devices", IN_NAMESPACE), "kind", "resource")
_DEVICE_SECONDS = increase(series("deepseek_operator_device_seconds_total", IN_NAMESPACE), "1d", "kind", "resource")
_USE = series("namespace_name:deepseek_device_use:ratio", IN_NAMESPACE)
_RECORDED = "Of those that are held. Needs alerts.enabled, which records it, and a device exporter."


def fleet(kinds: Kinds) -> Dashboard:
    """Of all kinds that tell something of their objects."""
    told = [entry for entry in kinds if entry.metrics]
    summaries = tuple(panel for entry in told if entry.dashboard for panel in entry.dashboard.summary)
    return Dashboard(
        "fleet",
        "DeepSeek / Fleet",
        "Everything that the operator keeps, at a glance.",
        (Variable("namespace", "Namespace", "namespace", '{__name__=~"deepseek_operator_.+_info"}'),),
        (
            Row("What there is", (*(_phases(entry, _width(len(told))) for entry in told), _devices(len(told)))),
            Row("What wants attention", (_stalled(told), _unready(told))),
            Row(
                "Devices",
                (
                    Panel(
                        "Held by namespace",
                        (Query(f"sum by (namespace, resource) ({_HELD})", "{{namespace}} {{resource}}"),),
                        height=8,
                    ),
                    Panel(
                        "Device-hours of the last day",
                        (
                            Query(
                                f"sum by (namespace, resource) ({_DEVICE_SECONDS}) / 3600", "{{namespace}} {{resource}}"
                            ),
                        ),
                        form=Form.VALUES,
                        height=8,
                    ),
                    Panel(
                        "In use",
                        (Query(f"avg by (namespace, kind) ({_USE})", "{{namespace}} {{kind}}"),),
                        _RECORDED,
                        Unit.SHARE,
                        height=8,
                    ),
                ),
            ),
            Row("Work", summaries),
        ),
    )


def _prefix(entry: Entry) -> str:
    return f"deepseek_operator_{entry.word}_"


def _width(kinds: int) -> int:
    """Of the phases of one kind: half as wide again as what stands beside them all, since there are several."""
    return 3 * COLUMNS // (3 * kinds + 2)


def _phases(entry: Entry, width: int) -> Panel:
    phase = by_object(series(f"{_prefix(entry)}phase", IN_NAMESPACE), "phase")
    return Panel(
        f"{entry.word.capitalize()}s by phase",
        (Query(f"count by (phase) ({phase})", "{{phase}}"),),
        form=Form.FIGURES,
        width=width,
        height=6,
    )


def _devices(kinds: int) -> Panel:
    return Panel(
        "Devices held",
        (Query(f"sum by (resource) ({_HELD})", "{{resource}}"),),
        "By pods that were placed and are not over, whether they compute or load.",
        form=Form.FIGURES,
        width=COLUMNS - kinds * _width(kinds),
        height=6,
    )


def _stalled(kinds: list[Entry]) -> Panel:
    return Panel(
        "Stalled",
        (_where(kinds, 'type="Stalled"', 'status="True"'),),
        "These go on only when somebody changes something. docs/status.md says of each reason what.",
        form=Form.TABLE,
        width=12,
        height=7,
    )


def _unready(kinds: list[Entry]) -> Panel:
    return Panel(
        "Not ready",
        (_where(kinds, 'type="Ready"', 'status!="True"'),),
        form=Form.TABLE,
        width=12,
        height=7,
    )


def _where(kinds: list[Entry], *matchers: str) -> Query:
    """Objects of any kind whose condition is so, with its reason and their kind."""
    return Query(
        " or ".join(
            f"label_replace(max by ({OBJECT}, reason) ({series(f'{_prefix(entry)}condition', IN_NAMESPACE, *matchers)}), "
            f'"kind", "{entry.word}", "", "")'
            for entry in kinds
        )
    )
