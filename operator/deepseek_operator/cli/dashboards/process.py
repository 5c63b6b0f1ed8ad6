"""The page of the operator itself, and of the gate: whether they work, how fast, and what they ask of the API server."""

from deepseek_operator.core.dashboards import Dashboard, Form, Panel, Query, Row, Unit, quantile, series


def _rate(name: str, *by: str) -> str:
    return f"sum by ({', '.join(by)}) (rate({series(name)}[5m]))"


_FAILED = series("controller_runtime_reconcile_total", 'result="error"')
_ALL = _rate("controller_runtime_reconcile_total", "controller")
_PASSES = _rate("controller_runtime_reconcile_total", "controller", "result")
_PASS_S = f"rate({series('controller_runtime_reconcile_time_seconds_bucket')}[5m])"
_REQUEST_S = f"rate({series('deepseek_operator_api_request_duration_seconds_bucket')}[5m])"
_DECISION_S = f"rate({series('deepseek_gate_decision_seconds_bucket')}[5m])"


def _greatest(name: str, *by: str) -> str:
    return f"max by ({', '.join(by)}) ({series(name)})"


DASHBOARD = Dashboard(
    "operator",
    "DeepSeek / Operator",
    "The operator's own processes, and the gate's.",
    (),
    (
        Row(
            "Whether it works",
            (
                Panel(
                    "Processes that lead",
                    (Query(f"sum ({series('leader_election_master_status')})", "lead"),),
                    "One, whatever the number of replicas.",
                    form=Form.FIGURES,
                    width=6,
                    height=5,
                ),
                Panel(
                    "Objects that wait for a pass",
                    (Query(_greatest("workqueue_depth", "name"), "waiting"),),
                    form=Form.FIGURES,
                    width=6,
                    height=5,
                ),
                Panel(
                    "Longest deaf",
                    (Query(f"max ({series('deepseek_operator_watch_down_seconds')})", "a watch"),),
                    "Since when a resource's watch has not stood; 0 while all do.",
                    Unit.SECONDS,
                    Form.FIGURES,
                    6,
                    5,
                ),
                Panel(
                    "Certificate ends in",
                    (
                        Query(
                            f"min by (use) ({series('deepseek_operator_certificate_expiry_timestamp_seconds')}) - time()",
                            "{{use}}",
                        ),
                    ),
                    "Of external metrics, where they are served.",
                    Unit.SECONDS,
                    Form.FIGURES,
                    6,
                    5,
                ),
            ),
        ),
        Row(
            "Passes",
            (
                Panel("Passes per second", (Query(_PASSES, "{{controller}} {{result}}"),)),
                Panel(
                    "Time of a pass",
                    tuple(
                        Query(quantile(share, _PASS_S, "controller"), f"{{{{controller}}}} p{share * 100:.0f}")
                        for share in (0.5, 0.99)
                    ),
                    unit=Unit.SECONDS,
                ),
                Panel(
                    "Passes that failed",
                    (
                        Query(
                            f"sum by (controller) (rate({_FAILED}[5m])) / ({_ALL} > 0) or 0 * {_ALL}",
                            "{{controller}}",
                        ),
                    ),
                    unit=Unit.SHARE,
                ),
            ),
        ),
        Row(
            "API server",
            (
                Panel(
                    "Requests per second",
                    (Query(_rate("deepseek_operator_api_requests_total", "verb", "code"), "{{verb}} {{code}}"),),
                    "Without the watches.",
                ),
                Panel(
                    "Time of a request",
                    (Query(quantile(0.99, _REQUEST_S, "verb"), "{{verb}} p99"),),
                    unit=Unit.SECONDS,
                ),
                Panel(
                    "Watch events per second",
                    (Query(_rate("deepseek_operator_watch_events_total", "resource"), "{{resource}}"),),
                ),
                Panel(
                    "Watches that ended per second",
                    (
                        Query(
                            _rate("deepseek_operator_watch_ends_total", "resource", "cause"), "{{resource}} {{cause}}"
                        ),
                    ),
                    "end: the server ended it, as it does every half minute.",
                ),
                Panel(
                    "Repaired by audits per second",
                    (
                        Query(
                            _rate("deepseek_operator_audit_repairs_total", "resource", "finding"),
                            "{{resource}} {{finding}}",
                        ),
                    ),
                    "What a watch had lost; nothing on a healthy cluster.",
                ),
                Panel(
                    "Objects in the mirror",
                    (Query(_greatest("deepseek_operator_mirror_objects", "resource"), "{{resource}}"),),
                ),
            ),
        ),
        Row(
            "Gate",
            (
                Panel("Decisions per second", (Query(_rate("deepseek_gate_decisions_total", "result"), "{{result}}"),)),
                Panel(
                    "Time of a decision",
                    tuple(Query(quantile(share, _DECISION_S), f"p{share * 100:.0f}") for share in (0.5, 0.99)),
                    "The transfer of the body and a hold included.",
                    Unit.SECONDS,
                ),
                Panel(
                    "Age of what it knows",
                    (Query(f"max ({series('deepseek_gate_knowledge_age_seconds')})", "oldest"),),
                    "Grows while the API server can't be read.",
                    Unit.SECONDS,
                ),
                Panel(
                    "What it knows",
                    tuple(
                        Query(f"max by (namespace) ({series(f'deepseek_gate_{what}')})", f"{{{{namespace}}}} {what}")
                        for what in ("keys", "models", "faults")
                    ),
                    "faults: entries that can't be believed; its log names them.",
                    width=24,
                ),
            ),
        ),
    ),
)
