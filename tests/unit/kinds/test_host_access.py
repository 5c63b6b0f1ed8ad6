"""Pods that reach their node: found by what is rendered, refused in both kinds until an administrator allows it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from deepseek_operator.adapters.memory import MemoryCluster
from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.core.conditions import find
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.host_access import HostAccess
from deepseek_operator.core.resources import DEPLOYMENT, Manifest
from deepseek_operator.domain.devices.profiles import BUILT_IN, HostMount, PodPatch, Profile, Profiles
from deepseek_operator.kinds.serving import devices as serving_devices
from deepseek_operator.kinds.serving.template import render
from deepseek_operator.kinds.training import devices as training_devices
from deepseek_operator.kinds.training import training_kind
from deepseek_operator.kinds.training.children import first_children
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.reasons import HOST_ACCESS_NOT_ALLOWED
from tests.support.host_access import EVERYWHERE
from tests.support.serving_life import ServingLife
from tests.support.servings import NAMESPACE, a_serving
from tests.support.shell import Operator
from tests.support.trainings import Life, training

PATCHES = {
    "network": PodPatch(host_network=True),
    "ipc": PodPatch(host_ipc=True),
    "privileged": PodPatch(privileged=True),
    "capability": PodPatch(capabilities=("NET_ADMIN",)),
    "device": PodPatch(host_mounts=(HostMount("fuse", "/dev/fuse", "/dev/fuse", read_only=False),)),
    "folder": PodPatch(host_mounts=(HostMount("etc", "/etc", "/host"),)),
    "unconfined": PodPatch(annotations=(("container.apparmor.security.beta.kubernetes.io/trainer", "unconfined"),)),
    "harmless": PodPatch(annotations=(("example.com/rail", "0"),), runtime_class="nvidia", scheduler="own"),
}


def _named(name: str, patch: PodPatch) -> Profile:
    base = BUILT_IN.by_name["nvidia-h100-80"]
    return replace(base, accelerator=replace(base.accelerator, name=name), pod_patch=patch)


PROFILES = BUILT_IN.overridden(_named(f"lab-{name}", patch) for name, patch in PATCHES.items())


def _training(profile: str) -> DeepSeekTraining:
    trainer = {"type": "custom", "image": "team/trainer:1", "command": ["/train"], "resources": {"memory": "1Ti"}}
    manifest = training(accelerator={"profile": profile, "perNode": 1}, nodes={"count": 2}, trainer=trainer)
    manifest["metadata"].update(namespace=NAMESPACE, uid="11111111-2222-4333-8444-555555555555")
    return DeepSeekTraining.model_validate(manifest)


def _serving(profile: str) -> DeepSeekServing:
    engine = {"type": "custom", "image": "team/engine:1", "command": ["/serve"], "resources": {"memory": "1Ti"}}
    manifest = a_serving(accelerator={"profile": profile, "perNode": 1}, engine=engine)
    manifest["metadata"]["namespace"] = NAMESPACE
    return DeepSeekServing.model_validate(manifest)


def _trained(profile: str, configuration: Configuration) -> tuple[str, Manifest | None]:
    """Why the pods are refused, and their template where they are not."""
    owner = _training(profile)
    plan = training_devices.planned(owner, configuration)
    assert plan is not None
    if plan.refused:
        return plan.refused, None
    return "", first_children(owner, configuration)[-1]["spec"]["template"]


def _served(profile: str, configuration: Configuration) -> tuple[str, Manifest | None]:
    owner = _serving(profile)
    plan = serving_devices.planned(owner, configuration)
    assert plan is not None
    if plan.refused:
        return plan.refused, None
    owner = owner.model_copy(update={"status": owner.status.model_copy(update={"plan": plan})})
    return "", render(owner, "r", ResolvedModel(reference="r", claim_name="models", sub_path="m"), configuration)


@pytest.mark.parametrize("made", [_trained, _served])
def test_no_pod_of_any_profile_reaches_its_node_without_leave(made: Any) -> None:
    found = {name: made(name, Configuration(profiles=PROFILES, host_access=EVERYWHERE)) for name in PROFILES.names()}
    reaching = {name for name, (_, template) in found.items() if template is not None and asked(template)}
    assert {refusal for refusal, _ in found.values()} == {""}
    assert reaching >= {"intel-gaudi3-128", "huawei-ascend910c-64", "nvidia-h200-141-rdma"}
    assert reaching >= {f"lab-{name}" for name in PATCHES if name != "harmless"}
    assert not reaching & {"lab-harmless", "nvidia-h200-141", "amd-mi300x-192", "cpu"}
    elsewhere = HostAccess({"other": frozenset({"*"}), NAMESPACE: frozenset({"no-such"})})
    for host_access in (HostAccess(), elsewhere):
        without = {
            name: made(name, Configuration(profiles=PROFILES, host_access=host_access)) for name in PROFILES.names()
        }
        assert {name for name, (refusal, _) in without.items() if refusal == HOST_ACCESS_NOT_ALLOWED} == reaching
        assert [name for name, (_, template) in without.items() if template is not None and asked(template)] == []


@pytest.mark.parametrize("made", [_trained, _served])
def test_leave_is_by_namespace_and_profile(made: Any) -> None:
    allowed = HostAccess({NAMESPACE: frozenset({"lab-device"}), "*": frozenset({"lab-ipc"})})
    configuration = Configuration(profiles=PROFILES, host_access=allowed)
    refusals = {name: made(f"lab-{name}", configuration)[0] for name in PATCHES}
    assert {name for name, refusal in refusals.items() if not refusal} == {"device", "ipc", "harmless"}


# --- over the life of both kinds ------------------------------------------------------------------------------------

LAB = Profiles({**BUILT_IN.by_name, "lab": _named("lab", PATCHES["network"])})
ALLOWED = Configuration(profiles=LAB, host_access=HostAccess({"*": frozenset({"lab"})}))
FORBIDDEN = replace(ALLOWED, host_access=HostAccess())
OWN = {"type": "custom", "image": "team/trainer:1", "command": ["/train"]}


def _begun(configuration: Configuration) -> Life:
    return Life(configuration).begin(accelerator={"profile": "lab", "perNode": 1}, nodes={"count": 1}, trainer=OWN)


def _under(life: Life, configuration: Configuration) -> Life:
    """The same under an operator of another configuration."""
    life.operator = Operator(training_kind(configuration), life.cluster, life.clock)
    return life.turn()


def test_a_training_says_what_it_lacks_who_can_give_it_and_how_and_starts_once_it_is_given() -> None:
    life = _begun(FORBIDDEN)
    assert life.told == ("Stalled", HOST_ACCESS_NOT_ALLOWED)
    for words in ("hostNetwork", "hostAccess: {", "[lab]", "pod-security.kubernetes.io/enforce", "administrator"):
        assert words in life.message
    assert life.jobs() == []
    assert _under(life, ALLOWED).jobs() == ["1"]


def test_leave_that_is_taken_away_stops_no_attempt_and_lets_no_other_begin() -> None:
    life = _begun(ALLOWED).running()
    assert _under(life, FORBIDDEN).told == ("Ready", "Running")
    life.crash()
    assert life.later(3600).told == ("Stalled", HOST_ACCESS_NOT_ALLOWED)


def _warnings(cluster: MemoryCluster) -> list[str]:
    """Reasons of the warnings that were published, in order."""
    return [event.reason for _, event in cluster.events if event.type == "Warning"]


def _replicas(life: ServingLife) -> Iterator[tuple[bool, int]]:
    """Whether each Deployment's pods reach their node, and how many it asks for."""
    for live in life.cluster.all(DEPLOYMENT, NAMESPACE):
        yield bool(asked(live["spec"]["template"])), live["spec"]["replicas"]


