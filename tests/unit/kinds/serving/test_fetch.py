"""A serving whose model or adapters are fetched: one Job for a source, what it brought recorded before it is mounted, and
tried again."""

import json
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.configuration import Configuration, Hub, ObjectStorage, Proxy
from deepseek_operator.core.mentions import mentioned
from deepseek_operator.core.resources import CLAIM, DEPLOYMENT, JOB, POD, SERVICE
from deepseek_operator.core.seen import Unavailable
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.workloads.batch.fetch import far
from tests.support.serving_life import ExaminedLife
from tests.support.servings import NAMESPACE, a_claim
from tests.support.trainings import training

URI = "hf://deepseek-ai/DeepSeek-V2-Lite@main"
COMMIT = "604d5664dddd88a0433dbae533b7fe9472482de0"
FOLDER = f"sources/hf/deepseek-ai--DeepSeek-V2-Lite/{COMMIT}"
DIGEST = f"sha256:{'7' * 64}"
SOURCE = {"uri": URI, "claimName": "models"}


class FetchLife(ExaminedLife):
    """A serving of a source, and the claim that it is to lie on."""

    def __init__(
        self, configuration: Configuration | None = None, spec: dict[str, Any] | None = None, **source: Any
    ) -> None:
        wanted = {"model": {"source": {**SOURCE, **source}}, **(spec or {})}
        super().__init__(a_claim(), configuration=configuration, **wanted)
        self.run()

    def jobs(self) -> list[Stored]:
        return [job for job in self.cluster.all(JOB, NAMESPACE) if "deletionTimestamp" not in job["metadata"]]

    def claim_uid(self) -> str:
        return str(self.cluster.all(CLAIM, NAMESPACE)[0]["metadata"]["uid"])

    def is_a_cache(self, said: str = "LastUse") -> None:
        """Whoever has the claim writes what may go from it."""
        told = {"deepseek-operator.io/evict": said}
        self.cluster.edit(CLAIM, NAMESPACE, "models", lambda live: live["metadata"].update(annotations=told))

    def fetcher(self) -> Stored:
        """Its pod that is not over."""
        (pod,) = (
            pod
            for pod in self.cluster.all(POD, NAMESPACE)
            if pod["metadata"]["labels"].get("deepseek-operator.io/role") == "fetcher"
            and pod["status"]["phase"] in ("Pending", "Running")
        )
        return pod

    def fetchers(self) -> dict[str, Stored]:
        """Pods that are not over, by what they fetch."""
        pods = [pod for pod in self.cluster.all(POD, NAMESPACE) if "-fetch-" in pod["metadata"]["name"]]
        waited = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        return {told(pod, "DEEPSEEK_SOURCE_URI"): pod for pod in waited}

    def brings(self, pod: Stored | None = None, **source: Any) -> None:
        """It is over, and says what it brought."""
        brought = {"folder": FOLDER, "revision": COMMIT, "digest": DIGEST, "bytes": 31, "fetchedBytes": 31, **source}
        said = {"formatVersion": 1, "result": "Complete", "message": "over", "source": brought}
        self.world.end(pod or self.fetcher(), 0, json.dumps(said))
        self.run()

    def fails(self, code: int, message: str) -> None:
        said = {"formatVersion": 1, "result": "Failed", "message": message}
        self.world.end(self.fetcher(), code, json.dumps(said))
        self.run()

    def said(self, type_: str) -> tuple[str, str]:
        """Reason and message of a condition that is True; empty where it is not."""
        found = [one for one in self.status.conditions if one.type == type_ and one.status == "True"]
        return (found[0].reason, found[0].message) if found else ("", "")


def told(pod: Stored, name: str) -> str:
    return next(str(one["value"]) for one in pod["spec"]["containers"][0]["env"] if one["name"] == name)


