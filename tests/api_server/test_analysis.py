"""An analysis by a real Prometheus that scrapes two revisions as the chart has it: what engines tell becomes a verdict."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import dumps, load
from typing import Any
from urllib.request import urlopen

import pytest

from deepseek_operator.adapters.prometheus import Prometheus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.analysis import Analysis
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.seen import Answer
from deepseek_operator.domain.policy.analysis import Outcome, Verdict
from deepseek_operator.kinds.serving.analysis import Subject
from deepseek_operator.kinds.serving.measured import Measures
from deepseek_runtime.engine.metrics import Metrics
from examples.local_cluster import debian
from tests.support.ports import free_port
from tests.support.prometheus import FOREVER_S, eventually, is_ready
from tests.support.servings import a_serving

OLD, NEW, SILENT = "1111111111", "2222222222", "3333333333"


class Engine:
    """The metrics of one replica of the built-in engine, at a port of their own."""

    def __init__(self) -> None:
        self.metrics = metrics = Metrics("demo")

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = metrics.exposition()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, good: int, bad: int, seconds: float) -> None:
        """Counts answers of that status, each after so many seconds, and its first token after a tenth of them."""
        for status in (*[200] * good, *[500] * bad):
            self.metrics.answered("/v1/completions", "POST", status)
            self.metrics.request.observe(seconds)
            self.metrics.first_token.observe(seconds / 10)

    def close(self) -> None:
        self._server.shutdown()


@dataclass
class Store:
    """A running Prometheus."""

    process: subprocess.Popen[bytes]
    client: Prometheus

    async def verdict(self, subject: Subject) -> Verdict:
        now = datetime.now(UTC)
        answers: dict[str, Answer] = {
            question.query: await self.client.read_all(question.query, now) for question in subject.questions(now)
        }
        told = subject.verdict(answers, now)
        assert told is not None
        return told


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    found = {OLD: Engine(), NEW: Engine(), SILENT: Engine()}
    yield found
    for engine in found.values():
        engine.close()


@pytest.fixture(scope="module")
def store(engines: dict[str, Engine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Scrapes each engine every second, with the labels that the chart's scrape gives."""
    debian.ensure({"prometheus": debian.NODE["prometheus"]})
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    labels = {"namespace": "team", "deepseek_serving": "chat"}
    groups = [
        {"targets": [engine.address], "labels": {**labels, "pod": name, "deepseek_revision": name}}
        for name, engine in engines.items()
    ]
    scrape = {"job_name": "pods", "static_configs": groups}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [scrape]}
    (home / "prometheus.yml").write_text(dumps(config))
    url = f"http://127.0.0.1:{port}"
    argv = ["/usr/bin/prometheus", f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data",
            f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    with (home / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            eventually(lambda: is_ready(url))
            eventually(lambda: scraped(url) >= 3)
            engines[OLD].answer(good=100, bad=1, seconds=0.2)
            engines[NEW].answer(good=95, bad=5, seconds=3.0)
            before = scraped(url)
            eventually(lambda: scraped(url) >= before + 3)
            client = Prometheus(url)
            yield Store(process, client)
            client.close()
        finally:
            process.kill()


def scraped(url: str) -> int:
    """Scrapes of each engine until now, at least."""
    with urlopen(
        f"{url}/api/v1/query?query=min(count_over_time(up[1h]))%20and%20(count(up)==3)", timeout=5
    ) as response:
        result = load(response)["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def subject(*metrics: dict[str, Any], revision: str = NEW, **analysis: Any) -> Subject:
    said: dict[str, Any] = {"windowSeconds": 60, "minimumSamples": 50, "metrics": list(metrics), **analysis}
    owner = DeepSeekServing.model_validate(a_serving())
    may = Configuration(queries_of=frozenset({"team"}))
    new, old = (Measures(owner, name, "builtin", None, said["windowSeconds"]) for name in (revision, OLD))
    return Subject(may, new, old, Analysis.model_validate(said))


FAILING: list[dict[str, Any]] = [
    {"type": "ErrorRate", "max": "0.02"},
    {"type": "ErrorRate", "maxIncreasePercent": 100},
    {"type": "Latency", "max": "1"},
    {"type": "Latency", "quantile": "0.5", "maxIncreasePercent": 50},
    {"type": "TimeToFirstToken", "max": "0.1"},
    {
        "type": "PromQL",
        "name": "Answers",
        "query": 'sum by (status) (increase(http_requests_total{deepseek_revision="$revision",status!="4xx"}[$window]))',
        "min": "50",
    },
]


@pytest.mark.parametrize("metric", FAILING, ids=lambda metric: f"{metric['type']}-{list(metric)[1]}")
async def test_a_version_with_errors_or_that_is_slow_fails_and_the_one_before_does_not(
    store: Store, metric: dict[str, Any]
) -> None:
    told = await store.verdict(subject(metric))
    assert told.outcome is Outcome.FAIL, told
    if "max" in metric:
        assert (await store.verdict(subject(metric, revision=OLD))).outcome is Outcome.PASS


async def test_the_numbers_are_those_that_were_counted(store: Store) -> None:
    (errors,) = (await store.verdict(subject(FAILING[0]))).judgements
    assert errors.value == pytest.approx(0.05, abs=0.002)
    assert errors.samples is not None
    assert 95 <= errors.samples <= 200, "a store extrapolates over the window"


async def test_of_a_version_without_requests_nothing_is_concluded(store: Store) -> None:
    for metric in FAILING[:5]:
        for least in (50, 0):
            told = await store.verdict(subject(metric, revision=SILENT, minimumSamples=least))
            assert told.outcome is Outcome.INCONCLUSIVE, (metric, least, told)


async def test_of_a_version_that_is_not_scraped_nothing_is_concluded_and_why_is_said(store: Store) -> None:
    told = await store.verdict(subject(FAILING[0], revision="4444444444"))
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "label deepseek_revision" in told.told


async def test_what_prometheus_does_not_understand_is_told_in_its_words(store: Store) -> None:
    told = await store.verdict(subject({"type": "PromQL", "name": "Typo", "query": "sum(((", "max": 1}))
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "parse error" in told.told


async def test_a_prometheus_that_is_killed_fails_nothing(store: Store) -> None:
    """The last test of this file: nobody brings it back."""
    store.process.kill()
    store.process.wait(FOREVER_S)
    told = await store.verdict(subject(*FAILING[:2]))
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "Connection refused" in told.told
