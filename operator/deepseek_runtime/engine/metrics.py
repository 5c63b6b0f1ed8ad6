"""What the engine tells Prometheus, under vLLM's names so that one query serves both engines.

Names and labels as read from vLLM 0.32's own /metrics.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# Bounds in seconds: from a token of a tiny model to a long answer on a busy CPU.
FIRST_TOKEN_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80)
TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
REQUEST_S = (0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 120, 240)

ANSWERING = ("/v1/completions", "/v1/chat/completions")
"""Paths at which models answer."""
_ANSWER = ("handler", "method", "status")
"""As vLLM's HTTP server labels its answers: of the status the class alone."""


class Metrics:
    """Gauges read the scheduler when they are scraped; counters and histograms are told by it."""

    def __init__(self, model_name: str) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "engine": "0"}
        self._names = tuple(self._labels)
        self.running = self._gauge("vllm:num_requests_running", "Requests that generate now.")
        self.waiting = self._gauge("vllm:num_requests_waiting", "Requests that wait for a place.")
        self.kv_usage = self._gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.")
        self.first_token = self._histogram("vllm:time_to_first_token_seconds", "Arrival to first token.", FIRST_TOKEN_S)
        self.between_tokens = self._histogram("vllm:inter_token_latency_seconds", "Token to token.", TOKEN_S)
        self.request = self._histogram("vllm:e2e_request_latency_seconds", "Arrival to last token.", REQUEST_S)
        self.queue = self._histogram("vllm:request_queue_time_seconds", "Arrival to start of generation.", REQUEST_S)
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens read.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self._finished = Counter(
            "vllm:request_success", "Requests answered.", (*self._names, "finished_reason"), registry=self.registry
        )
        for reason in ("stop", "length", "abort"):
            self._finished.labels(**self._labels, finished_reason=reason)
        self._answered = Counter(
            "http_requests", "Answers by path, method and class of status.", _ANSWER, registry=self.registry
        )
        # Born at zero: what a series begins with is no increase, and the first errors would not count.
        for path in ANSWERING:
            for status in ("2xx", "4xx", "5xx"):
                self._answered.labels(path, "POST", status)

    def finished(self, reason: str) -> None:
        self._finished.labels(**self._labels, finished_reason=reason).inc()

    def answered(self, handler: str, method: str, status: int) -> None:
        """One HTTP answer: `handler` is the route's own path, `none` where there is no such route."""
        self._answered.labels(handler, method, f"{status // 100}xx").inc()

    def exposition(self) -> bytes:
        return generate_latest(self.registry)

    def observe(self, running: Callable[[], float], waiting: Callable[[], float], kv: Callable[[], float]) -> None:
        """From now on the gauges ask these."""
        self.running.set_function(running)
        self.waiting.set_function(waiting)
        self.kv_usage.set_function(kv)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, self._names, registry=self.registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, self._names, registry=self.registry).labels(**self._labels)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, self._names, buckets=bounds, registry=self.registry).labels(**self._labels)
