"""A training whose model or data is fetched: brought to its claim before the first attempt, recorded, and never asked for
again."""

import json
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import JOB, POD
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.kinds.training.reasons import Reason
from tests.support.trainings import NAMESPACE, Life, claim

URI = "hf://deepseek-ai/DeepSeek-V2-Lite@main"
COMMIT = "604d5664dddd88a0433dbae533b7fe9472482de0"
FOLDER = f"sources/hf/deepseek-ai--DeepSeek-V2-Lite/{COMMIT}"
DIGEST = f"sha256:{'7' * 64}"
MODEL: dict[str, Any] = {"source": {"uri": URI, "claimName": "models", "credentials": "hub"}}


def begun(**spec: Any) -> Life:
    life = Life()
    life.cluster.put(claim("models"))
    return life.begin(**{"model": MODEL, **spec})


def errands(life: Life) -> list[Stored]:
    return [job for job in life.cluster.all(JOB, NAMESPACE) if "-fetch-" in job["metadata"]["name"]]


def attempts(life: Life) -> list[Stored]:
    return [job for job in life.cluster.all(JOB, NAMESPACE) if "-fetch-" not in job["metadata"]["name"]]


def fetcher(life: Life) -> Stored:
    """The pod that is not over."""
    (pod,) = (
        pod
        for pod in life.cluster.all(POD, NAMESPACE)
        if pod["metadata"]["labels"].get("deepseek-operator.io/role") == "fetcher"
        and pod["status"]["phase"] in ("Pending", "Running")
    )
    return pod


def brings(life: Life, **more: Any) -> Life:
    brought = {"folder": FOLDER, "revision": COMMIT, "digest": DIGEST, "bytes": 31, **more}
    life.world.end(fetcher(life), 0, json.dumps({"formatVersion": 1, "result": "Complete", "source": brought}))
    return life.turn()


def test_nothing_of_an_attempt_is_made_before_the_model_is_there() -> None:
    life = begun()
    (job,) = errands(life)
    assert attempts(life) == []
    assert life.told == ("Reconciling", Reason.FETCHING)
    assert f"{URI} is fetched to claim models by Job {job['metadata']['name']}" in life.message
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["env"][-1]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "token"}


def test_the_attempt_mounts_what_was_brought_and_the_job_goes() -> None:
    life = brings(begun())
    assert errands(life) == []
    (job,) = attempts(life)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {"name": "claim-0", "mountPath": "/model", "readOnly": True, "subPath": FOLDER} in container["volumeMounts"]
    assert "hub" not in json.dumps(job["spec"])
    (told,) = life.owner.status.sources
    assert (told.phase, told.sub_path, told.revision, told.digest) == ("Complete", FOLDER, COMMIT, DIGEST)
    assert life.running().told == ("Ready", Reason.RUNNING)


@pytest.mark.parametrize(
    ("size", "rate", "written", "seconds"),
    [
        (31, 0, {}, 1800),
        (1_400_000_000_000, 300_000_000, {}, 9334),
        (1_400_000_000_000, 300_000_000, {"failurePolicy": {"startTimeoutSeconds": 20_000}}, 20_000),
        (16_000_000_000, 300_000_000, {"failurePolicy": {"startTimeoutSeconds": 60}}, 108),
        (1_400_000_000_000, 9_000_000_000, {}, 2800),  # That was a cache.
        (1_400_000_000_000, 1, {}, 86_400),
    ],
)
def test_a_trainer_may_load_as_long_as_reading_takes_at_the_rate_that_was_measured(
    size: int, rate: int, written: dict[str, Any], seconds: int
) -> None:
    life = brings(begun(**written), bytes=size, readBytesPerSecond=rate)
    assert limit_of(life) == seconds
    assert limit_of(life.running().crash().later(11)) == seconds, "every later attempt reads the same"


def limit_of(life: Life) -> int:
    """Of the newest attempt."""
    newest = max(attempts(life), key=lambda job: str(job["metadata"]["name"]))
    (container,) = newest["spec"]["template"]["spec"]["containers"]
    return int(next(v["value"] for v in container["env"] if v["name"] == "DEEPSEEK_START_TIMEOUT_SECONDS"))


def test_the_model_is_not_asked_for_again_after_a_crash() -> None:
    life = brings(begun()).running().crash().later(11)
    assert errands(life) == []
    newest = max(attempts(life), key=lambda job: str(job["metadata"]["name"]))
    assert FOLDER in json.dumps(newest["spec"])


