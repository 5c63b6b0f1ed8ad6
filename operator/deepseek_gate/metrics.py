"""What the gate tells of itself: how it decided, how long that took, and how much it knows. No name of a client or a key."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deepseek_gate.reader import Reader
from deepseek_gate.waiting import Place, Waiting

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0, 100.0)


class Metrics:
    """`decided` counts; `page` is what Prometheus reads."""

    def __init__(self, reader: Reader, waiting: Waiting) -> None:
        self._registry = CollectorRegistry()
        self._decisions = Counter(
            "deepseek_gate_decisions",
            "Requests by what became of them; serving is empty where none was reached.",
            ("namespace", "serving", "result"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "deepseek_gate_decision_seconds",
            "From the head of a question to its answer, the transfer of the body and a hold included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Known(reader, waiting))

    def decided(self, namespace: str, serving: str, result: str, seconds: float) -> None:
        """One answer. All labels are of bounded sets: what is known, and the names of results."""
        self._decisions.labels(namespace, serving, result).inc()
        self._seconds.observe(seconds)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class _Known(Collector):
    def __init__(self, reader: Reader, waiting: Waiting) -> None:
        self._reader = reader
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        """Read when it is asked for: an age that nobody renews would stand still."""
        keys = GaugeMetricFamily("deepseek_gate_keys", "Keys that count.", labels=["namespace"])
        models = GaugeMetricFamily("deepseek_gate_models", "Names of models.", labels=["namespace"])
        faults = GaugeMetricFamily(
            "deepseek_gate_faults", "Entries that can't be believed; the log names them.", labels=["namespace"]
        )
        age = GaugeMetricFamily(
            "deepseek_gate_knowledge_age_seconds", "Since the last read; absent before the first.", labels=["namespace"]
        )
        for namespace in self._reader.namespaces:
            known, seconds = self._reader.of(namespace), self._reader.age_s(namespace)
            if known is None or seconds is None:
                continue
            keys.add_metric([namespace], len(known.keys))
            models.add_metric([namespace], len(known.models))
            faults.add_metric([namespace], len(known.faults))
            age.add_metric([namespace], seconds)
        waiting = GaugeMetricFamily(
            "deepseek_gate_waiting",
            "Requests that are held until the serving has a replica.",
            labels=["namespace", "serving"],
        )
        for (namespace, serving), count in sorted({**self._nobody(), **self._waiting.held}.items()):
            waiting.add_metric([namespace, serving], count)
        return (keys, models, faults, age, waiting)

    def _nobody(self) -> dict[Place, int]:
        """0 of each serving that requests may be held for, since nobody waited for it yet."""
        of = {namespace: self._reader.of(namespace) for namespace in self._reader.namespaces}
        return {
            (namespace, model.serving): 0
            for namespace, known in of.items()
            if known is not None
            for model in known.models.values()
            if model.hold_s > 0
        }
