"""What the story's processes tell Prometheus, by the code that tells it on a cluster, as a Prometheus that has scraped it for hours."""

import asyncio
import math
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace
from typing import cast

from deepseek_gate.metrics import Metrics as GateMetrics
from deepseek_gate.waiting import Waiting
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.told import Told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import POD, Manifest
from deepseek_operator.kinds.registry import KINDS
from deepseek_runtime.engine.metrics import Metrics as EngineMetrics
from deepseek_runtime.launcher import server
from tests.pictures import story
from tests.support.exposed import CACHE, DEVICES, LABELS
from tests.support.prometheus import Store, running
from tests.support.waiting_requests import Source, staged
from tests.support.world import StoppedClock

RULES = Path(__file__).parents[2] / "charts/deepseek-operator/alerts.rules.yaml"
STEP_S = 60
_SPREAD = tuple(math.exp(0.5 * NormalDist().inv_cdf((number + 0.5) / 60)) for number in range(60))
"""Of the latencies that are told of a minute's requests, by how much each differs from the middle one; all are counted."""
_AHEAD_H = 0.3
"""What is told goes on a little behind now, so that no line ends before a picture is taken."""
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")


class Operator:
    """The process that leads."""

    def __init__(self, began: datetime) -> None:
        self._at, self._clock, self._mirror, self._metrics = (
            story.Moment(began),
            StoppedClock(began),
            Mirror(),
            Metrics(),
        )
        self._versions = count(1)
        self._pods: dict[str, Manifest] = {}
        self._metrics.expect(KINDS.owners)
        self._metrics.follow(lambda: 0, lambda: True, "deepseek-operator")
        self._metrics.follow_mirror(self._mirror, KINDS.watched)
        self._metrics.follow_certificate("external-metrics", (began + timedelta(days=61)).timestamp)
        for resource in KINDS.watched:
            self._metrics.follow_watch(resource.plural, lambda: 0.0)
        self._told = Told(self._mirror, KINDS, Configuration(), self._clock, lambda: True)

    def page(self, hour: float) -> str:
        """After another minute."""
        self._clock.advance(STEP_S)
        for resource, found in ((TRAINING, story.trainings), (SERVING, story.servings)):
            for manifest in found(hour, self._at):
                self._mirror.observe(resource, self._versioned(manifest))
        pods = {pod.name: self._versioned(self._pod(pod)) for pod in story.pods(hour)}
        for pod in pods.values():
            self._mirror.observe(POD, pod)
        for name in self._pods.keys() - pods.keys():
            self._mirror.forget(POD, self._pods[name])
        self._pods = pods
        self._work(hour)
        return (self._metrics.exposition() + asyncio.run(self._told.exposition())).decode()

    def _work(self, hour: float) -> None:
        for kind, passes in (("deepseektraining", 9), ("deepseekserving", 16)):
            for number in range(passes + round(3 * story.noise(hour, passes))):
                seconds = 0.014 + 0.011 * story.noise(hour, number) + 0.02 * (number % 5 == 0)
                self._metrics.passed(kind, "success" if number % 4 else "requeue_after", seconds)
        for verb, of, code, requests in (
            ("patch", "pods", "200", 6), ("get", "leases", "200", 30), ("patch", "deployments", "200", 8), ("post", "events", "201", 3)
        ):  # fmt: skip
            for number in range(requests + round(2 * story.noise(hour, requests))):
                self._metrics.requested(verb, of, code, 0.006 * _SPREAD[(number * 7 + round(hour * 60) * 11) % 60])
        for resource in KINDS.watched:
            busy = {"pods": 14, "deepseektrainings": 5, "deepseekservings": 8, "deployments": 6}.get(resource.plural, 0)
            for _ in range(busy + round(busy / 4 * story.noise(hour, busy))):
                self._metrics.told(resource.plural)
            for _ in range(2):
                self._metrics.ended(resource.plural, "end")
            self._metrics.repaired(resource.plural, 0, 0)

    def _versioned(self, manifest: Manifest) -> Manifest:
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(next(self._versions))}}

    def _pod(self, pod: story.Pod) -> Manifest:
        labels = {MANAGED_BY: MANAGER, OWNER_UID: f"{pod.namespace}-{pod.owner}"}
        container = {"name": "main", "resources": {"limits": {story.GPU: str(pod.gpus)}}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.name, "labels": labels},
            "spec": {"nodeName": "gpu-1", "containers": [container]},
            "status": {"phase": "Running", "startTime": self._at(pod.since_h), "containerStatuses": []},
        }


def rank_0(name: str, hour: float) -> str:
    """What the first process of a training tells of itself."""
    long = name == "r1-distill-7b"
    step = story.long_step(hour) if long else int((hour + 0.3) * 324)
    slow = {"factor": 1.24 + 0.03 * story.noise(hour, 1)} if long and 1.2 < hour < 1.7 else {}
    warm = min(1.0, step / 200)
    return server.exposition(
        {
            "step": step,
            "learningRate": (2e-5 if long else 1e-4) * warm * (1 - step / (story.STEPS if long else 1400)),
            "stepSeconds": (4.3 if long else 11.0) * (1 + 0.02 * story.noise(hour, 7)) * slow.get("factor", 1.0),
            "dataWaitSecondsTotal": 3600 * (hour + 0.5) * (0.012 if long else 0.02),
            "deviceMemoryBytes": 71.3e9 if long else 54.9e9,
            "hostMemoryBytes": 38.2e9 if long else 21.7e9,
            "straggler": slow,
            "experts": {} if not long else {"imbalance": {str(at): 1.2 + 0.5 / (1 + hour) + 0.03 * story.noise(hour, at) for at in (1, 2)}},
        }
    )  # fmt: skip