def test_a_wiped_status_reads_the_record_back_from_the_attempt() -> None:
    life = brings(begun()).running()
    before = life.owner.status.sources
    job = attempts(life)[0]["metadata"]["uid"]
    life.wipe_status()
    assert life.owner.status.sources == before
    assert [one["metadata"]["uid"] for one in attempts(life)] == [job]
    assert errands(life) == []


def test_a_failed_try_says_why_and_another_follows() -> None:
    life = begun()
    life.world.end(fetcher(life), 73, json.dumps({"result": "Full", "message": "it takes 31 GiB, and 2 GiB are free"}))
    life.turn()
    assert life.told == ("Reconciling", Reason.CLAIM_FULL)
    assert "it takes 31 GiB, and 2 GiB are free" in life.message
    assert Reason.CLAIM_FULL in life.event_reasons()
    brings(life.later(11))
    assert len(attempts(life)) == 1


def test_a_source_that_is_not_there_is_for_a_person_to_edit() -> None:
    life = begun()
    life.world.end(fetcher(life), 64, json.dumps({"result": "Invalid", "message": "there is no such branch"}))
    assert life.turn().told == ("Stalled", Reason.SOURCE_NOT_FOUND)


def test_without_its_claim_it_waits_and_makes_no_job() -> None:
    life = Life().begin(model=MODEL)
    assert life.told == ("Reconciling", Reason.WAITING_FOR_CLAIM)
    assert life.cluster.all(JOB) == []


def test_a_suspended_training_fetches_nothing() -> None:
    life = begun(suspend=True)
    assert errands(life) == []
    assert life.told[1] == Reason.SUSPENDED


@pytest.mark.parametrize("phase", ["Complete", "Nonsense"])
def test_a_forged_record_is_not_believed(phase: str) -> None:
    life = begun()
    (recorded,) = life.owner.status.sources
    forged = {**recorded.to_wire(), "phase": phase, "subPath": "private/of/others"}
    life.cluster.edit(life.operator.kind.resource, NAMESPACE, "t", lambda live: live["status"].update(sources=[forged]))
    life.turn()
    assert attempts(life) == []
    assert life.told == ("Reconciling", Reason.FETCHING)


def test_the_pod_that_fetches_is_no_worker_whatever_somebody_labels_it() -> None:
    life = begun()
    labels = {"deepseek-operator.io/attempt": "1"}
    name = fetcher(life)["metadata"]["name"]
    life.cluster.edit(POD, NAMESPACE, name, lambda live: live["metadata"]["labels"].update(labels))
    brings(life.turn())
    assert len(attempts(life)) == 1


def test_how_far_it_is_is_told() -> None:
    life = begun().running()
    said = {"done": 1 << 20, "total": 4 << 20, "bytesPerSecond": float(1 << 20), "etaSeconds": 3.0}
    life.operator.progress.answers[fetcher(life)["metadata"]["name"]] = {"formatVersion": 1, "fetch": said}
    life.later(31)
    assert ": 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 3 s left" in life.message


DATA = "hf://datasets/openai/gsm8k@main/main/train-*.parquet"
DATA_FOLDER = f"sources/hf/datasets--openai--gsm8k/{COMMIT}-0123456789ab"
OBJECT = "s3://corpora/2026/heldout.jsonl"
OBJECT_FOLDER = "sources/s3/corpora--2026/7e57"


def data(uri: str, **more: Any) -> dict[str, Any]:
    return {"source": {"uri": uri, "claimName": "corpora", "credentials": "hub"}, **more}


def with_data(*datasets: dict[str, Any], **spec: Any) -> Life:
    life = Life()
    for name in ("models", "corpora"):
        life.cluster.put(claim(name))
    return life.begin(datasets=list(datasets), **spec)


