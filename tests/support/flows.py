"""Who talks to whom, at which port and why: docs/security.md shows it, and the chart's policies are held to it.

Policies are judged as Kubernetes says: a pod that a policy of a direction selects takes only what some rule of those lets
through, others take everything; a connection needs the sender's way out and the receiver's way in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from deepseek_operator.core.names import ATTEMPT_LABEL, OWNER_UID, ROLE_LABEL
from deepseek_operator.kinds.serving.cache import CACHE_LABEL

Labels = Mapping[str, str]


@dataclass(frozen=True)
class End:
    """A pod, or an address outside of the cluster.

    Attributes:
        ports: container ports by name.
        address: of what is no pod.
    """

    labels: Labels = field(default_factory=dict)
    namespace: str = "team-a"
    ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""


@dataclass(frozen=True)
class Flow:
    """A connection that is made. `why` is for people; `port` is that of the receiver's pod."""

    sender: str
    receiver: str
    port: int
    why: str
    protocol: str = "TCP"


POD_ADDRESS = "10.244.0.200"
"""Of every pod: a block of addresses that holds it lets it through, on the networks that enforce (tests/network)."""
_UID, _SERVED = {OWNER_UID: "1"}, {OWNER_UID: "2"}
_OPERATOR = {"app.kubernetes.io/name": "deepseek-operator", "app.kubernetes.io/instance": "deepseek-operator"}
ENDS: Mapping[str, End] = {
    "rank": End({**_UID, ATTEMPT_LABEL: "1"}, ports={"progress": 8090}),
    "another rank of its gang": End({**_UID, ATTEMPT_LABEL: "1"}, ports={"progress": 8090}),
    "fetch": End({**_UID, ROLE_LABEL: "fetcher"}),
    "engine": End({**_SERVED, ROLE_LABEL: "engine"}, ports={"http": 8000, "grpc": 8001}),
    "worker of its replica": End({**_SERVED, ROLE_LABEL: "worker"}),
    "answer cache": End({CACHE_LABEL: "chat"}, ports={"cache": 8080, "health": 8081}),
    "exam": End({**_SERVED, ROLE_LABEL: "examiner"}),
    "operator": End(_OPERATOR, namespace="system"),
    "Prometheus": End({"app": "prometheus"}, namespace="monitoring"),
    "gateway's proxy": End({"app": "envoy"}, namespace="gateways"),
    "client of the namespace": End({"app": "client"}),
    "MLflow": End({"app": "mlflow"}, namespace="mlops"),
    "DNS": End({"k8s-app": "kube-dns"}, namespace="kube-system"),
    "hub, S3 or web server": End(address="203.0.113.7"),
    "pod of another namespace": End({"app": "client"}, namespace="team-b"),
    "the cloud's metadata service": End(address="169.254.169.254"),
    "any address of the internet": End(address="198.51.100.1"),
}
"""By the words of the table, and beneath them who is in no row."""

