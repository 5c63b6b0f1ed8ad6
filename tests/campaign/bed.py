"""What one seed plays on: a control plane of its own, one or two replicas of the operator behind proxies, nodes, tenants.

Nothing is shared with another seed, so a paused API server or a deleted definition disturbs nobody else, and a seed that
is played again finds what it found before.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from random import Random
from urllib.request import urlopen

from deepseek_operator.api.crd import documents
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.campaign.faults import Faults
from tests.campaign.witness import Witness
from tests.support.canonical import COLLECTIONS
from tests.support.fake_node import FakeNode
from tests.support.operator_process import OperatorProcess
from tests.support.our_kinds import DEFINITIONS, serving_our_kinds

SYSTEM = "deepseek-system"
TENANTS = ("team-a", "team-b")
CLAIMS = ("models", "corpora")
OWNERS = ("DeepSeekTraining", "DeepSeekServing")
ENVIRONMENT = {"AUDIT_INTERVAL_SECONDS": "2", "SIGNAL_INTERVAL_SECONDS": "2", "LEASE_NAME": SYSTEM}
"""What a silent watch hides is found by an audit; a minute of waiting for one would make a campaign of hours. And what signals
say has to be told before all counts as quiet: a fresh process asks at once."""
LOADS_S = 2.0
"""Until a new replica is ready: were it at once, old ones that go too early would not be missed."""
Problem = (ApiError, OSError, HTTPException)
"""What a client of an API server that is being tormented must expect."""


@dataclass
class Replica:
    """One process of the operator, started again whenever it ends."""

    process: OperatorProcess
    ports: tuple[int, int]

    def page(self, port: int, path: str) -> str:
        """A page of the probes (0) or the metrics (1); empty when nobody answers."""
        with suppress(OSError, HTTPException), urlopen(f"http://127.0.0.1:{self.ports[port]}{path}", timeout=3) as page:
            return str(page.read().decode())
        return ""

    @property
    def leads(self) -> bool:
        """It says that it holds the Lease."""
        return re.search(r"^leader_election_master_status\S* 1\.0$", self.page(1, "/metrics"), re.M) is not None

    @property
    def is_healthy(self) -> bool:
        """Its probe says so."""
        return self.page(0, "/healthz").strip() == "ok"

    @property
    def memory_mib(self) -> float:
        """Resident memory of the process; 0 while there is none."""
        with suppress(OSError, AttributeError):
            text = Path(f"/proc/{self.process.pid}/status").read_text()
            return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024  # type: ignore[union-attr]
        return 0.0


@dataclass
class Bed:
    """Everything of one seed.

    Attributes:
        accepted: specs that the API server let in, by kind, namespace and name, oldest first.
        lied: uids of resources whose status somebody forged: what it says is believed, so nothing is expected of them.
        orphaned: uids of owners that were deleted with propagation Orphan: their children may stay.
        disowned: uids of children of which somebody took what says whose they are: strangers, if their owner goes.
    """

    cluster: Cluster
    folder: Path
    faults: Faults
    witness: Witness
    replicas: list[Replica] = field(default_factory=list)
    nodes: dict[str, FakeNode] = field(default_factory=dict)
    accepted: dict[tuple[str, str, str], list[Manifest]] = field(default_factory=dict)
    lied: set[str] = field(default_factory=set)
    orphaned: set[str] = field(default_factory=set)
    disowned: set[str] = field(default_factory=set)

    @property
    def api(self) -> Api:
        return self.cluster.api

    def path(self, kind: str, namespace: str, name: str = "") -> str:
        """URL path of an object, or of its collection."""
        return COLLECTIONS[kind].format(namespace) + (f"/{name}" if name else "")

    def items(self, kind: str, namespace: str) -> list[Manifest]:
        """The objects of a kind, with their kind, by name; none while the kind is not served."""
        try:
            found = self.api.get(self.path(kind, namespace))["items"]
        except ApiError as error:
            if error.code != 404:
                raise
            return []
        return sorted(({"kind": kind, **item} for item in found), key=lambda item: str(item["metadata"]["name"]))

    def owners(self) -> list[Manifest]:
        """All trainings and servings."""
        return [item for kind in OWNERS for namespace in TENANTS for item in self.items(kind, namespace)]

    def writes(self) -> int:
        """Writes of all replicas that count, so far."""
        return sum(len(replica.process.proxy.writes) for replica in self.replicas)

    def leader(self) -> Replica | None:
        """The replica that says that it leads."""
        return next((replica for replica in self.replicas if replica.leads), None)

    # --- what is put in order before a judgement -------------------------------------------------------------------

    def restore(self) -> None:
        """Definitions and namespaces that are gone or going are there again, with the tenants' own claims."""
        for document in documents(KINDS.definitions):
            self.define(document)
        for tenant in TENANTS:
            self.found(tenant)

    def define(self, document: Manifest) -> None:
        """Makes a definition anew, once its predecessor is gone, and waits until it is served."""
        name, spec = document["metadata"]["name"], document["spec"]
        path = f"{DEFINITIONS}/{name}"
        patiently(lambda: "deletionTimestamp" not in self._metadata(path), f"{name} is gone", timeout_s=90)
        self.api.apply(path, document)
        served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        patiently(lambda: self.api.is_served(served), f"{name} is served", timeout_s=60)

    def found(self, tenant: str) -> None:
        """Makes a namespace anew, once its predecessor is gone, with its account and its claims."""
        path = f"/api/v1/namespaces/{tenant}"
        patiently(lambda: "deletionTimestamp" not in self._metadata(path), f"{tenant} is gone", timeout_s=90)
        if not self.api.exists(path):
            self.api.create("/api/v1/namespaces", {"metadata": {"name": tenant}})
        patiently(lambda: self.api.exists(f"{path}/serviceaccounts/default"), "the namespace's account", timeout_s=60)
        for claim in CLAIMS:
            if not self.api.exists(self.path("PersistentVolumeClaim", tenant, claim)):
                spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
                manifest = {"metadata": {"name": claim}, "spec": spec}
                self.api.create(self.path("PersistentVolumeClaim", tenant), manifest)

    def _metadata(self, path: str) -> Manifest:
        try:
            found: Manifest = self.api.get(path)["metadata"]
        except ApiError as error:
            if error.code == 404:
                return {}
            raise
        return found

    def fresh_process(self) -> None:
        """Every replica is killed and comes again: nothing that only a process remembered is left."""
        for replica in self.replicas:
            self.faults.expect_kill()
            replica.process.kill()
        patiently(lambda: all(replica.is_healthy for replica in self.replicas), "all are back", timeout_s=180)
        patiently(lambda: self.leader() is not None, "a fresh process leads", timeout_s=120)