def test_one_job_fetches_to_the_claim_and_nothing_runs_before_it_is_there() -> None:
    life = FetchLife()
    (job,) = life.jobs()
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert {one["name"]: one.get("value") for one in container["env"]} == {
        "DEEPSEEK_SOURCE_URI": URI,
        "DEEPSEEK_SOURCE_WANT": "Model",
        "DEEPSEEK_SOURCE_CLAIM": "/claim",
        "DEEPSEEK_PROGRESS_PORT": "8090",
        "DEEPSEEK_CLAIM_UID": life.claim_uid(),
    }
    assert container["image"] == Configuration().runtime_image
    assert container["volumeMounts"] == [{"name": "claim", "mountPath": "/claim"}]
    assert spec["volumes"] == [{"name": "claim", "persistentVolumeClaim": {"claimName": "models"}}]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert job["spec"]["backoffLimit"] == 0
    name = job["metadata"]["name"]
    assert life.said("Reconciling") == (
        "Fetching",
        f"{URI} is fetched to claim models by Job {name}. Wait until the source is on its claim.",
    )
    assert not life.cluster.all(DEPLOYMENT, NAMESPACE)


def test_what_it_brought_is_recorded_then_mounted_and_its_job_goes() -> None:
    life = FetchLife()
    life.brings()
    (told,) = life.status.sources
    assert (told.phase, told.sub_path, told.revision, told.digest, told.size_bytes) == (
        "Complete", FOLDER, COMMIT, DIGEST, 31)  # fmt: skip
    assert life.status.resolved is not None
    assert (life.status.resolved.claim_name, life.status.resolved.sub_path) == ("models", FOLDER)
    assert life.status.resolved.digest == DIGEST
    (mount, _) = life.template()["spec"]["containers"][0]["volumeMounts"]
    assert mount == {"name": "model", "mountPath": "/model", "readOnly": True, "subPath": FOLDER}
    assert life.jobs() == []
    assert life.said("Ready")[0] == "Available"


def test_the_token_is_for_the_pod_that_fetches_alone() -> None:
    life = FetchLife(credentials="hugging-face")
    (job,) = life.jobs()
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["env"][-1] == {
        "name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hugging-face", "key": "token"}}}  # fmt: skip
    life.brings()
    assert "hugging-face" not in json.dumps(life.template())


def test_a_bucket_is_read_by_the_administrators_address_and_the_users_keys() -> None:
    s3 = ObjectStorage("https://s3.example.com", "eu-west-1")
    life = FetchLife(Configuration(s3=s3), uri="s3://team-models/v2/lite", credentials="keys")
    (container,) = life.jobs()[0]["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    assert (told["AWS_ENDPOINT_URL"], told["AWS_REGION"]) == ("https://s3.example.com", "eu-west-1")
    keys = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one}
    assert keys == {
        "AWS_ACCESS_KEY_ID": {"name": "keys", "key": "AWS_ACCESS_KEY_ID"},
        "AWS_SECRET_ACCESS_KEY": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"},
        "AWS_SESSION_TOKEN": {"name": "keys", "key": "AWS_SESSION_TOKEN", "optional": True},
    }
    life.brings(folder="sources/s3/team-models--v2--lite/7e57", revision="7e57")
    assert life.said("Ready")[0] == "Available"


WEB = "https://artifacts.example.org/models/lite/"
WEB_FOLDER = "sources/web/artifacts.example.org--models--lite/7e57"


def test_a_folder_of_the_web_is_fetched_where_the_administrator_allows_it() -> None:
    life = FetchLife(Configuration(web=WebAccess.of(["https://artifacts.example.org"])), uri=WEB, credentials="reader")
    (container,) = life.fetcher()["spec"]["containers"]
    assert told(life.fetcher(), "DEEPSEEK_SOURCE_ALLOWED") == "https://artifacts.example.org"
    reads = {"name": "DEEPSEEK_SOURCE_TOKEN", "valueFrom": {"secretKeyRef": {"name": "reader", "key": "token"}}}
    assert container["env"][-1] == reads
    life.brings(folder=WEB_FOLDER)
    assert WEB_FOLDER in json.dumps(life.cluster.all(DEPLOYMENT, NAMESPACE))


@pytest.mark.parametrize("of", ["model", "adapter"])
def test_nothing_is_fetched_from_where_nobody_allows_it(of: str) -> None:
    adapter = {"name": "legal", "source": {"uri": WEB, "claimName": "models"}}
    life = FetchLife(uri=WEB) if of == "model" else with_adapters(adapter)
    if of == "adapter" and life.jobs():
        life.brings()
    reason, message = life.said("Stalled")
    assert reason == "SourceNotAllowed"
    assert message.startswith(f"{WEB} is no address that sources are allowed to be fetched from: an administrator must")
    assert all(WEB not in json.dumps(job) for job in life.jobs())
    assert all(one.uri != WEB for one in life.status.sources)


