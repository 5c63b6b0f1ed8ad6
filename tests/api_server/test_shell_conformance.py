"""The memory cluster and a real API server give the same answers to the same operations.

Generated sequences of what the operator and a user do to a few objects; after each operation both sides must agree on
the kind of answer, on whether anything changed, and on every field that the operator could have an opinion on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import Credentials, load
from deepseek_operator.adapters.kube import KubeCluster
from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.core.names import MANAGED_BY, MANAGER, OWNER_UID
from deepseek_operator.core.resources import (
    CLAIM,
    DEPLOYMENT,
    JOB,
    REVISION,
    SERVICE,
    Manifest,
    Resource,
)
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.ports.cluster import NOWHERE, Cluster, ClusterError
from examples.local_cluster.control_plane import Cluster as ControlPlane

pytestmark = pytest.mark.usefixtures("api_server")
SETTINGS: dict[str, Any] = {
    "max_examples": 30,
    "deadline": None,
    "derandomize": True,
    "phases": [Phase.generate],  # shrinking on a real server takes minutes; a sequence of twelve is readable
    "suppress_health_check": list(HealthCheck),
}
OWNER = "11111111-2222-4333-8444-555555555555"
LABELS = {MANAGED_BY: MANAGER, OWNER_UID: OWNER}


def service(ports: tuple[int, ...], selector: Mapping[str, str], unready: bool | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"clusterIP": "None", "selector": dict(selector)}
    spec["ports"] = [{"name": f"p{port}", "port": port} for port in ports]
    if unready is not None:
        spec["publishNotReadyAddresses"] = unready
    return _object(SERVICE, spec)


def job(suspend: bool | None, image: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimit": 0}
    spec["template"] = {"spec": {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": image}]}}
    return _object(JOB, spec | ({"suspend": suspend} if suspend is not None else {}))


def deployment(replicas: int | None, env: tuple[str, ...]) -> dict[str, Any]:
    container = {"name": "engine", "image": "i", "env": [{"name": name, "value": "1"} for name in env]}
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container]}}
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    return _object(DEPLOYMENT, spec | ({"replicas": replicas} if replicas is not None else {}))


def claim(size: str) -> dict[str, Any]:
    return _object(CLAIM, {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}})


def training(count: int) -> dict[str, Any]:
    return _object(
        TRAINING, {"trainer": {"type": "custom", "image": "x:1", "command": ["a"]}, "nodes": {"count": count}}
    )


def _object(resource: Resource, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "x", "labels": dict(LABELS)}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}


manifests = st.one_of(
    st.builds(
        service,
        st.sets(st.sampled_from([80, 81, 82])).map(lambda ports: tuple(sorted(ports))),
        st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"), min_size=1),
        st.sampled_from([None, True, False]),
    ),
    st.builds(job, st.sampled_from([None, True, False]), st.sampled_from(["one", "two"])),
    st.builds(deployment, st.sampled_from([None, 0, 3]), st.sampled_from([(), ("A",), ("A", "B"), ("B",)])),
    st.builds(claim, st.sampled_from(["1Gi", "2Gi"])),
    st.builds(training, st.integers(1, 3)),
)
guards = st.sampled_from(["none", "right", "wrong", "free"])
operations = st.lists(
    st.one_of(
        st.tuples(st.just("create"), manifests, guards),
        st.tuples(st.just("apply"), manifests, guards),
        st.tuples(st.just("delete"), manifests, guards),
        st.tuples(st.just("status"), manifests, guards),
    ),
    min_size=2,
    max_size=12,
)


@dataclass
class Side:
    """One cluster and the objects as it last showed them."""

    cluster: Cluster
    namespace: str
    name: str

    async def do(self, verb: str, manifest: Manifest, guard: str) -> tuple[Any, ...]:
        """Carries out one operation: the kind of answer, whether anything changed, and what is there now."""
        resource = KINDS.ref_of(manifest).resource
        before = await self.cluster.get(resource, self.namespace, self.name)
        answer = await self._answer(self._call(verb, resource, manifest, guard, before))
        after = await self.cluster.get(resource, self.namespace, self.name)
        return answer, _version(before) != _version(after), projected(resource, after)

    async def _answer(self, call: Callable[[], Awaitable[object]]) -> str:
        try:
            await call()
        except ClusterError as error:
            return type(error).__name__
        return "done"

    def _call(
        self, verb: str, resource: Resource, manifest: Manifest, guard: str, before: Manifest | None
    ) -> Callable[[], Awaitable[object]]:
        named = {**manifest, "metadata": {**manifest["metadata"], "name": self.name, "namespace": self.namespace}}
        uid = before["metadata"]["uid"] if before is not None and guard != "wrong" else OWNER
        if guard != "none" and verb == "apply":
            named["metadata"] |= {"resourceVersion": NOWHERE} if guard == "free" else {"uid": uid}
        match verb:
            case "create":
                return lambda: self.cluster.create(resource, self.namespace, named)
            case "apply":
                return lambda: self.cluster.apply(resource, self.namespace, named)
            case "delete":
                return lambda: self.cluster.delete(resource, self.namespace, self.name, uid, "Background")
            case _:
                return lambda: self._status(guard, before)

    async def _status(self, guard: str, before: Manifest | None) -> None:
        if before is None or before["kind"] != "DeepSeekTraining":
            return
        older = str(int(before["metadata"]["resourceVersion"]) - 1)  # a fixed one may be the object's own
        stale = {} if guard == "right" else {"resourceVersion": older} if guard == "none" else {"uid": OWNER}
        status = {"observedGeneration": before["metadata"]["generation"]}
        await self.cluster.put_status(
            TRAINING, {**before, "metadata": {**before["metadata"], **stale}, "status": status}
        )


def projected(resource: Resource, stored: Manifest | None) -> object:
    """What both sides must agree on: no server-made identity, defaults spelled out."""
    if stored is None:
        return None
    metadata, spec = stored["metadata"], stored["spec"]
    common = (
        metadata.get("labels"),
        metadata.get("generation", 0) if resource in (TRAINING, JOB, DEPLOYMENT) else 0,
        bool(metadata.get("deletionTimestamp")),
    )
    return common, _body(resource, spec), stored.get("status") if resource == TRAINING else None


def _body(resource: Resource, spec: Mapping[str, Any]) -> object:
    if resource == SERVICE:
        ports = [(port["name"], port["port"]) for port in spec.get("ports", [])]
        return sorted(ports), spec.get("selector"), spec.get("publishNotReadyAddresses", False)
    if resource == JOB:
        return spec["suspend"], spec["completions"], spec["template"]["spec"]["containers"][0]["image"]
    if resource == DEPLOYMENT:
        env = spec["template"]["spec"]["containers"][0].get("env", [])
        return spec["replicas"], sorted(item["name"] for item in env)
    if resource == CLAIM:
        return spec["resources"], spec["accessModes"], spec["volumeMode"]
    return spec["nodes"]


def _version(stored: Manifest | None) -> str | None:
    return stored["metadata"]["resourceVersion"] if stored is not None else None


class Conformance:
    """One connection for all examples; every example gets a name of its own."""

    def __init__(self, credentials: Credentials, namespace: str) -> None:
        self._credentials = credentials
        self._namespace = namespace
        self._examples = 0

    async def agree(self, sequence: list[tuple[str, dict[str, Any], str]]) -> None:
        self._examples += 1
        name, clock = f"x{self._examples}", SystemClock()
        async with ApiServer(self._credentials, clock, Metrics()) as server:
            real = Side(KubeCluster(server, clock, "test"), self._namespace, name)
            memory = Side(MemoryCluster(clock), self._namespace, name)
            for number, (verb, manifest, guard) in enumerate(sequence):
                expected, got = await real.do(verb, manifest, guard), await memory.do(verb, manifest, guard)
                assert got == expected, (number, verb, guard, manifest)


def test_memory_and_a_real_api_server_agree(untouched: ControlPlane) -> None:
    conformance = Conformance(load(str(untouched.kubeconfig)), "default")

    @settings(**SETTINGS)
    @given(operations)
    def run(sequence: list[tuple[str, dict[str, Any], str]]) -> None:
        asyncio.run(conformance.agree(sequence))

    run()


async def test_lists_carry_metadata_only_and_are_paged(
    api_server: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepseek_operator.adapters.kube.PAGE", 2)
    clock = SystemClock()
    async with ApiServer(load(str(api_server.kubeconfig)), clock, Metrics()) as server:
        cluster = KubeCluster(server, clock, "test", [namespace])
        for name in ("a", "b", "c", "d", "e"):
            manifest = service((80,), {"a": "1"}, None)
            manifest["metadata"]["name"] = name
            await cluster.create(SERVICE, namespace, manifest)
        listing = await cluster.list_metadata(SERVICE)
        assert sorted(item["metadata"]["name"] for item in listing.items) == ["a", "b", "c", "d", "e"]
        assert all("spec" not in item for item in listing.items)
        owned = await cluster.list_owned(SERVICE, namespace, OWNER)
        assert {item["kind"] for item in owned.items} == {"Service"}
        assert len(owned.items) == 5
        assert int(listing.resource_version) >= max(int(item["metadata"]["resourceVersion"]) for item in owned.items)


async def test_a_revision_can_still_be_labelled_by_others(api_server: ControlPlane, namespace: str) -> None:
    """Its data are compared byte by byte with what the API server writes when it stores a patched object."""
    clock = SystemClock()
    async with ApiServer(load(str(api_server.kubeconfig)), clock, Metrics()) as server:
        manifest = {
            "apiVersion": REVISION.api_version,
            "kind": REVISION.kind,
            "metadata": {"name": "x", "labels": dict(LABELS)},
            "data": {"b": {"z": 1, "a": ["<&>", "é\u2028", True, None]}, "a": "text"},
            "revision": 1,
        }
        await KubeCluster(server, clock, "test").create(REVISION, namespace, manifest)
    path = f"/apis/apps/v1/namespaces/{namespace}/controllerrevisions/x"
    patched = api_server.api.patch(path, {"metadata": {"labels": {"team": "blue"}}})
    assert patched["metadata"]["labels"]["team"] == "blue"
    assert patched["data"] == manifest["data"]


def test_an_apply_for_a_free_name_makes_an_object_and_never_changes_one(untouched: ControlPlane) -> None:
    """Of every kind of storage: headless and batch objects, and one of our definitions. What was posted is a stranger's."""
    asyncio.run(_free_names(load(str(untouched.kubeconfig))))


async def _free_names(credentials: Credentials) -> None:
    clock = SystemClock()
    made = (service((80,), {"a": "1"}, None), job(None, "one"), deployment(3, ("A",)), claim("1Gi"), training(2))
    async with ApiServer(credentials, clock, Metrics()) as server:
        for number, manifest in enumerate(made):
            free = Side(KubeCluster(server, clock, "test"), "default", f"free{number}")
            taken = Side(free.cluster, "default", f"taken{number}")
            assert (await free.do("apply", manifest, "free"))[:2] == ("done", True)
            assert (await taken.do("create", manifest, "none"))[:2] == ("done", True)
            for side in (free, taken):
                changed = {**manifest, "metadata": {**manifest["metadata"], "annotations": {"a": "1"}}}
                assert (await side.do("apply", changed, "free"))[:2] == ("Conflict", False)