ENGINE = {"type": "custom", "image": "team/engine:1", "command": ["/serve"]}
ON_LAB: dict[str, Any] = {"accelerator": {"profile": "lab", "perNode": 1}, "engine": ENGINE}


def _told(life: ServingLife) -> str:
    condition = find(life.status.conditions, "Stalled")
    return condition.reason if condition is not None and condition.status == "True" else ""


def test_a_serving_makes_nothing_without_leave_and_serves_once_it_is_given() -> None:
    life = ServingLife(configuration=FORBIDDEN, **a_serving(**ON_LAB)["spec"])
    assert (_told(life), list(_replicas(life))) == (HOST_ACCESS_NOT_ALLOWED, [])
    life.upgrade(ALLOWED)
    life.run()
    assert list(_replicas(life)) == [(True, 1)]


def test_what_serves_goes_on_when_leave_is_taken_away_but_neither_comes_back_nor_is_rolled_back_to() -> None:
    life = ServingLife(configuration=ALLOWED, **a_serving(**ON_LAB)["spec"])
    life.run()
    life.upgrade(FORBIDDEN)
    assert (_told(life), list(_replicas(life))) == ("", [(True, 1)])
    life.edit(accelerator=None)
    life.run()
    life.edit(accelerator=ON_LAB["accelerator"])
    assert _told(life) == HOST_ACCESS_NOT_ALLOWED
    assert [count for reaches, count in _replicas(life) if reaches and count] == []