def test_the_mirror_is_the_administrators() -> None:
    life = FetchLife(Configuration(hub=Hub("https://mirror.example.com", is_offline=True)))
    (container,) = life.jobs()[0]["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    assert (told["HF_ENDPOINT"], told["HF_HUB_OFFLINE"]) == ("https://mirror.example.com", "1")


OF_EVERY_KIND = ["hf://deepseek-ai/tiny@main", "s3://team-models/v2/lite", WEB]


@pytest.mark.parametrize("uri", OF_EVERY_KIND)
def test_whoever_fetches_goes_by_the_administrators_proxy(uri: str) -> None:
    web = WebAccess.of(["https://artifacts.example.org"])
    proxied = Configuration(web=web, proxy=Proxy("http://proxy.example.com:3128", ("svc", "10.0.0.7")))
    pod = FetchLife(proxied, uri=uri).fetcher()
    assert told(pod, "HTTPS_PROXY") == told(pod, "HTTP_PROXY") == "http://proxy.example.com:3128"
    assert told(pod, "NO_PROXY") == "svc,10.0.0.7"
    (container,) = FetchLife(Configuration(web=web, proxy=Proxy("", ("svc",))), uri=uri).fetcher()["spec"]["containers"]
    assert not {"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} & {one["name"] for one in container["env"]}


@pytest.mark.parametrize("uri", OF_EVERY_KIND)
def test_whoever_fetches_believes_the_administrators_authorities(uri: str) -> None:
    believing = Configuration(web=WebAccess.of(["https://artifacts.example.org"]), authorities="-----BEGIN …")
    assert told(FetchLife(believing, uri=uri).fetcher(), "DEEPSEEK_SOURCE_AUTHORITIES") == "-----BEGIN …"
    (container,) = FetchLife(replace(believing, authorities=""), uri=uri).fetcher()["spec"]["containers"]
    assert "DEEPSEEK_SOURCE_AUTHORITIES" not in {one["name"] for one in container["env"]}


@pytest.mark.parametrize(
    ("code", "reason", "condition"),
    [
        (64, "SourceNotFound", "Stalled"),
        (65, "SourceCorrupt", "Reconciling"),
        (69, "SourceUnavailable", "Reconciling"),
        (73, "ClaimFull", "Reconciling"),
        (77, "SourceRefused", "Reconciling"),
        (78, "SourceNotAllowed", "Stalled"),
        (1, "FetchFailed", "Reconciling"),
    ],
)
def test_a_failed_try_says_why_and_is_tried_again(code: int, reason: str, condition: str) -> None:
    life = FetchLife()
    life.fails(code, "the mirror has none of it")
    found = life.said(condition)
    assert found[0] == reason
    assert found[1].startswith(f"{URI} was not fetched, and is tried again after ")
    assert "the mirror has none of it" in found[1]
    first = {job["metadata"]["name"] for job in life.jobs()}
    assert len(first) == 1, "the failed one stays for its log"
    life.after(9)
    assert {job["metadata"]["name"] for job in life.jobs()} == first
    life.after(2)
    (second,) = {job["metadata"]["name"] for job in life.jobs()} - first
    assert "(try 2; the one before: the mirror has none of it)" in life.said("Reconciling")[1]
    life.brings()
    assert life.said("Ready")[0] == "Available"
    assert second not in {job["metadata"]["name"] for job in life.jobs()}


def test_it_waits_for_its_claim_and_makes_no_job_before() -> None:
    life = FetchLife(claimName="weights")
    assert life.jobs() == []
    assert life.said("Reconciling")[0] == "WaitingForClaim"
    assert f"no PersistentVolumeClaim weights in this namespace, which {URI} is to be fetched to" in life.said(
        "Reconciling"
    )[1]  # fmt: skip
    life.put(a_claim("weights"))
    life.run()
    assert len(life.jobs()) == 1


def test_another_revision_is_fetched_while_the_one_before_serves_on() -> None:
    life = FetchLife()
    life.brings()
    before = life.deployment()["metadata"]["name"]
    life.edit(model={"source": {**SOURCE, "uri": "hf://deepseek-ai/DeepSeek-V2-Lite@v2"}})
    life.run()
    assert life.said("Reconciling")[0] == "Fetching"
    assert life.deployment()["metadata"]["name"] == before
    other = FOLDER.replace(COMMIT, "1" * 40)
    life.brings(folder=other, revision="1" * 40)
    assert life.status.resolved is not None
    assert life.status.resolved.sub_path == other
    assert life.said("Ready")[0] == "Available"


def test_who_goes_back_to_a_source_has_what_it_was_resolved_to_and_nothing_is_fetched() -> None:
    life = FetchLife()
    life.brings()
    first = life.status.current
    life.edit(model={"source": {**SOURCE, "uri": "hf://deepseek-ai/DeepSeek-V2-Lite@v2"}})
    life.run()
    life.brings(folder=FOLDER.replace(COMMIT, "1" * 40), revision="1" * 40)
    life.edit(model={"source": SOURCE})
    life.run()
    assert life.jobs() == []
    assert life.status.resolved is not None
    assert life.status.resolved.sub_path == FOLDER
    assert first is not None
    assert life.status.current is not None
    assert life.status.current.name == first.name
    assert life.said("Ready")[0] == "Available"


@pytest.mark.parametrize(
    "said",
    [
        {"folder": "sources/hf/deepseek-ai--other/1"},
        {"folder": f"{FOLDER}/../../etc"},
        {"folder": 5},
        {"digest": "sha256:7"},
        {"bytes": True},
        {"bytes": -1},
    ],
)
def test_what_no_fetch_brings_is_not_mounted(said: dict[str, Any]) -> None:
    life = FetchLife()
    life.brings(**said)
    assert life.status.resolved is None
    assert life.said("Reconciling")[0] == "FetchFailed"
    assert "its pod did not say what it fetched" in life.said("Reconciling")[1]


def test_a_lost_status_fetches_nothing_again_while_a_revision_remembers() -> None:
    life = FetchLife()
    life.brings()
    resolved = life.status.resolved
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live.update(status={"observedGeneration": -1}))
    life.run()
    assert life.status.resolved == resolved
    assert life.jobs() == []


def test_a_forged_record_is_not_believed() -> None:
    life = FetchLife()
    (recorded,) = life.status.sources
    forged = {**recorded.to_wire(), "phase": "Complete", "subPath": "private/of/others"}
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["status"].update(sources=[forged]))
    life.run()
    assert life.status.resolved is None
    assert life.said("Reconciling")[0] == "Fetching"


