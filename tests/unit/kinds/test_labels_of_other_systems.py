"""Labels of a resource by which other systems know it reach the objects that such systems look at."""

import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.names import HANDED_ON
from deepseek_operator.core.resources import DEPLOYMENT, JOB
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE
from tests.support.trainings import Life, claim, training

LABELS = dict.fromkeys(HANDED_ON, "a")
OTHERS = {"team": "b", "deepseek-operator.io/owner-uid": "stolen", "argocd.argoproj.io/instance": "app"}


def test_a_job_carries_the_labels_of_known_systems_and_no_others() -> None:
    life = Life()
    life.cluster.put(claim("corpora"))
    manifest = training()
    life.cluster.put({**manifest, "metadata": {**manifest["metadata"], "labels": {**LABELS, **OTHERS}}})
    life.operator.settle()
    (job,) = life.cluster.all(JOB)
    labels = job["metadata"]["labels"]
    assert LABELS.items() <= labels.items()
    assert "stolen" not in labels.values()
    assert not {"team", "argocd.argoproj.io/instance"} & labels.keys()
    # A queue's label on the pods as well would have each of them admitted alone.
    assert not LABELS.keys() & job["spec"]["template"]["metadata"]["labels"].keys()


def test_a_deployment_carries_them_and_no_pod_restarts_for_it() -> None:
    life = ServingLife()
    before = life.deployment()["spec"]["template"]
    life.cluster.edit(SERVING, NAMESPACE, "chat", lambda live: live["metadata"].update(labels={**LABELS, **OTHERS}))
    life.operator.settle()
    (deployment,) = life.cluster.all(DEPLOYMENT)
    assert LABELS.items() <= deployment["metadata"]["labels"].items()
    assert deployment["spec"]["template"] == before


@pytest.mark.parametrize("kind", [TRAINING, SERVING], ids=lambda kind: kind.kind)
def test_without_such_labels_nothing_is_added(kind: object) -> None:
    if kind is TRAINING:
        life = Life()
        life.cluster.put(claim("corpora"))
        life.cluster.put(training())
        life.operator.settle()
        (made,) = life.cluster.all(JOB)
    else:
        made = ServingLife().deployment()
    assert not LABELS.keys() & made["metadata"]["labels"].keys()
