"""The page of servings: replicas and revisions, requests and latencies, what scaling goes by, rollouts, gate and cache."""

from collections.abc import Callable

from deepseek_operator.core.dashboards import (
    CHOSEN,
    IN_NAMESPACE,
    NAME,
    Dashboard,
    Form,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
    by_object,
    overview,
    quantile,
    series,
    told,
)
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.values.command import Signal
from deepseek_operator.kinds.serving.metrics import PREFIX

_OF_PODS = (IN_NAMESPACE, 'deepseek_serving=~"$name"')
_OF_SERVING = 'serving=~"$name"'
_HIT = 'result="hit"'
_BY_POD = "namespace, deepseek_serving"
_POD = "{{namespace}}/{{deepseek_serving}}"


def _told(name: str, legend: str = "", *labels: str) -> Query:
    """What the operator tells of each chosen serving."""
    return told(f"{PREFIX}{name}", legend, *labels)


def _engines(signal: Signal, asked: Callable[[str], str], end: str = "", *matchers: str) -> str:
    """What any engine tells of a signal, under whichever name; `asked` makes a vector of the series of one."""
    names = (entry.metric_names(None).get(signal, "") for entry in ENGINES.values())
    metrics = (name.partition("{") for name in dict.fromkeys(filter(None, names)))
    return " or ".join(asked(series(f"{name}{end}{brace}{own}", *matchers)) for name, brace, own in metrics)


def _rate(signal: Signal, end: str = "", *matchers: str) -> str:
    return _engines(signal, lambda selected: f"rate({selected}[5m])", end, *(matchers or _OF_PODS))


def _summed(signal: Signal, legend: str) -> Query:
    return Query(f"sum by ({_BY_POD}) ({_engines(signal, str, '', *_OF_PODS)})", f"{_POD} {legend}".strip())


def _each_second(signal: Signal, legend: str) -> Query:
    return Query(f"sum by ({_BY_POD}) ({_rate(signal)})", f"{_POD} {legend}".strip())


def _quantiles(signal: Signal, *shares: float) -> tuple[Query, ...]:
    buckets = _rate(signal, "_bucket")
    return tuple(
        Query(quantile(share, buckets, "namespace", "deepseek_serving"), f"{_POD} p{share * 100:.0f}")
        for share in shares
    )


def _share(part: str, of: str, legend: str) -> Query:
    return Query(f"{part} / ({of} > 0)", legend)


_ANSWERS, _ERRORS = _each_second(Signal.ANSWERS, ""), _each_second(Signal.ERRORS, "")
_WAITING = series("deepseek_gate_waiting", IN_NAMESPACE, _OF_SERVING)
_DECISIONS = series("deepseek_gate_decisions_total", IN_NAMESPACE, _OF_SERVING)
_HELD = series("deepseek_operator_devices", *CHOSEN, 'kind="serving"')
_STARTED = series("deepseek_operator_container_restarts_total", *CHOSEN, 'kind="serving"')
_CACHED = (IN_NAMESPACE, 'deepseek_cache=~"$name"')
_BY_CACHE = "sum by (namespace, deepseek_cache)"


def _cached(*matchers: str) -> str:
    requests = series("deepseek_cache_requests_total", *_CACHED, *matchers)
    return f"{_BY_CACHE} (rate({requests}[5m]))"