def test_a_job_that_somebody_deletes_is_followed_by_another_try() -> None:
    life = FetchLife()
    (first,) = life.jobs()
    life.cluster.remove(JOB, NAMESPACE, first["metadata"]["name"], "Background")
    life.run()
    assert life.said("Reconciling")[0] == "FetchFailed"
    life.after(11)
    (second,) = life.jobs()
    assert second["metadata"]["name"] != first["metadata"]["name"]


def test_its_pod_is_no_replica() -> None:
    life = FetchLife()
    pod = life.fetcher()
    for service in life.cluster.all(SERVICE, NAMESPACE):
        assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert life.status.replicas == 0


def test_how_far_it_is_is_told_with_rate_and_time_and_no_more_than_twice_a_minute() -> None:
    life = FetchLife()
    life.run()
    answers = life.operator.progress.answers
    name = life.fetcher()["metadata"]["name"]
    half = {"done": 5 << 30, "total": 10 << 30, "bytesPerSecond": 100.0 * (1 << 20), "etaSeconds": 51.2}
    answers[name] = {"formatVersion": 1, "fetch": half}
    life.after(31)
    assert life.status.sources[0].progress == "5.0 GiB of 10.0 GiB, 100.0 MiB/s, 51 s left"
    assert ": 5.0 GiB of 10.0 GiB, 100.0 MiB/s, 51 s left" in life.said("Reconciling")[1]
    answers[name] = {"formatVersion": 1, "fetch": {**half, "done": 6 << 30}}
    before = life.serving()["metadata"]["resourceVersion"]
    life.after(10)
    assert life.serving()["metadata"]["resourceVersion"] == before
    life.after(25)
    assert life.status.sources[0].progress.startswith("6.0 GiB of 10.0 GiB")
    life.brings()
    assert (life.status.sources[0].progress, life.status.sources[0].observed_at) == ("", "")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"done": 0, "total": 10}, "0 bytes of 10 bytes"),
        ({"done": 1 << 40, "total": 3 << 40, "bytesPerSecond": 0.0}, "1.0 TiB of 3.0 TiB"),
        (
            {"done": 0, "total": 2048, "bytesPerSecond": 1.0, "etaSeconds": 7384.0},
            "0 bytes of 2.0 KiB, 1 bytes/s, 2 h 3 min left",
        ),
        ({"done": 0, "total": 2048, "bytesPerSecond": 1e300, "etaSeconds": 1e300}, "0 bytes of 2.0 KiB"),
        ({"done": 0, "total": 0}, ""),
        ("far", ""),
    ],
)
def test_what_a_pod_says_is_read_as_a_strangers(said: object, told: str) -> None:
    assert far({"fetch": said}) == told


