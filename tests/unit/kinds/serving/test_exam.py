"""A canary that is judged by an exam: one Job for each revision and step, whose mark decides, and which decides nothing else."""

import json
from typing import Any

import pytest

from deepseek_operator.adapters.memory import Stored
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import JOB, POD, SERVICE
from deepseek_operator.kinds.serving.events import events
from deepseek_operator.kinds.serving.running import living_pods
from deepseek_operator.kinds.serving.verbs import PROMOTE
from deepseek_operator.ports.cluster import QuotaExceeded
from tests.support.serving_life import ExaminedLife, ServingLife
from tests.support.servings import NAMESPACE

BAKE_S, INTERVAL_S = 180, 60
HELDOUT = "pvc://corpora/heldout.jsonl"
LEAST: dict[str, Any] = {"type": "Accuracy", "data": HELDOUT, "min": "0.9", "samples": 50}
BESIDE: dict[str, Any] = {"type": "Accuracy", "data": HELDOUT, "maxDrop": "0.02", "samples": 50}


class Examined(ExaminedLife):
    """Two replicas of a first version, and a second one that is asked for and examined."""

    def __init__(self, *metrics: dict[str, Any], steps: int = 1, **canary: Any) -> None:
        analysis = {"intervalSeconds": INTERVAL_S, "failureLimit": 2, "metrics": list(metrics or (LEAST,))}
        step = {"weight": 50, "bakeSeconds": BAKE_S, "analysis": analysis}
        super().__init__(replicas=2, rollout={"canary": {"steps": [step] * steps, **canary}})
        self.run()
        self.first = self.status.stable
        self.edit(engine={"maxConcurrency": 8})
        self.run()

    def jobs(self) -> list[Stored]:
        return self.cluster.all(JOB, NAMESPACE)

    def examiner(self, revision: str) -> Stored:
        """The pod that examines that revision now."""
        return next(
            pod
            for pod in self.cluster.all(POD, NAMESPACE)
            if pod["metadata"]["labels"].get("deepseek-operator.io/role") == "examiner"
            and f"-{revision}.team.svc" in variables(pod["spec"])["DEEPSEEK_EXAM_URL"]
            and pod["status"]["phase"] in ("Pending", "Running")
        )

    def marks(self, revision: str, accuracy: object, answered: object = 50) -> None:
        """The exam of that revision is over, and left these marks."""
        metrics = {"accuracy": accuracy, "samples": answered}
        said = {"formatVersion": 1, "result": "Complete", "message": "over", "metrics": metrics}
        self.world.end(self.examiner(revision), 0, json.dumps(said))
        self.run()

    @property
    def second(self) -> str:
        assert self.status.canary is not None
        return self.status.canary.target

    def at(self) -> tuple[str, int]:
        assert self.status.canary is not None
        return self.status.canary.phase, self.status.canary.step

    def exams(self) -> list[tuple[str, str, int]]:
        assert self.status.canary is not None
        return [(one.revision, one.phase, one.attempt) for one in self.status.canary.exams]

    def judged(self) -> tuple[str, str]:
        """The last verdict, and its words."""
        assert self.status.canary is not None
        of = self.status.canary.analysis
        return (of.verdict, of.metrics[-1].message) if of is not None else ("", "")

    def made(self) -> list[str]:
        """Names of all exams' Jobs that were ever made, in order."""
        return [c.manifest["metadata"]["name"] for c in self.changes if c.resource == JOB and c.type == "ADDED"]

    def told(self) -> list[str]:
        manifests = [change.manifest for change in self.changes if change.resource == SERVING]
        states = [self.operator.kind.parse(manifest).status for manifest in manifests]
        return [one.reason for was, now in zip(states, states[1:], strict=False) for one in events(was, now)]  # noqa: RUF007


def variables(spec: Stored) -> dict[str, str]:
    (container,) = spec["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def test_one_job_asks_the_new_version_at_its_own_service_and_has_no_more_rights_than_others() -> None:
    life = Examined()
    (job,) = life.jobs()
    spec = job["spec"]["template"]["spec"]
    assert variables(spec) == {
        "DEEPSEEK_EXAM_URL": f"http://chat-serve-{life.second}.team.svc:8000",
        "DEEPSEEK_SERVED_MODEL_NAME": "chat",
        "DEEPSEEK_EXAM_DATA": "/data/heldout.jsonl",
        "DEEPSEEK_EXAM_SAMPLES": "50",
    }
    (container,) = spec["containers"]
    assert container["image"] == Configuration().runtime_image
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "corpora", "readOnly": True}}]
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 1800)
    assert json.loads(job["metadata"]["annotations"]["deepseek-operator.io/exam"]) == {
        "run": 1, "step": 1, "revision": life.second, "attempt": 1}  # fmt: skip


def test_its_pod_is_no_replica() -> None:
    life = Examined()
    pod = life.examiner(life.second)
    for service in life.cluster.all(SERVICE, NAMESPACE):
        assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert life.status.ready_replicas == 3
    assert sum(one.replicas for one in (*life.status.previous, life.status.current) if one is not None) == 3


