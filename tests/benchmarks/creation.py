"""How fast a wave of new resources gets its children, beside a bare client that posts the same children.

The ratio of the two times is what carries from machine to machine: how often a client could have written the children
that does nothing else. It reads nothing, records nothing, tells of nothing, and the operator rests meanwhile: its copies
lack the label by which operators watch. What is measured ends when a watch has shown the last of the wanted children; no
controller and no kubelet takes part.

What no operator of these resources can do without is measured too, as `least`: a client that decides nothing and reads
nothing posts the resources, their children and their events and writes each status twice, once the operator has ended.
"""

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp

from deepseek_operator.core.names import MANAGED_BY, OWNER_UID
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS

IN_FLIGHT = 16
"""Requests at a time of whoever posts."""
PATIENCE_S = 300.0
_EVENTS = "/api/v1/namespaces/{}/events"
_SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences")


@dataclass(frozen=True)
class Wave:
    """Resources of one kind, and the child whose arrival completes each of them."""

    kind: str
    spec: Manifest
    last_child: str
    children: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """One resource with its last status, copies of its children, each with its path, and of its events."""

    owner: Manifest
    children: tuple[tuple[str, Manifest], ...]
    events: tuple[Manifest, ...]


@dataclass(frozen=True)
class Creation:
    """What a wave took.

    Attributes:
        count: resources.
        children: objects made for them.
        operator_s: from the first post until the last wanted child was seen.
        bare_s: the same children posted by a bare client.
        written: of each resource what was written for it.
    """

    count: int
    children: int
    operator_s: float
    bare_s: float
    written: "tuple[Written, ...]"

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
        written = await _written(session, wave, namespace)
        copies = [(path.format(f"{namespace}-bare"), copy) for one in written for path, copy in one.children]
        begun = time.perf_counter()
        await _post(session, copies)
        bare_s = time.perf_counter() - begun
        made()
        return Creation(count, len(copies), operator_s, bare_s, written)


async def least(cluster: Cluster, wave: Wave, namespace: str, written: Iterable[Written]) -> float:
    """Seconds until the last child of these resources was made by a client that writes for each what has to be written, in an
    empty namespace and while no operator runs."""
    waiting = iter(written)
    path = _path(wave.kind, namespace)
    begun = ended = time.perf_counter()

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal ended
        for one in waiting:
            stored = await _begin_least(session, path, namespace, one)
            ended = time.perf_counter()
            await _end_least(session, path, namespace, one, stored)

    async with _session(cluster) as session:
        await asyncio.gather(*(worker(session) for _ in range(IN_FLIGHT)))
    return ended - begun


async def _begin_least(session: aiohttp.ClientSession, path: str, namespace: str, one: Written) -> Manifest:
    """The resource, what is recorded of it before anything relies on that, and its children; returns it as it is then."""
    owner, status = _copy(one.owner), one.owner["status"]
    stored = await _sent(session.post(path, json=owner))
    at = f"{path}/{owner['metadata']['name']}/status"
    stored = await _sent(session.put(at, json={**stored, "status": {**status, "observedGeneration": -1}}))
    for child_path, child in one.children:
        await _sent(session.post(child_path.format(namespace), json=child))
    return stored


async def _end_least(session: aiohttp.ClientSession, path: str, namespace: str, one: Written, stored: Manifest) -> None:
    """What became of the children, and its events."""
    await _sent(
        session.put(f"{path}/{stored['metadata']['name']}/status", json={**stored, "status": one.owner["status"]})
    )
    for event in one.events:
        regarding = {**event["involvedObject"], "namespace": namespace}
        await _sent(session.post(_EVENTS.format(namespace), json={**event, "involvedObject": regarding}))


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


async def _sent(request: Awaitable[aiohttp.ClientResponse]) -> Manifest:
    async with await request as answer:
        if answer.status >= 300:
            raise RuntimeError(f"{answer.url}: {await answer.text()}")
        return dict(await answer.json())


async def _written(session: aiohttp.ClientSession, wave: Wave, namespace: str) -> tuple[Written, ...]:
    """What there is for each resource of a wave that has come to rest."""
    children: dict[str, list[tuple[str, Manifest]]] = defaultdict(list)
    events: dict[str, list[Manifest]] = defaultdict(list)
    for kind in wave.children:
        for item in await _all(session, kind, namespace):
            children[item["metadata"]["labels"][OWNER_UID]].append((COLLECTIONS[kind], _copy(item)))
    for event in (await _read(session, _EVENTS.format(namespace)))["items"]:
        events[event["involvedObject"].get("uid", "")].append(_copy({**event, "kind": "Event", "apiVersion": "v1"}))
    return tuple(
        Written(owner, tuple(children[uid]), tuple(events[uid]))
        for owner in await _all(session, wave.kind, namespace)
        if (uid := owner["metadata"]["uid"])
    )


async def _all(session: aiohttp.ClientSession, kind: str, namespace: str) -> list[Manifest]:
    found = await _read(session, _path(kind, namespace))
    return [{**item, "apiVersion": found["apiVersion"], "kind": kind} for item in found["items"]]


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
