"""Everything that a Prometheus scrapes here, by the code that tells it, over HTTP: numbers that grow from scrape to scrape."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

from deepseek_gate.metrics import Metrics as GateMetrics
from deepseek_gate.waiting import Waiting
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.told import Told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import POD
from deepseek_operator.kinds.registry import KINDS
from deepseek_runtime.engine.metrics import Metrics as EngineMetrics
from deepseek_runtime.launcher import server
from tests.support.observed import a_told_serving, a_told_training
from tests.support.pages import METRICS, serving
from tests.support.waiting_requests import Source, staged
from tests.support.world import StoppedClock

GPU = "nvidia.com/gpu"
STALLED = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "lastTransitionTime": "2026-01-01T00:00:00Z"}
WAITS = {"type": "Ready", "status": "False", "reason": "Pending", "lastTransitionTime": "2026-01-01T00:00:00Z"}
CACHE = """\
# HELP deepseek_cache_requests_total Requests by what they met at the cache.
# TYPE deepseek_cache_requests_total counter
deepseek_cache_requests_total{{result="hit"}} {0}
deepseek_cache_requests_total{{result="miss"}} {0}
"""
"""As tests/cache reads it from a real nginx."""
DEVICES = 'DCGM_FI_DEV_GPU_UTIL{{gpu="0",namespace="team",pod="{0}"}} 80\n'
"""As NVIDIA's exporter is documented; none ran here."""


class Operator:
    """One process that leads, with an object of each kind that is well, one that is not, and a pod on a device of each."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.mirror = Mirror()
        self.metrics = Metrics()
        self.metrics.expect(KINDS.owners)
        self.metrics.follow(lambda: 3, lambda: True, "deepseek-operator")
        self.metrics.follow_mirror(self.mirror, KINDS.watched)
        self.metrics.follow_certificate("external-metrics", lambda: 4e9)
        for resource in KINDS.watched:
            self.metrics.follow_watch(resource.plural, lambda: 0.0)
        self.told = Told(self.mirror, KINDS, Configuration(), self.clock, lambda: True)
        for resource, told in ((TRAINING, a_told_training), (SERVING, a_told_serving)):
            for name, conditions in (("well", None), ("ill", [STALLED, WAITS])):
                stored = told(name)
                stored["metadata"] |= {"uid": f"{resource.plural}-{name}", "resourceVersion": "1"}
                if conditions:
                    stored["status"] = {**stored["status"], "conditions": conditions}
                self.mirror.observe(resource, stored)
            self.mirror.observe(POD, _pod(f"{resource.plural}-well"))

    def page(self) -> bytes:
        """After another ten seconds and a pass of each kind; none fails but of trainings."""
        self.clock.advance(10)
        for entry in KINDS:
            self.metrics.passed(entry.resource.kind.lower(), "success", 0.02)
        self.metrics.passed(TRAINING.kind.lower(), "error", 0.02)
        self.metrics.requested("patch", "pods", "200", 0.01)
        self.metrics.told("pods")
        self.metrics.ended("pods", "end")
        self.metrics.repaired("pods", 0, 0)
        return self.metrics.exposition() + asyncio.run(self.told.exposition())


def _pod(owner_uid: str) -> dict[str, Any]:
    name = f"pod-of-{owner_uid}"
    labels = {MANAGED_BY: MANAGER, OWNER_UID: owner_uid}
    metadata = {"name": name, "namespace": "team", "uid": name, "resourceVersion": "1", "labels": labels}
    container = {"name": "main", "resources": {"limits": {GPU: "8"}}}
    status = {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{"name": "main", "restartCount": 1}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "gpu-1", "containers": [container]},
        "status": status,
    }


class Rank0:
    """A training's pod that tells everything that one can."""

    def __init__(self) -> None:
        self.scrapes = 0

    def page(self) -> bytes:
        self.scrapes += 1
        progress: dict[str, Any] = {
            "metrics": {"bleu": 31.25},
            "experts": {"imbalance": {"0": 1.25}, "shares": {"0": [0.5]}},
        }
        for metric in server.METRICS:
            *way, last = metric.field.split(".")
            at = progress
            for part in way:
                at = at.setdefault(part, {})
            at[last] = self.scrapes
        return server.exposition(progress).encode()


class Engine:
    """The built-in engine, which has vLLM's names."""

    def __init__(self) -> None:
        self.metrics = EngineMetrics("uppercase")
        self.metrics.observe(lambda: 3, lambda: 1, lambda: 0.5)

    def page(self) -> bytes:
        """After another answer of each kind."""
        told = self.metrics
        for histogram in (told.first_token, told.between_tokens, told.request, told.queue):
            histogram.observe(0.03)
        told.prompt_tokens.inc(10)
        told.generation_tokens.inc(20)
        told.finished("stop")
        told.answered("/v1/completions", "POST", 200)
        told.answered("/v1/completions", "POST", 500)
        return told.exposition()


class Gate:
    """A gate with a request that waits, and a serving that nobody waits for."""

    def __init__(self) -> None:
        reader, _ = asyncio.run(staged(Source(ready=0, holdSeconds=60)))
        self.metrics = GateMetrics(reader, cast(Waiting, SimpleNamespace(held={("team", "well"): 1})))

    def page(self) -> bytes:
        """After another decision."""
        self.metrics.decided("team", "well", "allowed", 0.002)
        return self.metrics.page()


class Counted:
    """A text with a number that grows."""

    def __init__(self, text: str) -> None:
        self.text, self.scrapes = text, 0

    def page(self) -> bytes:
        self.scrapes += 1
        return self.text.format(self.scrapes).encode()


LABELS: Mapping[str, Mapping[str, str]] = {
    "operator": {"namespace": "deepseek-system", "pod": "operator-1"},
    "training": {"namespace": "team", "pod": "well-0", "deepseek_training": "well"},
    "serving": {"namespace": "team", "pod": "well-1", "deepseek_serving": "well", "deepseek_revision": "new"},
    "gate": {"namespace": "deepseek-system", "pod": "gate-1"},
    "cache": {"namespace": "team", "pod": "cache-1", "deepseek_cache": "well", "deepseek_revision": "new"},
    "devices": {},
}
"""By page what the chart's monitors make of the pod's own labels."""


@contextmanager
def exposed() -> Iterator[int]:
    """The port at which each page is under its name."""
    pages: dict[str, Callable[[], bytes]] = {
        "operator": Operator().page,
        "training": Rank0().page,
        "serving": Engine().page,
        "gate": Gate().page,
        "cache": Counted(CACHE).page,
        "devices": lambda: "".join(
            DEVICES.format(f"pod-of-{resource.plural}-well") for resource in KINDS.owners
        ).encode(),
    }
    with serving(lambda path: pages[path](), METRICS) as port:
        yield port


def jobs(port: int) -> list[dict[str, Any]]:
    """What a Prometheus is told to scrape, with the labels of objects kept as the chart's monitors keep them."""
    return [
        {
            "job_name": page,
            "metrics_path": f"/{page}",
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": dict(labels)}],
        }
        for page, labels in LABELS.items()
    ]
