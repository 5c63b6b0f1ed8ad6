"""The chart's fence: of the operator's pods only the writer writes, and nobody else is ever stopped by it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

import pytest

from deepseek_operator.adapters.answers import refusal
from deepseek_operator.controller.writer import WRITER
from deepseek_operator.ports.cluster import Fenced, Forbidden
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.fence import Impostor, fence
from tests.support.kubectl import until
from tests.support.operator_process import grant

GROUP = "/apis/deepseek-operator.io/v1alpha1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
TRAINING = {
    "apiVersion": "deepseek-operator.io/v1alpha1",
    "kind": "DeepSeekTraining",
    "metadata": {"name": "t"},
    "spec": {
        "trainer": {"type": "custom", "image": "x:1", "command": ["python3", "train.py"]},
        "nodes": {"count": 1},
        "checkpoints": {"everySteps": 10, "volume": {"size": "1Gi"}},
    },
}
POD: Manifest = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x:1"}]}}
HEARD_S = 20.0
"""It takes milliseconds, on a machine that is not as busy."""


@dataclass(frozen=True)
class Fence:
    """A namespace of the operator's work, and one of itself; a fence around the account."""

    cluster: Cluster
    namespace: str
    system: str
    operator: Impostor

    @property
    def account(self) -> str:
        """Path of what names the writer."""
        return f"/api/v1/namespaces/{self.system}/serviceaccounts/{self.system}-writer"

    def name(self, pod: str | None) -> None:
        """That pod is the writer; None: nobody is."""
        self.cluster.api.patch(self.account, {"metadata": {"annotations": {WRITER: pod}}})

    def may(self, pod: str | None, namespace: str = "") -> bool:
        """The operator in that pod may write there."""
        path = f"/api/v1/namespaces/{namespace or self.namespace}/configmaps"
        status, _ = self.operator.ask(pod, "POST", path, {"metadata": {"generateName": "x-"}}, dryRun="All")
        return status == 201

    def heard(self, holder: str, other: str) -> None:
        """Waits until the API server judges by that."""
        until(
            f"it has heard of {holder}",
            lambda: self.may(holder) and not self.may(other),
            timeout_s=HEARD_S,
            every_s=0.01,
        )


@pytest.fixture
def fenced(api_server: Cluster, namespace: str) -> Iterator[Fence]:
    system = f"{namespace}-system"
    api_server.api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    grant(api_server, system, namespace, ("fence.enabled=true",))
    operator = Impostor(api_server.api, f"system:serviceaccount:{system}:{system}")
    with closing(operator), fence(api_server, system, namespace):
        made = Fence(api_server, namespace, system, operator)
        made.name("one")
        made.heard("one", "two")
        yield made


