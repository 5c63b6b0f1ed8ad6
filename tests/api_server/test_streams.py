"""Whatever the API server's watches and answers look like, the process lives, and soon knows all that there is.

The operator behind a fault proxy, its audit switched off so that only the watches can tell. Each fault strikes every
watched kind at once; while it lasts objects of each kind come and go; afterwards the mirror must agree within the limit,
without an exit, and with at most one list for each kind. Another replica's name is in the Lease, so that only the user
writes and the counts are exact.

STREAM_FAULT_REPEATS=20 strikes with each fault that often and prints the longest reaction.
"""

import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deepseek_operator.controller.stream import FRUITLESS_LISTS, STEADY_S
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fault_proxy import Answer, Asked, End, FaultProxy, NoAnswer, Told, failing, line, status
from tests.support.kubectl import until
from tests.support.namespaces import wait_for_account
from tests.support.operator_process import OperatorProcess
from tests.support.ports import free_port

pytestmark = pytest.mark.timeout(900)
REPEATS = int(os.environ.get("STREAM_FAULT_REPEATS", "1"))
LIMIT_S = 20.0
"""Far below the audit's interval here; what is measured is printed, a busy machine must not fail the test."""
LASTS_S = 1.0
NEVER = "100000"
WATCHED = [resource.kind for resource in KINDS.watched if not resource.is_optional]
LABELS = {"app.kubernetes.io/managed-by": "deepseek-operator"}
POD = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "a", "image": "a"}]}
TEMPLATE = {"metadata": {"labels": {"a": "a"}}, "spec": {**POD, "terminationGracePeriodSeconds": 0}}
SELECTOR = {"matchLabels": {"a": "a"}}
OURS = {"apiVersion": "deepseek-operator.io/v1alpha1"}
BODIES: dict[str, Manifest] = {
    "DeepSeekTraining": {
        **OURS,
        "kind": "DeepSeekTraining",
        "spec": {
            "suspend": True,
            "model": {"custom": {"model_type": "deepseek_v3"}},
            "datasets": [{"source": {"uri": "builtin://uppercase"}}],
            "hyperparameters": {"maxSteps": 100},
        },
    },
    "DeepSeekServing": {
        **OURS,
        "kind": "DeepSeekServing",
        "spec": {"suspend": True, "model": {"source": {"uri": "pvc://models/v1"}}},
    },
    "Job": {"spec": {"suspend": True, "template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "Pod": {"spec": {**POD, "schedulingGates": [{"name": "example.org/never"}]}},
    "Service": {"spec": {"ports": [{"port": 80}]}},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "Deployment": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    "ControllerRevision": {"revision": 1, "data": {}},
    "HorizontalPodAutoscaler": {
        "spec": {"maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}}
    },
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": SELECTOR}},
    "NetworkPolicy": {"spec": {"podSelector": SELECTOR}},
    "ConfigMap": {"data": {"a": "a"}},
    "Lease": {"spec": {"holderIdentity": "nobody"}},
}
PATHS = {**COLLECTIONS, "ConfigMap": "/api/v1/namespaces/{}/configmaps"}


def plural(kind: str) -> str:
    return PATHS[kind].rpartition("/")[2]


PLURALS = frozenset(map(plural, WATCHED))


@dataclass
class Fault:
    """`tells` goes into every open watch; then for a second `answers` is asked what to say instead of the API server."""

    tells: tuple[Told, ...] = ()
    answers: Callable[[Asked], Answer | NoAnswer | None] | None = None
    refuses: bool = False
    lists: int = 1

    def strike(self, proxy: FaultProxy) -> None:
        if self.answers is not None:
            proxy.answer = self.answers
        for name in PLURALS:
            proxy.tell(name, *self.tells)
        if self.refuses:
            proxy.refuse()

    def lift(self, proxy: FaultProxy) -> None:
        if self.refuses:
            proxy.listen()
        proxy.answer = lambda _: None


def errors(code: int | None, **more: Any) -> Fault:
    """An ERROR in the stream."""
    return Fault((line("ERROR", {**status(code), **more}),))


def garbled(words: bytes) -> Fault:
    """A line in the stream, which stays open behind it."""
    return Fault((words + b"\n",))


def refusing(answer: Answer | NoAnswer, lists: int = 1) -> Fault:
    """The watches end, and for a second no other begins."""
    return Fault((End(),), lambda asked: answer if asked.watches and asked.last in PLURALS else None, lists=lists)


def unlisted(answer: Answer | NoAnswer) -> Fault:
    """The place of the watches is forgotten, and for a second there is no list either, however often it is tried."""
    expired = line("ERROR", status(410))
    return Fault((expired,), lambda asked: answer if asked.lists_whole and asked.last in PLURALS else None, lists=20)


HTML = Answer(200, b"<html><body>welcome</body></html>", content_type="text/html")
NO_LIST = json.dumps(status(None)).encode()
HALF_A_LIST = b'{"kind": "List", "metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"na'
REDIRECT = Answer(302, b"", {"Location": "/api"})
OBJECT = {"metadata": {"name": "x", "namespace": "y", "uid": "z", "resourceVersion": "1"}}

FAULTS: dict[str, Fault] = {
    **{f"error {code}": errors(code) for code in (400, 401, 403, 404, 409, 429, 500, 503, 504, 600, None)},
    "error 410": errors(410),
    "error expired without a code": errors(None, reason="Expired"),
    "error 429 that asks for a second": errors(429, details={"retryAfterSeconds": 1}),
    "error without an object": garbled(line("ERROR", None)[:-1]),
    "unknown event": garbled(line("SYNCED", OBJECT)[:-1]),
    "no JSON": garbled(b"\x00\xff garbage"),
    "HTML line": garbled(HTML.body),
    "list line": garbled(b"[]"),
    "number line": garbled(b"7"),
    "null line": garbled(b"null"),
    "null object": garbled(line("ADDED", None)[:-1]),
    "object without metadata": garbled(line("MODIFIED", {"kind": "Pod"})[:-1]),
    "object of another kind": garbled(line("ADDED", {"kind": "Secret", **OBJECT})[:-1]),
    "deep line": garbled(b'{"a":' * 50_000),
    "huge line": garbled(b"x" * 2**21),
    "clean end": Fault((End(),)),
    "reset": Fault((End(is_reset=True),)),
    "end within a line": Fault((End(b'{"type": "ADDED", "obj'),)),
    "reset within a line": Fault((End(b'{"type": "ADDED", "obj', is_reset=True),)),
    **{f"watch answered with {code}": refusing(failing(code)) for code in (401, 403, 404, 429, 500, 504)},
    "watch answered with 410": refusing(failing(410), lists=4),
    "watch answered with 429 and a second": refusing(failing(429, Retry_After="1")),
    "watch answered with HTML": refusing(HTML),
    "watch redirected": refusing(REDIRECT),
    "watch reset": refusing(NoAnswer.RESET),
    "watch ends at once": refusing(Answer(200, b"")),
    **{f"list answered with {code}": unlisted(failing(code)) for code in (403, 404, 410, 429, 500, 504)},
    "list answered with HTML": unlisted(HTML),
    "list answered with another object": unlisted(Answer(200, NO_LIST)),
    "half a list": unlisted(Answer(200, HALF_A_LIST)),
    "list redirected": unlisted(REDIRECT),
    "list reset": unlisted(NoAnswer.RESET),
    "nobody there": Fault(refuses=True),
}


@dataclass
class Scene:
    """A standby replica, and a user who makes and removes objects of each kind."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess
    metrics_port: int
    made: int = 0
    present: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in WATCHED})

    def known(self) -> dict[str, int]:
        """Objects in the mirror by plural."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            lines = [text for text in answer.read().decode().splitlines() if "mirror_objects{" in text]
        return {text.split('"')[1]: int(float(text.rsplit(" ", 1)[1])) for text in lines}

    def agrees(self) -> bool:
        wanted = {plural(kind): len(names) for kind, names in self.present.items()}
        known = self.known()
        return all(known[name] == count for name, count in wanted.items())

    def turn(self) -> None:
        """Of every kind some come and some go, so that the number tells whether both were seen."""
        born, gone = (1, 2) if len(self.present["Job"]) > 2 else (2, 1)
        for kind in WATCHED:
            names = self.present[kind]
            for _ in range(born):
                self.made += 1
                name = f"x-{self.made}"
                metadata = {"name": name, "labels": LABELS}
                self.cluster.api.create(PATHS[kind].format(self.namespace), {"metadata": metadata, **BODIES[kind]})
                names.append(name)
            for _ in range(min(gone, len(names) - born)):
                path = f"{PATHS[kind].format(self.namespace)}/{names.pop(0)}"
                self.cluster.api.delete(path, policy="Background")

    def lists(self) -> Counter[str]:
        return Counter(asked.last for asked in self.operator.proxy.asked if asked.lists_whole and asked.last in PLURALS)


@pytest.fixture(scope="module")
def scene(controllers: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    port = free_port()
    api, namespace, system = controllers.api, f"t-streams-{port}", f"t-streams-{port}-system"
    for name in (namespace, system):
        api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    wait_for_account(api, namespace)
    held = {"holderIdentity": "another", "leaseDurationSeconds": int(NEVER)}
    api.create(f"/apis/coordination.k8s.io/v1/namespaces/{system}/leases", {"metadata": {"name": system}, "spec": held})
    environment = {"METRICS_PORT": str(port), "AUDIT_INTERVAL_SECONDS": NEVER}
    with OperatorProcess(controllers, tmp_path_factory.mktemp("streams"), system, namespace, environment) as operator:
        scene = Scene(controllers, namespace, operator, port)
        scene.turn()
        until("the mirror is complete", lambda: _answers(scene) and scene.agrees(), timeout_s=90, every_s=0.2)
        until("all watches stand", lambda: all(map(operator.proxy.open_watches, PLURALS)), timeout_s=30)
        yield scene


def _answers(scene: Scene) -> bool:
    try:
        return bool(scene.known())
    except OSError:
        return False


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_stream_or_an_answer_ends_nothing_and_hides_nothing(scene: Scene, name: str) -> None:
    fault, reactions = FAULTS[name], []
    if REPEATS > FRUITLESS_LISTS / 2:
        # A stream that lists ever again in vain is made to wait: each fault is given its own number of lists.
        time.sleep(STEADY_S + 0.5)
    for _ in range(REPEATS):
        before = scene.lists()
        fault.strike(scene.operator.proxy)
        try:
            if not fault.refuses:
                scene.turn()
            time.sleep(LASTS_S if fault.answers or fault.refuses else 0)
            if fault.refuses:
                scene.turn()
        finally:
            fault.lift(scene.operator.proxy)
        started = time.monotonic()
        until(f"the mirror agrees after {name}", scene.agrees, timeout_s=LIMIT_S, every_s=0.05)
        reactions.append(time.monotonic() - started)
        made = scene.lists() - before
        assert all(count <= fault.lists for count in made.values()), made
        until("the watches stand", lambda: all(map(scene.operator.proxy.open_watches, PLURALS)), timeout_s=LIMIT_S)
    print(f"{name}: {len(reactions)} times, longest reaction {max(reactions):.2f} s")
    assert scene.operator.exits == []


def test_silence_is_noticed_and_what_it_hid_is_told(scene: Scene) -> None:
    proxy = scene.operator.proxy
    proxy.deaf_to |= PLURALS
    before = scene.lists()
    scene.turn()
    time.sleep(LASTS_S)
    proxy.deaf_to -= PLURALS
    scene.turn()
    until("the mirror agrees", scene.agrees, timeout_s=90)
    assert (scene.lists() - before, scene.operator.exits) == (Counter(), [])
