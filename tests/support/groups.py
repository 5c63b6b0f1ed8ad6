"""The replicas of a serving `x` over several nodes, as an API server tells them: leaders, workers, and who is led to whom."""

from examples.local_cluster.api import Api, Manifest
from tests.support.leader_worker_sets import COLLECTION

ROLE, NUMBER, RANK = (
    "deepseek-operator.io/role",
    "leaderworkerset.sigs.k8s.io/group-index",
    "leaderworkerset.sigs.k8s.io/worker-index",
)
SERVICE = "x-serve"


class Groups:
    """What is there of them in a namespace."""

    api: Api
    namespace: str

    def sets(self) -> list[Manifest]:
        found: list[Manifest] = self.api.get(COLLECTION.format(self.namespace))["items"]
        return found

    def all_pods(self) -> list[Manifest]:
        """With those that are on their way out."""
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        found: list[Manifest] = self.api.get(path, labelSelector="deepseek-operator.io/serving=x")["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def pods(self) -> list[Manifest]:
        return [pod for pod in self.all_pods() if "deletionTimestamp" not in pod["metadata"]]

    def leaders(self) -> list[Manifest]:
        return [pod for pod in self.pods() if pod["metadata"]["labels"][ROLE] == "engine"]

    def workers(self) -> list[Manifest]:
        return [pod for pod in self.pods() if pod["metadata"]["labels"][ROLE] == "worker"]

    def endpoints(self) -> set[str]:
        """Names of the pods that clients are led to."""
        path = f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices"
        slices = self.api.get(path, labelSelector=f"kubernetes.io/service-name={SERVICE}")["items"]
        found = [one for piece in slices for one in piece.get("endpoints") or ()]
        return {one["targetRef"]["name"] for one in found if one["conditions"].get("ready")}

    def are_whole(self, replicas: int, size: int = 2) -> bool:
        """So many replicas are there, each with all of its pods and none on its way out, and clients are led to them all."""
        leaders, pods = names(self.leaders()), self.all_pods()
        return len(leaders) == replicas and len(pods) == size * replicas and self.endpoints() == leaders


def set_of(pod: Manifest) -> str:
    """The LeaderWorkerSet of a pod."""
    return str(pod["metadata"]["labels"]["leaderworkerset.sigs.k8s.io/name"])


def names(pods: list[Manifest]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def uids(pods: list[Manifest]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}