def _said(conditions: Sequence[Condition]) -> tuple[str, bool]:
    """The reason of the condition on what was taken away, and whether it says how it is given back."""
    condition = find(conditions, "HostAccessWithdrawn")
    if condition is None:
        return "", False
    words = ("lab (hostNetwork)", "no longer allowed", "go on", "hostAccess: {", "[lab]", "administrator")
    return condition.reason, all(word in condition.message for word in words)


ELSEWHERE = replace(ALLOWED, host_access=HostAccess({"other": frozenset({"*"}), "*": frozenset({"cpu"})}))


@pytest.mark.parametrize("forbidden", [FORBIDDEN, ELSEWHERE])
def test_an_attempt_that_runs_without_leave_says_so_until_it_is_given_back(forbidden: Configuration) -> None:
    life = _begun(ALLOWED).running()
    assert _said(life.owner.status.conditions) == ("", False)
    told = len(_warnings(life.cluster))
    assert _said(_under(life, forbidden).owner.status.conditions) == (HOST_ACCESS_NOT_ALLOWED, True)
    life.later(600)
    assert _warnings(life.cluster)[told:] == [HOST_ACCESS_NOT_ALLOWED]
    assert (life.jobs(), _said(_under(life, ALLOWED).owner.status.conditions)) == (["1"], ("", False))
    _under(life, forbidden).crash()
    life.later(3600)
    assert (life.told, _said(life.owner.status.conditions)) == (("Stalled", HOST_ACCESS_NOT_ALLOWED), ("", False))


@pytest.mark.parametrize("forbidden", [FORBIDDEN, ELSEWHERE])
def test_replicas_that_run_without_leave_say_so_until_it_is_given_back(forbidden: Configuration) -> None:
    life = ServingLife(configuration=ALLOWED, **a_serving(**ON_LAB)["spec"])
    life.run()
    assert _said(life.status.conditions) == ("", False)
    told = len(_warnings(life.cluster))
    life.upgrade(forbidden)
    assert (_said(life.status.conditions), list(_replicas(life))) == ((HOST_ACCESS_NOT_ALLOWED, True), [(True, 1)])
    life.run()
    assert _warnings(life.cluster)[told:] == [HOST_ACCESS_NOT_ALLOWED]
    life.upgrade(ALLOWED)
    assert _said(life.status.conditions) == ("", False)
    life.upgrade(forbidden)
    life.edit(suspend=True)
    life.run()
    assert _said(life.status.conditions) == ("", False)


def test_a_revision_that_runs_without_leave_beside_the_wanted_one_says_so() -> None:
    life = ServingLife(configuration=ALLOWED, **a_serving(**ON_LAB)["spec"])
    life.run()
    life.upgrade(FORBIDDEN)
    life.edit(accelerator={"profile": "nosuch", "perNode": 1})
    assert (_told(life), _said(life.status.conditions)) == ("UnknownProfile", (HOST_ACCESS_NOT_ALLOWED, True))


def test_what_reaches_no_node_or_is_over_says_nothing() -> None:
    over = _under(_begun(ALLOWED).running().complete(), FORBIDDEN).later(600)
    assert (over.jobs(), _said(over.owner.status.conditions)) == (["1"], ("", False))
    life = ServingLife(configuration=ALLOWED, **a_serving(engine=ENGINE)["spec"])
    life.run()
    life.upgrade(FORBIDDEN)
    assert _said(life.status.conditions) == ("", False)


def test_a_serving_that_rested_when_leave_was_taken_away_does_not_wake() -> None:
    life = ServingLife(configuration=ALLOWED, **a_serving(**ON_LAB)["spec"])
    life.run()
    life.edit(suspend=True)
    life.run()
    life.upgrade(FORBIDDEN)
    life.edit(suspend=False)
    assert _told(life) == HOST_ACCESS_NOT_ALLOWED
    assert [count for reaches, count in _replicas(life) if reaches and count] == []