def test_its_pod_is_no_replica_whatever_somebody_labels_it() -> None:
    life = Examined()
    pod = life.examiner(life.second)
    labels = {"deepseek-operator.io/revision": life.second}
    life.cluster.edit(POD, NAMESPACE, pod["metadata"]["name"], lambda live: live["metadata"]["labels"].update(labels))
    life.operator.settle()
    assert pod["metadata"]["name"] not in [one["metadata"]["name"] for one in living_pods(life.look())]


def test_a_good_mark_lets_it_go_on_and_is_told_with_its_numbers() -> None:
    life = Examined()
    life.marks(life.second, 0.96)
    assert life.exams() == [(life.second, "Complete", 1)]
    life.after(INTERVAL_S)
    assert life.judged() == ("Pass", "Accuracy 0.96, at least 0.9, of 50 prompts")
    life.after(BAKE_S - INTERVAL_S)
    assert life.at() == ("Completed", 1)
    assert life.operator.store.asked == [], "an exam alone asks nothing of a metrics store"


def test_a_bad_mark_goes_back_within_its_failures() -> None:
    life = Examined()
    life.marks(life.second, 0.5)
    life.after(INTERVAL_S)
    assert (life.at(), life.judged()[0]) == (("Baking", 1), "Fail")
    life.after(INTERVAL_S)
    assert life.at() == ("RolledBack", 1)
    assert life.status.canary is not None
    assert "Accuracy 0.5, at least 0.9, of 50 prompts" in life.status.canary.message
    assert life.jobs() == [], "nothing is left of its exam"
    assert len(life.made()) == 1


@pytest.mark.parametrize(
    ("mark", "verdict", "words"),
    [
        (0.93, "Pass", "Accuracy 0.93, at least 0.93 (0.02 below stable's 0.95), of 50 prompts"),
        (0.92, "Fail", "Accuracy 0.92, at least 0.93 (0.02 below stable's 0.95), of 50 prompts"),
    ],
)
def test_beside_the_stable_version_both_are_examined(mark: float, verdict: str, words: str) -> None:
    life = Examined(BESIDE)
    assert sorted(revision for revision, _, _ in life.exams()) == sorted((life.first, life.second))
    life.marks(life.second, mark)
    life.after(INTERVAL_S)
    assert life.judged()[0] == "Inconclusive"
    assert f"the exam of revision {life.first} goes on" in life.judged()[1]
    life.marks(life.first, 0.95)
    life.after(INTERVAL_S)
    assert life.judged() == (verdict, words)


def test_two_limits_of_one_thing_are_one_exam() -> None:
    life = Examined(LEAST, BESIDE)
    assert len(life.jobs()) == 2


