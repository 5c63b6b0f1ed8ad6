"""How fast a wave of new resources gets its children, beside a bare client that posts the same children.

The ratio of the two times is what carries from machine to machine: how often a client could have written the children
that does nothing else. It reads nothing, records nothing, tells of nothing, and the operator rests meanwhile: its copies
lack the label by which operators watch. What is measured ends when a watch has shown the last of the wanted children; no
controller and no kubelet takes part.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from deepseek_operator.core.names import MANAGED_BY
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS

IN_FLIGHT = 16
"""Requests at a time of whoever posts."""
PATIENCE_S = 300.0
_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences")


@dataclass(frozen=True)
class Wave:
    """Resources of one kind, and the child whose arrival completes each of them."""

    kind: str
    spec: Manifest
    last_child: str
    children: tuple[str, ...]


@dataclass(frozen=True)
class Creation:
    """What a wave took.

    Attributes:
        count: resources.
        children: objects made for them.
        operator_s: from the first post until the last wanted child was seen.
        bare_s: the same children posted by a bare client.
    """

    count: int
    children: int
    operator_s: float
    bare_s: float

    @property
    def ratio(self) -> float:
        """How often the bare client would have finished meanwhile."""
        return self.operator_s / self.bare_s


TRAININGS = Wave(
    "DeepSeekTraining",
    {
        "model": {"custom": {"model_type": "deepseek_v3"}},
        "datasets": [{"source": {"uri": "builtin://uppercase"}}],
        "hyperparameters": {"maxSteps": 100},
    },
    "Job",
    ("PersistentVolumeClaim", "Service", "Job"),
)
SERVINGS = Wave(
    "DeepSeekServing",
    {"model": {"source": {"uri": "pvc://models/v1"}}, "autoscaling": {"maxReplicas": 4, "signals": [{"target": 4}]}},
    "HorizontalPodAutoscaler",
    ("ControllerRevision", "Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"),
)


async def created(cluster: Cluster, wave: Wave, namespace: str, count: int, made: Callable[[], None]) -> Creation:
    """Posts the wave into an empty namespace, and then its children once more into another, `<namespace>-bare`.

    `made` is called after each of the two, the first time once the operator rests.

    Raises:
        TimeoutError: children are missing after five minutes.
    """
    async with _session(cluster) as session:
        seen = asyncio.create_task(_seen(session, _path(wave.last_child, namespace), count))
        begun = time.perf_counter()
        await _post(session, ((_path(wave.kind, namespace), _resource(wave, number)) for number in range(count)))
        await asyncio.wait_for(seen, PATIENCE_S)
        operator_s = time.perf_counter() - begun
        made()
        copies = [copy for kind in wave.children for copy in await _copies(session, kind, namespace)]
        begun = time.perf_counter()
        await _post(session, copies)
        bare_s = time.perf_counter() - begun
        made()
        return Creation(count, len(copies), operator_s, bare_s)


async def alone(cluster: Cluster, wave: Wave, namespace: str, times: int) -> list[float]:
    """Seconds from the post of a single resource until its last child is seen, one after the other."""
    latencies = []
    async with _session(cluster) as session:
        path = _path(wave.last_child, namespace)
        for number in range(times):
            have = len((await _read(session, path))["items"])
            seen = asyncio.create_task(_seen(session, path, have + 1))
            begun = time.perf_counter()
            await _post(session, [(_path(wave.kind, namespace), _resource(wave, number, "alone"))])
            await asyncio.wait_for(seen, PATIENCE_S)
            latencies.append(time.perf_counter() - begun)
    return latencies


def _resource(wave: Wave, number: int, prefix: str = "b") -> Manifest:
    version = "deepseek-operator.io/v1alpha1"
    return {"apiVersion": version, "kind": wave.kind, "metadata": {"name": f"{prefix}-{number}"}, "spec": wave.spec}


def _path(kind: str, namespace: str) -> str:
    return COLLECTIONS[kind].format(namespace)


def _session(cluster: Cluster) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=str(cluster.ca))
    context.load_cert_chain(cluster.admin_certificate, cluster.admin_key)
    connector = aiohttp.TCPConnector(ssl=context, limit=IN_FLIGHT + 1)
    return aiohttp.ClientSession(cluster.url, connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S))


async def _seen(session: aiohttp.ClientSession, path: str, count: int) -> None:
    names: set[str] = set()
    async with session.get(path, params={"watch": "true"}) as events:
        buffer = b""
        async for chunk in events.content.iter_any():
            *lines, buffer = (buffer + chunk).split(b"\n")
            names |= {_name(line) for line in lines}
            if len(names) >= count:
                return


def _name(line: bytes) -> str:
    """Every watched object names its own metadata first; parsing whole objects would slow the measured machine."""
    return line.split(b'"metadata":{"name":"', 1)[1].split(b'"', 1)[0].decode()


async def _post(session: aiohttp.ClientSession, objects: Iterable[tuple[str, Manifest]]) -> None:
    waiting = iter(objects)

    async def worker() -> None:
        for path, manifest in waiting:
            async with session.post(path, json=manifest) as answer:
                if answer.status >= 300:
                    raise RuntimeError(f"{path}: {await answer.text()}")
                await answer.read()

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


async def _copies(session: aiohttp.ClientSession, kind: str, namespace: str) -> list[tuple[str, Manifest]]:
    path, found = _path(kind, f"{namespace}-bare"), await _read(session, _path(kind, namespace))
    identity = {"apiVersion": found["apiVersion"], "kind": kind}
    return [(path, _copy({**item, **identity})) for item in found["items"]]


def _copy(item: dict[str, Any]) -> Manifest:
    metadata = {key: value for key, value in item["metadata"].items() if key not in (*_SERVERS_OWN, "namespace")}
    metadata["labels"] = {key: value for key, value in metadata.get("labels", {}).items() if key != MANAGED_BY}
    body = {key: value for key, value in item.items() if key not in ("metadata", "status")}
    if item["kind"] == "Job":
        # The server puts the Job's uid into both, and refuses another one's.
        del body["spec"]["selector"], body["spec"]["template"]["metadata"]["labels"]
    elif item["kind"] == "Service" and body["spec"]["clusterIP"] != "None":
        del body["spec"]["clusterIP"], body["spec"]["clusterIPs"]
    return {**body, "metadata": metadata}


async def _read(session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    async with session.get(path) as answer:
        answer.raise_for_status()
        return dict(await answer.json())
