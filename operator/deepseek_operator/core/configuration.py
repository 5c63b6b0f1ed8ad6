"""What an administrator decides and tenants only name: default images and limits. Part of every kind's input.

Changing it (or upgrading the operator) never touches pods: an attempt's Job is write-once and a revision's template
is stored; new values count for the next attempt or revision.
"""

from dataclasses import dataclass

from deepseek_operator.core.host_access import ALL, NOWHERE, HostAccess
from deepseek_operator.core.names import family_of
from deepseek_operator.core.resources import Resource
from deepseek_operator.core.web_access import NOWHERE as NO_ADDRESS
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.domain.devices.profiles import BUILT_IN, Profiles

FIRST_PROGRESS_S = 5


GATE_PORT = 9001
"""Of the gate's Service, for Envoy's questions."""


def wanted_path(resource: Resource, namespace: str, name: str) -> str:
    """Path of the page that has the replicas wanted for one owner, as JSON: `{"replicas": 4}`."""
    return f"/wanted/{family_of(resource).word}/{namespace}/{name}"


@dataclass(frozen=True)
class GateAddress:
    """The Service of the gate, which Envoy asks about requests, and the namespaces whose keys and models it reads."""

    namespace: str
    name: str
    of: frozenset[str]
    port: int = GATE_PORT


@dataclass(frozen=True)
class Hub:
    """The Hugging Face Hub as an administrator has it reached.

    Attributes:
        endpoint: address of a mirror; empty: the hub itself.
        is_offline: nobody is asked: only what lies on a claim already is used.
    """

    endpoint: str = ""
    is_offline: bool = False


@dataclass(frozen=True)
class ObjectStorage:
    """S3, or what speaks its protocol. `endpoint`: its address; empty: Amazon's of that region, which is empty for the client's
    own."""

    endpoint: str = ""
    region: str = ""


@dataclass(frozen=True)
class Proxy:
    """The way out to sources. `url`: of the proxy; empty: there is none. `spared`: hosts that are asked without it, each with
    all names below it."""

    url: str = ""
    spared: tuple[str, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """The operator's configuration as the kinds see it.

    Attributes:
        runtime_image: image of the built-in trainer and engine.
        image_pull_policy: of every container that the operator makes.
        progress_interval_s: seconds between two looks at a running training's progress; at most this often is
            progress written to status.
        metric_prefix: name of the external metric that the autoscaler asks for.
        profiles: the accelerators that resources may name: the operator's own and the administrator's.
        queries_of: namespaces whose resources may have queries of their own asked, `*` for all. The store answers whatever is
            asked of it, of any namespace, and what it answers is told in a status.
        gate: the gateway's external authorizer; None: it does not run.
        hub: where sources hf:// are fetched from.
        s3: where sources s3:// are.
        web: which addresses sources http:// and https:// may be of; none before an administrator says so.
        authorities: in PEM, whose certificates those who fetch sources believe, beside the ones that their image trusts.
        proxy: by which sources are asked.
        wanted_url: where an autoscaler of others asks the operator for its number, for example http://operator.ns.svc:8082;
            None: nowhere.
        host_access: which namespaces may name profiles whose pods reach their node; none before an administrator says so.
    """

    runtime_image: str = "deepseek-operator.io/runtime:dev"
    image_pull_policy: str = "IfNotPresent"
    progress_interval_s: int = 30
    metric_prefix: str = "deepseek_wanted_replicas"
    profiles: Profiles = BUILT_IN
    queries_of: frozenset[str] = frozenset()
    host_access: HostAccess = NOWHERE
    gate: GateAddress | None = None
    hub: Hub = Hub()
    s3: ObjectStorage = ObjectStorage()
    web: WebAccess = NO_ADDRESS
    authorities: str = ""
    proxy: Proxy = Proxy()
    wanted_url: str | None = None

    def wanted_url_of(self, resource: Resource, namespace: str, name: str) -> str | None:
        """Where the number for that owner is asked for; None: nowhere."""
        return f"{self.wanted_url}{wanted_path(resource, namespace, name)}" if self.wanted_url is not None else None

    def gate_of(self, namespace: str) -> GateAddress | None:
        """The gate, where it reads the keys of that namespace."""
        return self.gate if self.gate is not None and namespace in self.gate.of else None

    def may_query(self, namespace: str) -> bool:
        """Whether resources of that namespace may have queries of their own asked."""
        return not self.queries_of.isdisjoint((namespace, ALL))

    @property
    def first_progress_s(self) -> int:
        """Seconds between two questions to a training that has just begun to run; no progress is asked for more often."""
        return min(FIRST_PROGRESS_S, self.progress_interval_s)
