"""The operator's page as Prometheus' own checker reads it: form, names, units."""

import asyncio

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.controller.told import Told
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.kinds.registry import KINDS
from tests.support.observed import a_told_serving, a_told_training
from tests.support.promtool import promtool
from tests.support.world import StoppedClock


def page() -> str:
    """All that one process tells, with an object of every kind."""
    mirror = Mirror()
    for number, (resource, stored) in enumerate([(TRAINING, a_told_training()), (SERVING, a_told_serving())]):
        stored["metadata"] |= {"uid": str(number), "resourceVersion": str(number)}
        mirror.observe(resource, stored)
    told = Told(mirror, KINDS, Configuration(), StoppedClock(), lambda: True)
    metrics = Metrics()
    metrics.passed("DeepSeekTraining", "success", 0.1)
    metrics.requested("get", "pods", "200", 0.1)
    return (metrics.exposition() + asyncio.run(told.exposition())).decode()


def test_the_checker_finds_nothing_to_say_of_what_the_operator_tells() -> None:
    text = page()
    assert {metric.name for entry in KINDS for metric in entry.metrics if metric.name + "{" not in text} == {
        "deepseek_operator_training_checkpoint_interval_steps",
    }
    code, said = promtool("check", "metrics", given=text)
    assert (code, said) == (0, "")


def test_a_name_against_the_rules_would_be_found() -> None:
    code, said = promtool(
        "check", "metrics", given="# HELP a_count_total x\n# TYPE a_count_total gauge\na_count_total 1\n"
    )
    assert code, said