def fetchers(life: Life) -> dict[str, Stored]:
    """Pods that fetch, by what they fetch."""
    pods = [pod for pod in life.cluster.all(POD, NAMESPACE) if "-fetch-" in pod["metadata"]["name"]]
    return {told(pod, "DEEPSEEK_SOURCE_URI"): pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")}


def told(pod: Stored, name: str) -> str:
    return next(str(v["value"]) for v in pod["spec"]["containers"][0]["env"] if v["name"] == name)


def comes(life: Life, uri: str, folder: str, **more: Any) -> Life:
    brought = {"folder": folder, "revision": COMMIT, "digest": DIGEST, "bytes": 31, **more}
    life.world.end(fetchers(life)[uri], 0, json.dumps({"formatVersion": 1, "result": "Complete", "source": brought}))
    return life.turn()


def learnt(life: Life) -> list[dict[str, Any]]:
    """The datasets as the trainer is told of them."""
    (job,) = attempts(life)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    text = next(v["value"] for v in container["env"] if v["name"] == "DEEPSEEK_TRAINING_SPEC")
    return list(json.loads(text.replace("$$", "$"))["datasets"])


FILE = "https://artifacts.example.org/corpora/a.jsonl"
FILE_FOLDER = "sources/web/artifacts.example.org--corpora/7e57"
ALLOWED = Configuration(web=WebAccess.of(["https://artifacts.example.org/corpora"]))


def test_a_file_of_the_web_is_fetched_and_learnt_where_the_administrator_allows_it() -> None:
    life = Life(ALLOWED)
    life.cluster.put(claim("corpora"))
    life.begin(datasets=[data(FILE)])
    (pod,) = fetchers(life).values()
    environment = pod["spec"]["containers"][0]["env"]
    assert environment[-1] == {
        "name": "DEEPSEEK_SOURCE_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}},
    }
    assert told(pod, "DEEPSEEK_SOURCE_ALLOWED") == "https://artifacts.example.org/corpora"
    comes(life, FILE, FILE_FOLDER)
    assert learnt(life)[0]["source"]["uri"] == f"pvc://corpora/{FILE_FOLDER}/a.jsonl"
    assert FILE_FOLDER in json.dumps(attempts(life)[0]["spec"])


@pytest.mark.parametrize(
    "what", [{"datasets": [data(FILE)]}, {"model": {"source": {"uri": "https://b.org/m/", "claimName": "models"}}}]
)
def test_nothing_is_fetched_from_where_nobody_allows_it(what: dict[str, Any]) -> None:
    life = Life()
    for name in ("models", "corpora"):
        life.cluster.put(claim(name))
    life.begin(**what)
    assert life.told == ("Stalled", Reason.SOURCE_NOT_ALLOWED)
    assert "an administrator must add it, or a folder that it lies in, to sources.web.allowed" in life.message
    assert Reason.SOURCE_NOT_ALLOWED in life.event_reasons()
    assert life.cluster.all(JOB, NAMESPACE) == []
    assert life.owner.status.sources == []


def test_what_is_allowed_later_begins_then_and_what_came_is_learnt_when_it_no_longer_is() -> None:
    life = Life()
    life.cluster.put(claim("corpora"))
    life.begin(datasets=[data(FILE)])
    life.restart(ALLOWED).turn()
    assert life.told == ("Reconciling", Reason.FETCHING)
    life.restart(Configuration()).turn()
    assert list(fetchers(life)) == [FILE], "what runs when a permission is taken away runs on"
    assert life.told == ("Reconciling", Reason.FETCHING)
    comes(life, FILE, FILE_FOLDER)
    assert len(attempts(life)) == 1


def test_no_other_try_follows_once_it_is_no_longer_allowed() -> None:
    life = Life(ALLOWED)
    life.cluster.put(claim("corpora"))
    life.begin(datasets=[data(FILE)])
    life.world.end(fetchers(life)[FILE], 69, json.dumps({"result": "Failed", "message": "it answers 503"}))
    life.turn().restart(Configuration()).later(60)
    assert fetchers(life) == {}
    assert life.told == ("Stalled", Reason.SOURCE_NOT_ALLOWED)
    assert [one.attempt for one in life.owner.status.sources] == [1], "nor is one recorded"
    life.restart(ALLOWED).turn()
    assert list(fetchers(life)) == [FILE]


def test_a_redirect_to_where_nobody_allows_it_is_for_a_person_and_tried_again() -> None:
    life = Life(ALLOWED)
    life.cluster.put(claim("corpora"))
    life.begin(datasets=[data(FILE)])
    why = "a sends its readers elsewhere, and https://b/w is not allowed"
    life.world.end(fetchers(life)[FILE], 78, json.dumps({"result": "Failed", "message": why}))
    assert life.turn().told == ("Stalled", Reason.SOURCE_NOT_ALLOWED)
    assert why in life.message
    assert list(fetchers(life.later(60))) == [FILE]


def test_data_and_model_are_fetched_side_by_side_and_the_attempt_begins_once_all_are_there() -> None:
    life = with_data(data(DATA), data(OBJECT, split="Heldout"), model=MODEL)
    assert {uri: told(pod, "DEEPSEEK_SOURCE_WANT") for uri, pod in fetchers(life).items()} == {
        URI: "Model", DATA: "Data", OBJECT: "Data"}  # fmt: skip
    comes(life, URI, FOLDER)
    comes(life, OBJECT, OBJECT_FOLDER, revision="7e57")
    assert attempts(life) == []
    assert life.told == ("Reconciling", Reason.FETCHING)
    assert DATA in life.message
    comes(life, DATA, DATA_FOLDER)
    assert [one["source"]["path"] for one in learnt(life)] == [
        f"/datasets/0/{DATA_FOLDER}/main/train-*.parquet",
        f"/datasets/1/{OBJECT_FOLDER}/heldout.jsonl",
    ]
    (job,) = attempts(life)
    assert "hub" not in json.dumps(job["spec"]["template"]["spec"]["volumes"])
    assert "secretKeyRef" not in json.dumps(job["spec"])
    assert {"name": "claim-0", "mountPath": "/datasets/0", "readOnly": True} in (
        job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    )
    assert errands(life) == []
    assert life.running().told == ("Ready", Reason.RUNNING)


def test_what_two_datasets_name_is_fetched_once() -> None:
    life = with_data(data(DATA), data(DATA, split="Heldout"))
    assert list(fetchers(life)) == [DATA]
    comes(life, DATA, DATA_FOLDER)
    first, second = (one["source"]["path"].split("/", 3)[3] for one in learnt(life))
    assert first == second


def test_the_commit_of_the_data_is_part_of_what_can_not_change() -> None:
    digests = []
    for commit in ("1" * 40, "2" * 40):
        life = comes(with_data(data(DATA)), DATA, f"sources/hf/datasets--openai--gsm8k/{commit}-0123456789ab")
        digests.append(life.owner.status.fixed_digest)
    assert len(set(digests)) == 2


def test_data_is_not_asked_for_again_after_a_crash_nor_by_a_wiped_status() -> None:
    life = comes(with_data(data(DATA)), DATA, DATA_FOLDER).running()
    before = life.owner.status.sources
    life.wipe_status()
    assert life.owner.status.sources == before
    life.crash().later(11)
    assert errands(life) == []
    newest = max(attempts(life), key=lambda job: str(job["metadata"]["name"]))
    assert DATA_FOLDER in json.dumps(newest["spec"])


@pytest.mark.parametrize("folder", ["sources/hf/openai--gsm8k/1", "sources/s3/other/1", f"{DATA_FOLDER}/.."])
def test_a_folder_of_another_source_is_not_mounted(folder: str) -> None:
    life = comes(with_data(data(DATA)), DATA, folder)
    assert attempts(life) == []
    assert life.told == ("Reconciling", Reason.FETCH_FAILED)


def test_pods_that_fetch_take_turns_in_telling_how_far_they_are() -> None:
    life = with_data(data(DATA), data(OBJECT, split="Heldout")).running()
    for number, uri in enumerate((DATA, OBJECT), start=1):
        fetch = {"done": number << 20, "total": 4 << 20}
        life.operator.progress.answers[fetchers(life)[uri]["metadata"]["name"]] = {"formatVersion": 1, "fetch": fetch}
    for _ in range(4):
        life.later(31)
    assert {one.uri: one.progress for one in life.owner.status.sources} == {
        DATA: "1.0 MiB of 4.0 MiB", OBJECT: "2.0 MiB of 4.0 MiB"}  # fmt: skip


def test_what_only_the_built_in_trainer_reads_is_refused_before_it_is_fetched() -> None:
    trainer = {"type": "ms-swift", "image": "team/swift:1"}
    accelerator = {"profile": "nvidia-h100-80"}
    model = {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/qwen"}}
    life = with_data(data(DATA), model=model, trainer=trainer, accelerator=accelerator)
    assert life.told[0] == "Stalled"
    assert "reads patterns" in life.message
    assert fetchers(life) == {}