@pytest.mark.parametrize("said", [None, Unavailable("it does not answer"), {}])
def test_a_pod_that_says_nothing_is_told_nothing_of(said: Any) -> None:
    assert far(said) == ""


LORA = "hf://team/legal-lora@v1"
LORA_FOLDER = f"sources/hf/team--legal-lora/{'5' * 40}"
LEGAL: dict[str, Any] = {
    "name": "legal",
    "source": {"uri": LORA, "claimName": "adapters", "credentials": "hub"},
    "rank": 8,
}


def with_adapters(*adapters: dict[str, Any], **spec: Any) -> FetchLife:
    life = FetchLife(spec={"adapters": list(adapters), **spec})
    life.put(a_claim("adapters"))
    life.run()
    return life


def adapter_comes(life: FetchLife, uri: str = LORA, folder: str = LORA_FOLDER, **more: Any) -> None:
    life.brings(life.fetchers()[uri], folder=folder, revision="5" * 40, **more)


def test_an_adapter_is_fetched_beside_the_model_and_mounted_by_its_digest() -> None:
    life = with_adapters(LEGAL)
    pods = life.fetchers()
    assert {uri: told(pod, "DEEPSEEK_SOURCE_WANT") for uri, pod in pods.items()} == {URI: "Model", LORA: "Adapter"}
    assert pods[LORA]["spec"]["volumes"] == [{"name": "claim", "persistentVolumeClaim": {"claimName": "adapters"}}]
    life.brings(pods[URI])
    assert life.said("Reconciling")[0] == "Fetching"
    assert LORA in life.said("Reconciling")[1]
    assert not life.cluster.all(DEPLOYMENT, NAMESPACE)
    adapter_comes(life, digest=f"sha256:{'5' * 64}")
    assert life.said("Ready")[0] == "Available"
    assert life.status.resolved is not None
    assert life.status.resolved.adapters is not None
    (found,) = life.status.resolved.adapters
    assert (found.name, found.claim_name, found.sub_path, found.rank, found.digest) == (
        "legal", "adapters", LORA_FOLDER, 8, f"sha256:{'5' * 64}")  # fmt: skip
    spec = life.template()["spec"]
    mounts = {one["mountPath"]: one.get("subPath") for one in spec["containers"][0]["volumeMounts"]}
    assert mounts["/adapters/0"] == LORA_FOLDER
    assert "hub" not in json.dumps(spec)
    assert life.jobs() == []


def test_another_content_of_an_adapter_is_another_revision() -> None:
    names = []
    for number in "56":
        life = with_adapters(LEGAL)
        life.brings(life.fetchers()[URI])
        adapter_comes(life, digest=f"sha256:{number * 64}")
        assert life.status.current is not None
        names.append(life.status.current.name)
    assert len(set(names)) == 2


def test_another_adapter_fetches_nothing_that_is_there_and_the_revision_serves_on() -> None:
    life = with_adapters(LEGAL)
    life.brings(life.fetchers()[URI])
    adapter_comes(life)
    before = life.deployment()["metadata"]["name"]
    other = {"name": "code", "source": {"uri": "hf://team/code-lora@v1", "claimName": "adapters"}}
    life.edit(adapters=[LEGAL, other])
    life.run()
    assert list(life.fetchers()) == ["hf://team/code-lora@v1"]
    assert life.deployment()["metadata"]["name"] == before
    adapter_comes(life, "hf://team/code-lora@v1", LORA_FOLDER.replace("legal", "code"))
    assert life.status.resolved is not None
    assert [one.name for one in life.status.resolved.adapters or ()] == ["code", "legal"]
    assert life.said("Ready")[0] == "Available"