FLOWS = (
    Flow("rank", "DNS", 53, "names of its gang's pods", "UDP"),
    Flow("rank", "another rank of its gang", 29500, "rendezvous, collectives, the launchers' accord; any port"),
    Flow("rank", "engine", 8000, "a teacher of its namespace, where a trainer asks one"),
    Flow("rank", "MLflow", 5000, "`tracking.mlflow`; by `trainingEgress`"),
    Flow("operator", "rank", 8090, "`/progress`, read only"),
    Flow("Prometheus", "rank", 8090, "`/metrics`"),
    Flow("fetch", "DNS", 53, "the source's name", "UDP"),
    Flow(
        "fetch",
        "hub, S3 or web server",
        443,
        "sources `hf://`, `s3://` and `https://`; by `sourcesAt` and `sourcePorts`",
    ),
    Flow("operator", "fetch", 8090, "`/progress`, read only"),
    Flow("engine", "DNS", 53, "the name of its replica's leader", "UDP"),
    Flow("engine", "worker of its replica", 29500, "a replica over several nodes; any port"),
    Flow("worker of its replica", "engine", 29500, "the same, the other way"),
    Flow("client of the namespace", "engine", 8000, "requests"),
    Flow("client of the namespace", "engine", 8001, "requests by gRPC, of Triton"),
    Flow("gateway's proxy", "engine", 8000, "requests; by `clientsFrom`"),
    Flow("Prometheus", "engine", 8000, "`/metrics`, at the port that answers requests; by `scrapedFrom`"),
    Flow("gateway's proxy", "answer cache", 8080, "requests of a serving with `gateway.cache`"),
    Flow("Prometheus", "answer cache", 8081, "its metrics"),
    Flow("answer cache", "DNS", 53, "the revision's Service, once", "UDP"),
    Flow("answer cache", "engine", 8000, "what it has no answer to"),
    Flow("exam", "DNS", 53, "the revision's Service", "UDP"),
    Flow("exam", "engine", 8000, "held-out prompts"),
)
"""Of pods of trainings and servings."""


def table() -> str:
    """As docs/security.md has it."""
    rows = (f"| {one.sender} | {one.receiver} | {one.port} | {one.why} |" for one in FLOWS)
    return "\n".join(("| from | to | port | why |", "|---|---|---|---|", *rows))


def is_let_through(policies: Iterable[Mapping[str, Any]], flow: Flow) -> bool:
    """Whether the policies let that connection be made."""
    sender, receiver, policies = ENDS[flow.sender], ENDS[flow.receiver], list(policies)
    ways = (("egress", "to", sender, receiver), ("ingress", "from", receiver, sender))
    return all(_takes(policies, *way, receiver, flow) for way in ways)


def _takes(
    policies: list[Mapping[str, Any]], direction: str, key: str, own: End, other: End, receiver: End, flow: Flow
) -> bool:
    selecting = [one for one in policies if _is_selected(one, direction, own)]
    rules = [rule for one in selecting for rule in one["spec"].get(direction) or ()]
    return not selecting or any(
        _is_peer(rule.get(key), own.namespace, other) and _is_port(rule.get("ports"), receiver, flow) for rule in rules
    )


def _is_selected(policy: Mapping[str, Any], direction: str, own: End) -> bool:
    spec = policy["spec"]
    here = not own.address and policy["metadata"]["namespace"] == own.namespace
    return here and direction.capitalize() in spec["policyTypes"] and _matches(spec["podSelector"], own.labels)


def _is_peer(peers: list[Mapping[str, Any]] | None, namespace: str, other: End) -> bool:
    return not peers or any(_is_one(peer, namespace, other) for peer in peers)


def _is_one(peer: Mapping[str, Any], namespace: str, other: End) -> bool:
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        address = ip_address(other.address or POD_ADDRESS)
        left_out = (ip_network(one) for one in block.get("except", ()))
        return address in ip_network(block["cidr"]) and not any(address in one for one in left_out)
    if other.address:
        return False
    there = {"kubernetes.io/metadata.name": other.namespace}
    of_namespace = (
        _matches(peer["namespaceSelector"], there) if "namespaceSelector" in peer else other.namespace == namespace
    )
    return of_namespace and _matches(peer.get("podSelector") or {}, other.labels)


def _is_port(ports: list[Mapping[str, Any]] | None, receiver: End, flow: Flow) -> bool:
    def number(port: int | str | None) -> int | None:
        return receiver.ports.get(port) if isinstance(port, str) else port

    return not ports or any(
        one.get("protocol", "TCP") == flow.protocol and ("port" not in one or number(one["port"]) == flow.port)
        for one in ports
    )


def _matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _holds(one, labels) for one in selector.get("matchExpressions") or ()
    )


def _holds(expression: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "In":
            return value in expression["values"]
        case other:
            raise AssertionError(f"{other} is not judged here")