def writes(fenced: Fence) -> dict[str, partial[tuple[int, str]]]:
    """One of each sort of the operator's writes, in the name of a pod that is still to be said, and never carried out."""
    ask, api, namespace = fenced.operator.ask, fenced.cluster.api, fenced.namespace
    core, batch = f"/api/v1/namespaces/{namespace}", f"/apis/batch/v1/namespaces/{namespace}"
    trainings = f"{GROUP}/namespaces/{namespace}/deepseektrainings"
    training = api.create(trainings, TRAINING)
    api.create(f"{core}/configmaps", {"metadata": {"name": "there"}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    api.apply(f"{core}/serviceaccounts/default", account)
    api.create(f"{core}/pods", POD)
    config_map: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}
    job: Manifest = {
        "metadata": {"name": "j"},
        "spec": {"template": {"spec": {**POD["spec"], "restartPolicy": "Never"}}},
    }

    def dry(verb: str, path: str, body: Manifest | None = None) -> partial[tuple[int, str]]:
        return partial(_asked, ask, verb, path, body)

    return {
        "create": dry("POST", f"{batch}/jobs", job),
        "apply, new": dry("PATCH", f"{core}/configmaps/new", {**config_map, "metadata": {"name": "new"}}),
        "apply": dry("PATCH", f"{core}/configmaps/there", {**config_map, "metadata": {"name": "there"}}),
        "delete": dry("DELETE", f"{core}/pods/p", {"dryRun": ["All"]}),
        "status": dry("PUT", f"{trainings}/t/status", training),
        "a serving's Lease": dry("POST", f"{LEASES}/{namespace}/leases", {"metadata": {"name": "s-serve"}}),
    }


def _asked(ask: Any, verb: str, path: str, body: Manifest | None, pod: str | None) -> tuple[int, str]:
    status, said = ask(pod, verb, path, body, dryRun="All")
    return int(status), str(said)


def test_whatever_the_operator_writes_is_refused_but_in_the_pod_of_the_writer(fenced: Fence) -> None:
    for name, write in writes(fenced).items():
        assert write("one")[0] in (200, 201), (name, write("one"))
        for pod in ("two", "one1", "", None):
            status, said = write(pod)
            assert status == 403, (name, pod, said)
            assert isinstance(refusal(status, said, None), Fenced)
            assert f'the writer is "one", by the ServiceAccount {fenced.system}/{fenced.system}-writer' in said
            assert said.endswith(f'and this is "{pod or ""}"')


def test_whoever_is_not_the_writer_may_take_the_lease_become_the_writer_and_tell_events(fenced: Fence) -> None:
    ask = fenced.operator.ask
    event = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "namespace": fenced.namespace, "name": "p"},
    }
    assert ask("two", "POST", f"/api/v1/namespaces/{fenced.namespace}/events", event, dryRun="All")[0] == 201
    lease = {"metadata": {"name": fenced.system}, "spec": {"holderIdentity": "two"}}
    assert ask("two", "POST", f"{LEASES}/{fenced.system}/leases", lease)[0] == 201
    taken = fenced.cluster.api.get(f"{LEASES}/{fenced.system}/leases/{fenced.system}")
    assert ask("two", "PUT", f"{LEASES}/{fenced.system}/leases/{fenced.system}", taken)[0] == 200
    account = fenced.cluster.api.get(fenced.account)
    account["metadata"]["annotations"][WRITER] = "two"
    assert ask("two", "PUT", fenced.account, account)[0] == 200
    fenced.heard("two", "one")


def test_the_fence_follows_the_writer(fenced: Fence) -> None:
    seconds = []
    for number in range(20):
        writer, other = ("two", "one") if number % 2 == 0 else ("one", "two")
        fenced.name(writer)
        begun = monotonic()
        fenced.heard(writer, other)
        seconds.append(monotonic() - begun)
    print(f"heard of after {sorted(seconds)[10] * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms")


@pytest.mark.parametrize("is_there", [True, False], ids=["named nobody", "is not there"])
def test_where_nobody_is_named_nobody_is_stopped(fenced: Fence, is_there: bool) -> None:
    if is_there:
        fenced.name(None)
    else:
        fenced.cluster.api.delete(fenced.account)
    until("the operator goes on in any pod", lambda: fenced.may("two"), timeout_s=HEARD_S)


def test_a_fence_that_was_taken_away_and_comes_back_judges_by_what_is_so(fenced: Fence) -> None:
    """By Leases it would go on by the one of before: kubernetes/kubernetes#130887."""
    with fence(fenced.cluster, fenced.system, fenced.namespace):
        pass
    until("it is gone", lambda: fenced.may("two"), timeout_s=HEARD_S)
    fenced.name("two")
    with fence(fenced.cluster, fenced.system, fenced.namespace):
        fenced.heard("two", "one")
        fenced.name("one")
        fenced.heard("one", "two")


def test_nobody_but_the_operators_account_is_judged(fenced: Fence) -> None:
    with closing(Impostor(fenced.cluster.api, "kubernetes-admin-of-the-test")) as somebody:
        path = f"/api/v1/namespaces/{fenced.namespace}/configmaps"
        status, said = somebody.ask("two", "POST", path, {"metadata": {"generateName": "x-"}}, dryRun="All")
        assert isinstance(refusal(status, said, None), Forbidden), "it has no right, and that is all that is wrong"
    fenced.cluster.api.create(f"/api/v1/namespaces/{fenced.namespace}/configmaps", {"metadata": {"name": "mine"}})