def test_one_adapter_under_two_names_is_fetched_once() -> None:
    life = with_adapters(LEGAL, {**LEGAL, "name": "law"})
    assert sorted(life.fetchers()) == [URI, LORA]
    life.brings(life.fetchers()[URI])
    adapter_comes(life)
    assert life.status.resolved is not None
    assert [one.name for one in life.status.resolved.adapters or ()] == ["law", "legal"]


def test_an_adapter_waits_for_its_claim() -> None:
    life = FetchLife(spec={"adapters": [LEGAL]})
    life.brings()
    assert life.said("Reconciling")[0] == "WaitingForClaim"
    assert (
        f"no PersistentVolumeClaim adapters in this namespace, which {LORA} is to be fetched to"
        in (life.said("Reconciling")[1])
    )


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"model": {"name": "deepseek-r1", "source": SOURCE}, "accelerator": {"profile": "nvidia-l40s-48", "perNode": 1},
          "nodes": {"count": 1}, "engine": {"type": "vllm"}}, "DoesNotFit", "GiB"),
        ({"accelerator": {"profile": "nobodys"}}, "UnknownProfile", "nobodys"),
        ({"adapters": [{**LEGAL, "name": "chat"}]}, "Unsupported", "one of adapters is called chat"),
    ],
)  # fmt: skip
def test_what_can_not_be_served_is_told_before_anything_is_fetched(
    spec: dict[str, Any], reason: str, words: str
) -> None:
    life = FetchLife(spec=spec)
    life.put(a_claim("adapters"))
    life.run()
    assert life.said("Stalled")[0] == reason
    assert words in life.said("Stalled")[1]
    assert life.jobs() == []
    assert life.status.sources == []
    life.edit(model={"source": SOURCE}, adapters=[], accelerator=None, nodes={}, engine={})
    life.run()
    assert life.said("Reconciling")[0] == "Fetching"
    assert len(life.jobs()) == 1


def test_no_other_try_follows_while_the_spec_is_refused() -> None:
    life = FetchLife()
    life.fails(69, "the mirror is gone")
    life.edit(accelerator={"profile": "nobodys"})
    life.run()
    assert life.said("Stalled")[0] == "UnknownProfile"
    before = {job["metadata"]["name"] for job in life.jobs()}
    life.after(3600)
    assert {job["metadata"]["name"] for job in life.jobs()} == before
    life.edit(accelerator=None)
    life.run()
    assert life.said("Reconciling")[0] == "Fetching"
    life.brings()
    assert life.said("Ready")[0] == "Available"


def loading_s(life: FetchLife) -> int:
    probe = life.template()["spec"]["containers"][0]["startupProbe"]
    return int(probe["periodSeconds"] * probe["failureThreshold"])


VLLM: dict[str, Any] = {
    "model": {"name": "deepseek-v2-lite", "source": SOURCE},
    "accelerator": {"profile": "nvidia-h100-80"},
    "engine": {"type": "vllm"},
}


@pytest.mark.parametrize("spec", [{}, VLLM])
@pytest.mark.parametrize(
    ("size", "rate", "seconds"),
    [
        (600 * 10**9, 200 * 10**6, 6600),
        (600 * 10**9, 0, 1800),
        (600 * 10**9, 5 * 10**9, 1800),
        (1500 * 10**9, 10**9, 3600),
        (600 * 10**9, 1, 86400),
        (31, 10**8, 1800),
        (600 * 10**9, "fast", 1800),
        (600 * 10**9, -1, 1800),
        (600 * 10**9, True, 1800),
    ],
)
def test_a_replica_may_load_as_long_as_reading_takes_at_the_rate_that_was_measured(
    spec: dict[str, Any], size: int, rate: object, seconds: int
) -> None:
    life = FetchLife(spec=spec)
    life.brings(bytes=size, readBytesPerSecond=rate)
    assert loading_s(life) == seconds
    assert life.deployment()["spec"]["progressDeadlineSeconds"] == 600 + seconds
    if spec:
        told = {one["name"]: one.get("value") for one in life.template()["spec"]["containers"][0]["env"]}
        assert int(str(told["VLLM_ENGINE_READY_TIMEOUT_S"])) <= seconds