@dataclass
class Engine:
    """A replica's."""

    metrics: EngineMetrics = field(default_factory=lambda: EngineMetrics("model"))

    def page(self, pod: story.Pod, hour: float, requests: float) -> str:
        """After another minute with so many requests a second."""
        told, busy = self.metrics, max(0.0, pod.busy)
        told.observe(
            lambda: round(busy * 8), lambda: round(max(0.0, busy - 0.85) * 40), lambda: min(0.97, 0.1 + busy * 0.7)
        )
        minute = 1 + 0.06 * story.noise(hour, pod.gpus + len(pod.name))
        for slow in (one * minute for one in _SPREAD):
            told.first_token.observe(0.12 * (1 + busy) * slow)
            told.between_tokens.observe(0.018 * (1 + 0.4 * busy) * slow)
            told.request.observe(6.5 * (1 + 0.3 * busy) * slow)
            told.queue.observe(0.3 * busy**4 * slow)
        answers = round(requests * STEP_S)
        told.prompt_tokens.inc(answers * 410)
        told.generation_tokens.inc(answers * 360)
        for number in range(answers):
            told.answered("/v1/chat/completions", "POST", 500 if number % 397 == 5 and busy > 0.8 else 200)
        return told.exposition().decode()


class Gate:
    """The one before all servings: nobody waits, but for whoever woke the sleeper once."""

    def __init__(self) -> None:
        self._held = {("research", "judge"): 0}
        reader, _ = asyncio.run(staged(Source(ready=0, holdSeconds=60)))
        self._metrics = GateMetrics(reader, cast(Waiting, SimpleNamespace(held=self._held)))

    def page(self, hour: float) -> str:
        """After another minute."""
        for serving, per_minute in (("chat", story.load(hour) * 6), ("code", 14.0)):
            for number in range(round(per_minute)):
                result = "allowed" if number % 40 else "rate_limited" if serving == "chat" else "unauthorized"
                self._metrics.decided("apps", serving, result, 0.0018 + 0.0008 * story.noise(hour, number))
        return self._metrics.page().decode()


class Fleet:
    """All of them. `pages`: of an hour each page with the labels that a scrape gives it."""

    def __init__(self, began: datetime) -> None:
        self._operator, self._gate = Operator(began), Gate()
        self._engines: dict[str, Engine] = {}
        self._hits = 0.0
        self._misses = 0.0

    def pages(self, hour: float) -> Iterator[tuple[str, Mapping[str, str]]]:
        pods = list(story.pods(hour))
        yield self._operator.page(hour), LABELS["operator"]
        yield self._gate.page(hour), LABELS["gate"]
        for pod in pods:
            where = {"namespace": pod.namespace, "pod": pod.name}
            yield DEVICES.format(pod.name).replace("team", pod.namespace).replace(" 80", f" {pod.busy * 100:.0f}"), {}
            if pod.revision:
                engine = self._engines.setdefault(pod.name, Engine())
                share = story.load(hour) / story.wanted(hour) if pod.owner == "chat" else 6 * pod.busy
                labels = {**where, "deepseek_serving": pod.owner, "deepseek_revision": pod.revision}
                yield engine.page(pod, hour, share), labels
            elif pod.name.endswith("-0") and (pod.owner != "r1-distill-7b" or story.runs(hour)):
                yield rank_0(pod.owner, hour), {**where, "deepseek_training": pod.owner}
        self._hits += 12 + 4 * story.wave(hour, 3)
        self._misses += 30
        cached = CACHE.format(self._hits).replace(f'miss"}} {self._hits}', f'miss"}} {self._misses}')
        yield cached, {"namespace": "apps", "pod": "cache-1", "deepseek_cache": "code", "deepseek_revision": "c07b55"}


def _samples(page: str, labels: Mapping[str, str], at_s: float) -> Iterator[str]:
    """Lines of OpenMetrics. A page's own labels win, as where honorLabels is set."""
    for line in page.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[1].endswith("_created"):
            continue
        own = found[2] or ""
        more = ",".join(f'{name}="{value}"' for name, value in labels.items() if f'{name}="' not in own)
        yield f"{found[1]}{{{','.join(filter(None, (own, more)))}}} {found[3]} {at_s:.0f}\n"


@contextmanager
def scraped(folder: Path) -> Iterator[Store]:
    """A Prometheus that has seen the six hours until now, and has recorded what the chart's rules record."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    began = now - timedelta(hours=story.HOURS)
    fleet, told = Fleet(began), folder / "told.txt"
    with told.open("w") as file:
        for minute in range(-10, round((story.HOURS + _AHEAD_H) * 60)):
            for page, labels in fleet.pages(minute / 60):
                file.writelines(_samples(page, labels, began.timestamp() + minute * STEP_S))
        file.write("# EOF\n")
    data = folder / "data"
    _promtool("create-blocks-from", "openmetrics", str(told), str(data))
    for number in range(2):  # One of the rules reads what another has recorded.
        recorded = folder / f"recorded-{number}"
        with running(folder, {}) as store:
            span = (f"--start={began:%Y-%m-%dT%H:%M:%SZ}", f"--end={now:%Y-%m-%dT%H:%M:%SZ}")
            _promtool(
                "create-blocks-from", "rules", *span, f"--url={store.url}", f"--output-dir={recorded}", str(RULES)
            )
        for block in recorded.iterdir():
            block.rename(data / block.name)
    with running(folder, {}) as store:
        yield store


def _promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", "tsdb", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