def test_without_its_mark_a_step_does_not_go_on_and_is_not_held_while_the_exam_goes_on() -> None:
    life = Examined()
    for _ in range(BAKE_S // INTERVAL_S + 2):
        life.after(INTERVAL_S)
    assert (life.at(), life.judged()[0]) == (("Baking", 1), "Inconclusive")
    life.marks(life.second, 0.9)
    assert life.at() == ("Baking", 1)
    life.after(INTERVAL_S)
    assert life.at() == ("Completed", 1)
    assert "CanaryHeld" not in life.told()


def test_an_exam_that_never_ends_holds_it_after_the_time_for_replicas() -> None:
    life = Examined(stallSeconds=60)
    for _ in range((BAKE_S + 60) // INTERVAL_S + 1):
        life.after(INTERVAL_S)
    assert life.at() == ("Held", 1)
    assert "CanaryRolledBack" not in life.told()


@pytest.mark.parametrize(
    "ends",
    [
        lambda life, pod: (life.world.evict(pod), life.world.end(pod, 143)),
        lambda life, pod: life.world.end(pod, 1, "the server was gone"),
        lambda life, pod: life.world.end(pod, 0, "no document"),
        lambda life, pod: life.world.end(pod, 137, "", "OOMKilled"),
        lambda life, pod: life.cluster.remove(JOB, NAMESPACE, life.made()[-1], "Background"),
    ],
    ids=["evicted", "failed", "without a mark", "killed", "its Job deleted"],
)
def test_an_exam_that_fails_says_nothing_of_the_version_and_is_tried_again_five_times(ends: Any) -> None:
    life = Examined()
    for attempt in range(1, 6):
        assert life.exams() == [(life.second, "Running", attempt)]
        ends(life, life.examiner(life.second))
        life.run()
        assert life.exams() == [(life.second, "BackingOff" if attempt < 5 else "Failed", attempt)]
        life.after(10 * 2 ** (attempt - 1) + 1)
    for _ in range(BAKE_S // INTERVAL_S + 1):
        life.after(INTERVAL_S)
    assert (life.at(), life.judged()[0]) == (("Held", 1), "Inconclusive")
    assert "left no mark" in life.judged()[1]
    assert len(life.made()) == len(set(life.made())) == 5
    assert "CanaryRolledBack" not in life.told()


def test_what_no_other_try_cures_is_not_tried_again() -> None:
    life = Examined()
    life.world.end(life.examiner(life.second), 64, json.dumps({"message": "DEEPSEEK_EXAM_DATA holds no pair"}))
    life.run()
    assert life.exams() == [(life.second, "Failed", 1)]
    life.after(INTERVAL_S)
    assert "DEEPSEEK_EXAM_DATA holds no pair" in life.judged()[1]


@pytest.mark.parametrize(
    ("accuracy", "answered"),
    [(1.5, 50), (-0.1, 50), ("0.9", 50), (None, 50), (True, 50), (0.9, 0), (0.9, 51), (0.9, None), (10**400, 50)],
)
def test_a_mark_that_can_not_be_is_none(accuracy: object, answered: object) -> None:
    life = Examined()
    life.marks(life.second, accuracy, answered)
    assert life.exams() == [(life.second, "BackingOff", 1)]


def test_each_step_has_an_exam_of_its_own_and_the_one_before_is_gone() -> None:
    life = Examined(steps=2)
    life.marks(life.second, 0.95)
    for _ in range(BAKE_S // INTERVAL_S):
        life.after(INTERVAL_S)
    assert life.at() == ("Baking", 2)
    (job,) = life.jobs()
    assert (life.made()[1], len(life.made())) == (job["metadata"]["name"], 2)
    assert life.exams() == [(life.second, "Running", 1)]


def test_another_process_makes_no_second_job_and_loses_no_mark() -> None:
    life = Examined()
    life.operator.restart()
    life.after(1)
    assert len(life.made()) == 1
    life.marks(life.second, 0.95)
    life.operator.restart()
    life.after(INTERVAL_S)
    assert life.judged()[0] == "Pass"
    assert len(life.made()) == 1


def test_a_status_that_was_wiped_finds_the_job_that_there_is() -> None:
    life = Examined()
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["status"]["canary"].update(exams=[]))
    life.after(1)
    assert len(life.made()) == 1
    assert life.exams() == [(life.second, "Running", 1)]


@pytest.mark.parametrize(
    "over",
    [
        lambda life: life.edit(suspend=True),
        lambda life: life.edit(engine={"maxConcurrency": 4}),
        lambda life: life.edit(engine={"maxConcurrency": 16}),
        lambda life: annotated(life, PROMOTE, f"{life.second}/1"),
    ],
    ids=["suspended", "taken back", "superseded", "promoted"],
)
def test_a_run_that_is_over_leaves_no_job(over: Any) -> None:
    life = Examined()
    before = {job["metadata"]["uid"] for job in life.jobs()}
    over(life)
    life.operator.settle()
    assert before.isdisjoint(job["metadata"]["uid"] for job in life.jobs())


def annotated(life: ServingLife, key: str, value: str) -> None:
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(annotations={key: value}))


def test_after_a_pause_of_everything_it_is_examined_anew() -> None:
    life = Examined()
    life.edit(suspend=True)
    life.run()
    life.edit(suspend=False)
    life.run()
    assert life.at() == ("Baking", 1)
    assert life.exams() == [(life.second, "Running", 1)]
    assert len(life.jobs()) == 1


def test_a_quota_that_refuses_the_job_is_told() -> None:
    words = 'jobs.batch "x" is forbidden: exceeded quota: jobs, requested: count/jobs.batch=1'
    life = ServingLife(replicas=1, rollout={"canary": {"steps": [{"weight": 50, "analysis": {"metrics": [LEAST]}}]}})
    life.run()
    refused = QuotaExceeded(words)
    life.cluster.refuse = lambda verb, namespace, ref: refused if (verb, ref.resource) == ("create", JOB) else None
    life.edit(engine={"maxConcurrency": 8})
    life.run()
    assert life.reason("Reconciling") == "WaitingForQuota"
    assert life.status.ready_replicas == 2


def test_whoever_takes_its_labels_away_gets_them_back() -> None:
    life = Examined()
    name = life.made()[0]
    before = life.stored(JOB, name)["metadata"]["labels"]
    life.cluster.edit(JOB, NAMESPACE, name, lambda live: live["metadata"]["labels"].pop("deepseek-operator.io/role"))
    life.operator.settle()
    assert life.stored(JOB, name)["metadata"]["labels"] == before


@pytest.mark.parametrize("mark", ["a lot", "1.5", "nan", "-0.1", "1e400"])
def test_a_mark_that_somebody_wrote_and_can_not_be_is_sat_again(mark: str) -> None:
    life = Examined()

    def forge(live: Stored) -> None:
        live["status"]["canary"]["exams"][0].update(accuracy=mark, phase="Complete", answered=50)

    life.cluster.edit(SERVING, NAMESPACE, "chat", forge)
    life.after(INTERVAL_S)
    assert life.exams() == [(life.second, "Running", 1)]
    assert life.judged()[0] == "Inconclusive"


def test_the_last_words_of_a_run_have_its_marks() -> None:
    life = Examined()
    life.marks(life.second, 1.0)
    life.after(BAKE_S)
    assert life.status.canary is not None
    assert [(one.accuracy, one.answered) for one in life.status.canary.exams] == [("1", 50)]