def test_a_lost_status_keeps_the_rate_that_a_replica_was_made_by() -> None:
    life = FetchLife()
    life.brings(bytes=600 * 10**9, readBytesPerSecond=200 * 10**6)
    before = life.template()
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live.update(status={"observedGeneration": -1}))
    life.run()
    assert life.template() == before
    assert not [one for one in life.status.conditions if one.type == "UpdateAvailable" and one.status == "True"]
    assert life.status.resolved is not None
    assert (life.status.resolved.size_bytes, life.status.resolved.read_bytes_per_second) == (600 * 10**9, 200 * 10**6)


DATA = "sources/hf/datasets--team--chats/0001-7e57"


def test_a_fetch_to_a_cache_is_told_what_the_namespace_names() -> None:
    """Kept revisions, the data of a training, and whatever else is below sources/ in an object of the operator's."""
    life = FetchLife()
    life.brings()
    life.is_a_cache()
    for name, namespace, uri in (("a", NAMESPACE, f"pvc://models/{DATA}/data/*.jsonl"), ("b", "other", "pvc://models")):
        reads = training(name, datasets=[{"source": {"uri": uri}}])
        life.cluster.put({**reads, "metadata": {"name": name, "namespace": namespace}})
    life.edit(model={"source": {**SOURCE, "uri": f"{URI}-2"}})
    life.run()
    said = json.loads(told(life.fetcher(), "DEEPSEEK_CLAIM_USAGE"))
    assert said["named"] == [f"{DATA}/data/".removeprefix("sources/"), FOLDER.removeprefix("sources/")]
    assert said["lookedAt"] == int(life.clock.now().timestamp())
    assert said["spared"] == []
    assert told(life.fetcher(), "DEEPSEEK_CLAIM_UID") == life.claim_uid()


def test_what_a_fetch_is_told_names_nothing_to_the_next() -> None:
    """Or two that wait for room would keep for each other whatever was in use once."""
    life = FetchLife()
    life.brings()
    life.is_a_cache()
    life.edit(model={"source": {**SOURCE, "uri": f"{URI}-2"}})
    life.run()
    usage = told(life.fetcher(), "DEEPSEEK_CLAIM_USAGE")
    assert mentioned([json.dumps(life.fetcher()).encode()]).on("models") == ()
    assert FOLDER.removeprefix("sources/") in usage


@pytest.mark.parametrize("said", ["", "lastuse", "Never"])
def test_of_a_claim_that_is_no_cache_nothing_may_go(said: str) -> None:
    life = FetchLife()
    life.fails(73, "it takes 31 GiB, and 2 GiB are free")
    if said:
        life.is_a_cache(said)
        life.run()
    life.after(11)
    env = {one["name"] for one in life.fetcher()["spec"]["containers"][0]["env"]}
    assert "DEEPSEEK_CLAIM_USAGE" not in env
    life.fails(73, "it takes 31 GiB, and 2 GiB are free")
    reason, message = life.said("Reconciling")
    assert reason == "ClaimFull"
    assert (f"says {said!r}: write LastUse" in message) == bool(said)


def test_where_the_hub_is_offline_what_came_from_it_is_spared() -> None:
    life = FetchLife(Configuration(hub=Hub("https://mirror.example.com", is_offline=True)))
    life.is_a_cache()
    life.fails(73, "it takes 31 GiB, and 2 GiB are free")
    life.after(11)
    assert json.loads(told(life.fetcher(), "DEEPSEEK_CLAIM_USAGE"))["spared"] == ["hf"]


def test_what_went_is_told_once_and_stays_in_the_status() -> None:
    life = FetchLife()
    first, second = "hf/a--b/0001 (4.0 GiB)", "s3/c--d/0002 (2.0 GiB)"
    said = {"formatVersion": 1, "result": "Failed", "message": "it broke off", "source": {"evicted": [first, 7]}}
    life.world.end(life.fetcher(), 69, json.dumps(said))
    life.run()
    life.after(11)
    life.brings(evicted=[second])
    assert life.status.sources[0].evicted == [first, second]
    notes = [event.note for _, event in life.cluster.events if event.reason == "SourceEvicted"]
    assert notes == [
        f"{one} went from claim models for {URI} to have room: nothing named it any more" for one in (first, second)
    ]
    assert mentioned([life.status.model_dump_json().encode()]).on("models") == (FOLDER.removeprefix("sources/"),)
