"""Models from a mirror of the hub and from a bucket to claims of a real cluster, and on to the pods that serve them."""

import json
from typing import Any

import pytest

from examples.local_cluster.control_plane import Cluster
from tests.e2e.written import builtin, pods_of
from tests.gateway.load import ask, completion
from tests.main_job.serving import wait_available
from tests.replicas.conftest import BUCKET, PREFIX, TOKEN, Servers, claim
from tests.sources.fetches import MIB, digest
from tests.support.kubectl import Kubectl, until

pytestmark = pytest.mark.timeout(600)
MODEL = "deepseek-ai/small"
WEIGHTS = "model.safetensors"
KEPT = 4 * MIB
"""What has come is written in pieces of that size."""
REPLICAS = 10


def serving(name: str, source: dict[str, Any], **spec: Any) -> str:
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": name}}
    return json.dumps({**head, "spec": {"model": {"source": source}, "engine": builtin(), **spec}})


def told(kubectl: Kubectl, name: str) -> dict[str, Any]:
    """What the status says of the serving's one source; empty while it says nothing."""
    sources = kubectl.json("get", "deepseekserving", name).get("status", {}).get("sources") or [{}]
    return dict(sources[0])


def forget(kubectl: Kubectl, servings: tuple[str, ...], claim_name: str) -> None:
    """Takes servings and their claim away, where they are there: a second try begins anew."""
    kubectl.run("delete", "deepseekserving", *servings, "--ignore-not-found", "--wait=true", timeout_s=120)
    kubectl.run("delete", "persistentvolumeclaim", claim_name, "--ignore-not-found", "--wait=true", timeout_s=120)


def fetchers(kubectl: Kubectl) -> list[str]:
    pods = kubectl.list("pods", "deepseek-operator.io/role=fetcher")
    return [pod["metadata"]["name"] for pod in pods if pod["status"].get("phase") == "Running"]


def test_ten_replicas_and_another_serving_are_one_download_which_goes_on_where_it_was_cut_off(
    kubectl: Kubectl, cluster: Cluster, servers: Servers, model: dict[str, bytes]
) -> None:
    hub = servers.hub
    forget(kubectl, ("many", "one-more"), "hub-models")
    hub.asked.clear()
    hub.sent.clear()
    commit = hub.push(MODEL, model)
    hub.tokens, hub.pause_s = frozenset({TOKEN}), 0.1
    kubectl.apply(claim("hub-models"))
    source = {"uri": f"hf://{MODEL}@main", "claimName": "hub-models", "credentials": "hugging-face"}
    kubectl.apply(serving("many", source, replicas=REPLICAS))
    kubectl.apply(serving("one-more", source))
    volume = kubectl.json("get", "persistentvolumeclaim", "hub-models")["metadata"]["uid"]
    place = cluster.home.volumes / volume

    def has_come() -> int:
        return max((path.stat().st_size for path in place.rglob(WEIGHTS)), default=0)

    until("some of it is on the claim", lambda: has_come() >= KEPT and len(fetchers(kubectl)) == 2, timeout_s=120)
    cut = fetchers(kubectl)
    kubectl.run("delete", "pod", *cut, "--wait=true", timeout_s=60)
    hub.pause_s = 0.0
    for name in ("many", "one-more"):
        wait_available(kubectl, name, timeout_s=300)
    for name in ("many", "one-more"):
        assert (told(kubectl, name)["revision"], told(kubectl, name)["digest"]) == (commit, digest(model))
        assert told(kubectl, name)["attempt"] == 2
    asked = [one for one in hub.asked if one.partition(" ")[0].endswith(f"/{commit}/{WEIGHTS}") and "/lfs/" in one]
    begun = [int(one.partition("bytes=")[2].rstrip("-") or 0) for one in asked]
    assert begun[0] == 0
    assert min(begun[1:]) >= KEPT, "what has come is not asked for again, by whichever of the two pods goes on"
    assert hub.sent[WEIGHTS] < len(model[WEIGHTS]) + len(begun) * KEPT
    assert hub.leaked == [], "where large files lie nobody is told the token"
    pods = pods_of(kubectl, "many")
    assert len(pods) == REPLICAS
    assert TOKEN not in json.dumps(pods)
    assert "HF_TOKEN" not in json.dumps(pods)
    for pod in pods:
        answer = ask_pod(pod)
        assert answer["usage"]["completion_tokens"] == 1
    forget(kubectl, ("many", "one-more"), "hub-models")


def ask_pod(pod: dict[str, Any]) -> dict[str, Any]:
    """What that replica answers; this machine is the node, from which pods are reached."""
    answer = ask(pod["status"]["podIP"], "many", "/v1/completions", completion(model="many"), port=8000)
    assert answer.status == 200, answer.body
    return dict(json.loads(answer.body))


def test_a_model_of_a_bucket_is_the_same_by_its_digest_and_answers(
    kubectl: Kubectl, servers: Servers, model: dict[str, bytes]
) -> None:
    forget(kubectl, ("bucket",), "bucket-models")
    kubectl.apply(claim("bucket-models"))
    source = {"uri": f"s3://{BUCKET}/{PREFIX}", "claimName": "bucket-models", "credentials": "bucket-reader"}
    kubectl.apply(serving("bucket", source))
    wait_available(kubectl, "bucket", timeout_s=240)
    assert told(kubectl, "bucket")["digest"] == digest(model)
    (pod,) = pods_of(kubectl, "bucket")
    assert "AWS_" not in json.dumps(pod)
    answer = ask(pod["status"]["podIP"], "bucket", "/v1/completions", completion(model="bucket"), port=8000)
    assert answer.status == 200, answer.body
    forget(kubectl, ("bucket",), "bucket-models")
