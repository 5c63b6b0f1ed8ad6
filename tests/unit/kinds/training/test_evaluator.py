"""The container of a program that measures in an image of its own: what it may read, and what it doesn't have."""

from typing import Any

import pytest

from deepseek_operator.core.resources import JOB
from deepseek_operator.domain.programs.measuring import LOOP
from tests.support.trainings import Life, claim

EVALUATION: dict[str, Any] = {"image": "bleu:1", "command": ["bleu", "--cost=$5", "$(HOME)"]}


def pod_of(**spec: Any) -> dict[str, Any]:
    evaluated = {"hyperparameters": {"maxSteps": 100, "evalEverySteps": 5}, "evaluation": EVALUATION}
    life = Life()
    for name in ("models", "corpora"):
        life.cluster.put(claim(name))
    [job] = life.begin(**{**evaluated, **spec}).cluster.all(JOB)
    rendered: dict[str, Any] = job["spec"]["template"]["spec"]
    return rendered


def test_it_runs_beside_the_trainer_and_ends_with_it() -> None:
    pod = pod_of()
    [sidecar], [trainer] = pod["initContainers"], pod["containers"]
    assert (sidecar["name"], sidecar["image"], sidecar["restartPolicy"]) == ("evaluation", "bleu:1", "Always")
    assert (trainer["name"], pod["restartPolicy"]) == ("trainer", "Never")


def test_its_words_are_those_of_the_user_past_the_kubelet_s_variables() -> None:
    [sidecar] = pod_of()["initContainers"]
    shell, dash_c, loop, *words = sidecar["command"]
    assert (shell, dash_c, loop.replace("$$", "$")) == ("/bin/sh", "-c", LOOP)
    assert words == ["evaluation", "bleu", "--cost=$$5", "$$(HOME)"]


def test_it_reads_what_the_trainer_reads_and_writes_nothing_but_the_folder_that_they_share() -> None:
    pod = pod_of(datasets=[{"source": {"uri": "pvc://corpora/a.jsonl"}}], model={"source": {"uri": "pvc://models/r1"}})
    [sidecar], [trainer] = pod["initContainers"], pod["containers"]
    mounted = {mount["mountPath"]: mount for mount in sidecar["volumeMounts"]}
    assert set(mounted) == {"/checkpoints", "/model", "/datasets/0", "/evaluation"}
    assert {path for path, mount in mounted.items() if not mount.get("readOnly")} == {"/evaluation"}
    of_trainer = {mount["mountPath"]: mount for mount in trainer["volumeMounts"]}
    for path, mount in mounted.items():
        assert (mount["name"], mount.get("subPath")) == (of_trainer[path]["name"], of_trainer[path].get("subPath"))
    assert {"name": "evaluation", "emptyDir": {}} in pod["volumes"]


def test_it_may_do_nothing_and_has_no_devices() -> None:
    model = {"name": "deepseek-r1-distill-qwen-7b", "source": {"uri": "pvc://models/distill"}}
    pod = pod_of(model=model, nodes={}, accelerator={"profile": "nvidia-h100-80"})
    [sidecar], [trainer] = pod["initContainers"], pod["containers"]
    assert "nvidia.com/gpu" in trainer["resources"]["limits"]
    assert sidecar["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert sidecar["resources"] == {}


@pytest.mark.parametrize("evaluation", [None, {"command": ["bleu"]}])
def test_there_is_none_for_a_program_that_runs_in_the_trainer_s(evaluation: dict[str, Any] | None) -> None:
    pod = pod_of(evaluation=evaluation) if evaluation else pod_of(evaluation=None, hyperparameters={"maxSteps": 9})
    assert "initContainers" not in pod
    assert [volume for volume in pod["volumes"] if volume["name"] == "evaluation"] == []