def patiently(is_true: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Waits for it, whatever the API server answers meanwhile. Raises TimeoutError."""

    def holds() -> bool:
        try:
            return is_true()
        except Problem:
            return False

    wait_for(what, holds, timeout_s, every_s=0.25)


@contextmanager
def bed(folder: Path, seed: int, replicas: int, source: Path | None = None) -> Iterator[Bed]:
    """A fresh bed in an empty folder, torn down in the end. `source` is the operator's source root, None for ours."""
    with ExitStack() as stack:
        parts = frozenset({"controller-manager"})
        cluster = stack.enter_context(contextmanager(serving_our_kinds)(folder / "cluster", parts))
        faults = stack.enter_context(Faults(Random(f"{seed} faults"), cluster))
        witness = stack.enter_context(Witness(cluster.api))
        made = Bed(cluster, folder, faults, witness)
        cluster.api.create("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
        made.restore()
        for tenant in TENANTS:
            made.nodes[tenant] = stack.enter_context(FakeNode(cluster.api, tenant, tenant, loads_s=LOADS_S))
        for number in range(replicas):
            made.replicas.append(_replica(made, number))
        for replica in made.replicas:
            replica.process.source = source or replica.process.source
            faults.stand_before(replica.process)
            stack.enter_context(replica.process)
        stack.callback(faults.end)  # A process that stands still can't be stopped.
        patiently(lambda: made.leader() is not None, "the operator leads", timeout_s=120)
        yield made


def _replica(made: Bed, number: int) -> Replica:
    folder = made.folder / f"operator-{number}"
    folder.mkdir()
    home = made.cluster.home
    ports = (home.port(f"health-{number}"), home.port(f"metrics-{number}"))
    own = {"POD_NAME": f"operator-{number}", "HEALTH_PORT": str(ports[0]), "METRICS_PORT": str(ports[1])}
    return Replica(OperatorProcess(made.cluster, folder, SYSTEM, None, {**ENVIRONMENT, **own}), ports)