DASHBOARD = Dashboard(
    "serving",
    "DeepSeek / Servings",
    "Replicas, requests, latencies, scaling and rollouts of each serving.",
    (
        Variable("namespace", "Namespace", "namespace", f"{PREFIX}info"),
        Variable("name", "Serving", "name", series(f"{PREFIX}info", IN_NAMESPACE)),
    ),
    (
        Row("Now", overview(12, PREFIX, *CHOSEN)),
        Row(
            "Requests",
            (
                Panel("Answers per second", (_ANSWERS,)),
                Panel(
                    "Answers that failed by the engine's fault",
                    (_share(_ERRORS.expression, _ANSWERS.expression, _POD),),
                    unit=Unit.SHARE,
                ),
                Panel("In flight", (_summed(Signal.RUNNING, "running"), _summed(Signal.WAITING, "waiting"))),
                Panel(
                    "Tokens per second",
                    (_each_second(Signal.GENERATION_TOKENS, "generated"), _each_second(Signal.PROMPT_TOKENS, "read")),
                ),
                Panel("Time to first token", _quantiles(Signal.TIME_TO_FIRST_TOKEN, 0.5, 0.99), unit=Unit.SECONDS),
                Panel("Time between tokens", _quantiles(Signal.INTER_TOKEN_LATENCY, 0.5, 0.99), unit=Unit.SECONDS),
                Panel("Time of a whole answer", _quantiles(Signal.END_TO_END_LATENCY, 0.5, 0.99), unit=Unit.SECONDS),
                Panel("Time in the queue", _quantiles(Signal.QUEUE_TIME, 0.5, 0.99), unit=Unit.SECONDS),
                Panel(
                    "KV cache in use",
                    (Query(f"avg by ({_BY_POD}) ({_engines(Signal.KV_USAGE, str, '', *_OF_PODS)})", _POD),),
                    "On average of the replicas.",
                    Unit.SHARE,
                ),
            ),
        ),
        Row(
            "Replicas",
            (
                Panel(
                    "Replicas",
                    (
                        _told("replicas_wanted", "wanted"),
                        _told("replicas", "made"),
                        _told("replicas_ready", "ready"),
                        _told("replicas_minimum", "fewest"),
                        _told("replicas_maximum", "most"),
                    ),
                    width=12,
                ),
                Panel(
                    "By revision",
                    (
                        _told("revision_replicas_ready", "{{revision}} ready", "revision"),
                        _told("revision_replicas_loading", "{{revision}} loading", "revision"),
                    ),
                    width=12,
                ),
                Panel(
                    "Revisions",
                    (_told("revision_info", "", "revision", "model", "released"),),
                    form=Form.TABLE,
                    width=12,
                    height=8,
                ),
                Panel(
                    "Adapters",
                    (_told("adapter_info", "", "adapter", "kind", "training"),),
                    form=Form.TABLE,
                    width=12,
                    height=8,
                ),
                Panel("Devices held", (Query(by_object(_HELD, "resource"), f"{NAME} {{{{resource}}}}"),), width=12),
                Panel(
                    "Containers started over again",
                    (
                        Query(
                            by_object(_STARTED),
                            NAME,
                        ),
                    ),
                    "As the operator has seen it since it began to lead.",
                    width=12,
                ),
            ),
        ),
        Row(
            "Scaling",
            (
                Panel(
                    "Wanted by the autoscaler",
                    (
                        _told("autoscaler_replicas_wanted", "in all"),
                        _told("signal_replicas_wanted", "{{signal}}", "signal"),
                    ),
                ),
                Panel(
                    "Signals",
                    (_told("signal_value", "{{signal}}", "signal"),),
                    "In the unit of the signal's target, when its wish last changed.",
                    least=None,
                ),
                Panel(
                    "Signals that say nothing",
                    (
                        _told("signal_holds", "{{signal}}", "signal"),
                        Query(f"1 - {_told('autoscaler_active').expression}", f"{NAME} sees nothing"),
                    ),
                    "1 while a signal does not say how many it wants; what runs is kept.",
                ),
                Panel(
                    "Sleep",
                    (_told("sleep_phase", "", "phase"),),
                    "Of servings whose autoscaling.minReplicas is 0.",
                    form=Form.TABLE,
                    width=12,
                    height=8,
                ),
                Panel(
                    "Requests that wait for a replica",
                    (
                        Query(
                            f"sum by (namespace, serving) ({_WAITING})",
                            "{{namespace}}/{{serving}}",
                        ),
                    ),
                    "At the gate.",
                    width=12,
                ),
            ),
        ),
        Row(
            "Rollouts",
            (
                Panel(
                    "Parts of the requests",
                    (
                        _told("revision_weight_ratio", "{{revision}}", "revision"),
                        _told("canary_weight_ratio", "of the canary's step"),
                    ),
                    "By the gateway.",
                    Unit.SHARE,
                ),
                Panel(
                    "Step of the canary",
                    (
                        _told("canary_step", "step"),
                        _told("canary_steps", "of"),
                        _told("canary_failed_judgements", "failed judgements"),
                    ),
                ),
                Panel(
                    "Run",
                    (_told("canary_phase", "", "phase", "target", "stable"),),
                    "The present one, or the last.",
                    form=Form.TABLE,
                ),
                Panel(
                    "What its metrics came to",
                    (_told("canary_measured", "{{measure}}", "measure"),),
                    "Each in its own unit.",
                    width=12,
                    least=None,
                ),
                Panel(
                    "Exams",
                    (
                        _told(
                            "exam_accuracy_ratio",
                            "{{revision}} {{role}} {{data}}",
                            "revision",
                            "role",
                            "data",
                        ),
                    ),
                    unit=Unit.SHARE,
                    width=12,
                ),
            ),
        ),
        Row(
            "Gate and cache",
            (
                Panel(
                    "Decisions per second",
                    (
                        Query(
                            f"sum by (namespace, serving, result) (rate({_DECISIONS}[5m]))",
                            "{{namespace}}/{{serving}} {{result}}",
                        ),
                    ),
                    "Of requests for the serving, by what became of them. Needs the gate.",
                    width=12,
                ),
                Panel(
                    "Answered without a replica",
                    (_share(_cached(_HIT), _cached(), "{{namespace}}/{{deepseek_cache}}"),),
                    "Part of the requests that the cache answered. Needs gateway.cache.",
                    Unit.SHARE,
                    width=12,
                ),
            ),
        ),
    ),
    summary=(
        Panel(
            "Tokens generated per second",
            (
                Query(
                    f"sum by (namespace) ({_rate(Signal.GENERATION_TOKENS, '', IN_NAMESPACE)})",
                    "{{namespace}}",
                ),
            ),
            width=12,
            height=8,
        ),
        Panel(
            "Answers per second",
            (
                Query(
                    f"sum by (namespace) ({_rate(Signal.ANSWERS, '', IN_NAMESPACE)})",
                    "{{namespace}}",
                ),
            ),
            width=12,
            height=8,
        ),
    ),
)
