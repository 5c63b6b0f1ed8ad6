"""What Argo CD shows of both kinds in each of their states, and what its actions write."""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml

from deepseek_operator.api import crd
from deepseek_operator.api.crd import UNSEEN
from deepseek_operator.api.resource import GROUP
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import ServingStatus
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.cli.argocd import actions
from deepseek_operator.cli.verbs import changes
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK
from tests.support.argocd import acted, customization, enabled, health, merge_patch, offered, patched, run
from tests.support.gitops_states import STATES, Canary
from tests.support.kstatus import kstatus
from tests.support.serving_states import STATES as SERVING_STATES
from tests.support.training_states import STATES as TRAINING_STATES
from tests.support.trainings import NAME, NAMESPACE, Life

MEANT = {"InProgress": "Progressing", "Failed": "Degraded", "Current": "Healthy"}
DECIDED_BY_A_PERSON = {"CanaryPaused", "CanaryHeld", "CanaryCompared"}
ENTRIES = {entry.resource.kind: entry for entry in KINDS}


@pytest.fixture(scope="module")
def states() -> Mapping[tuple[str, str], Mapping[str, Any]]:
    return {key: state() for key, state in STATES.items()}


# --- health ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("live", "status", "true"), TRAINING_STATES)
def test_a_training_is_shown_as_it_is_meant(live: Callable[[Life], Any], status: str, true: set[str]) -> None:
    life = Life()
    live(life)
    manifest = life.cluster.read(TRAINING, NAMESPACE, NAME)
    assert manifest is not None
    expected = "Suspended" if "Suspended" in true else MEANT[status]
    shown, message = health(manifest)
    assert shown == expected
    assert message


@pytest.mark.parametrize(("manifest", "status", "ready"), SERVING_STATES)
def test_a_serving_is_shown_as_it_is_meant(manifest: Callable[[], dict[str, Any]], status: str, ready: str) -> None:
    expected = "Suspended" if ready == "Suspended" else MEANT[status]
    assert health(manifest())[0] == expected


@pytest.mark.parametrize(("kind", "name"), STATES)
def test_every_phase_is_shown_as_its_name_says(kind: str, name: str, states: Any) -> None:
    shown, message = health(states[kind, name])
    assert shown.lower() == name.partition("_")[0]
    assert re.fullmatch(r"\w+: .+", message, re.DOTALL)


@pytest.mark.parametrize(("kind", "name"), STATES)
def test_argo_cd_and_kstatus_say_the_same(kind: str, name: str, states: Any) -> None:
    """But for what rests, which is Current, and for a version that waits for a person, which is InProgress."""
    manifest = states[kind, name]
    shown, message = health(manifest)
    if shown == "Suspended":
        is_decided = message.partition(":")[0] in DECIDED_BY_A_PERSON
        assert kstatus(manifest) == ("InProgress" if is_decided else "Current")
    elif not manifest["metadata"].get("deletionTimestamp"):
        assert shown == MEANT[kstatus(manifest)]


@pytest.mark.parametrize(
    ("kind", "model"), [(TRAINING.kind, TrainingStatus), (SERVING.kind, ServingStatus)], ids=["training", "serving"]
)
def test_no_phase_is_left_out(kind: str, model: Any, states: Any) -> None:
    told = re.search("For people: (.+?)\\.", model.model_fields["phase"].description)
    assert told
    found = {manifest["status"]["phase"] for (of, _), manifest in states.items() if of == kind}
    assert found >= set(told[1].split(", ")) - {"Deleting"}, "Argo CD shows what is being deleted by itself"


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("status", [None, {}, UNSEEN, {"observedGeneration": 1}], ids=["none", "empty", "new", "bare"])
def test_what_nobody_has_looked_at_is_on_its_way(kind: str, status: Any) -> None:
    manifest = {"kind": kind, "metadata": {"generation": 1}}
    assert health(manifest if status is None else {**manifest, "status": deepcopy(status)})[0] == "Progressing"


def test_a_state_of_an_earlier_spec_counts_no_more() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Available", "message": "1 of 1"}
    manifest = {
        "kind": SERVING.kind,
        "metadata": {"generation": 2},
        "status": {"observedGeneration": 1, "conditions": [ready]},
    }
    assert health(manifest)[0] == "Progressing"
    manifest["metadata"] = {"generation": 1}
    assert health(manifest) == ("Healthy", "Available: 1 of 1")


def test_a_condition_that_somebody_else_wrote_without_words_is_judged_too() -> None:
    manifest = {"kind": SERVING.kind, "metadata": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    assert health(manifest) == ("Healthy", ": ")


def test_the_reasons_that_wait_for_a_person_are_those_of_the_operator() -> None:
    assert set(re.findall(r"(\w+) = true", customization(SERVING.kind, "health.lua"))) == DECIDED_BY_A_PERSON
    assert ENTRIES[SERVING.kind].reasons.keys() >= DECIDED_BY_A_PERSON


# --- actions -----------------------------------------------------------------------------------------------------

IN_A_RUN = {"promote", "rollback", "suspend"}
ENABLED = {
    "healthy_running": {"suspend"},
    "progressing_pending": {"suspend"},
    "progressing_stopping": {"resume"},
    "healthy_complete": set(),
    "degraded_refused_input": set(),
    "healthy_available": {"suspend"},
    "progressing_canary": {*IN_A_RUN, "pause"},
    "suspended_canary_paused_by_annotation": {*IN_A_RUN, "resume"},
    "suspended_canary_waits_for_a_person": IN_A_RUN,
    "suspended_canary_held": IN_A_RUN,
    "suspended_canary_compared": IN_A_RUN,
    "healthy_canary_completed": {"rollback", "suspend"},
    "degraded_canary_rejected": {"suspend"},
    "healthy_canary_rolled_back_by_annotation": {"follow", "suspend"},
    "healthy_rolled_back_by_name": {"follow", "suspend"},
}


@pytest.mark.parametrize(("kind", "name"), [key for key in STATES if key[1] in ENABLED])
def test_only_what_does_something_can_be_asked_for(kind: str, name: str, states: Any) -> None:
    """A name of both kinds means the same of both."""
    assert enabled(states[kind, name]) == ENABLED[name]


@pytest.mark.parametrize(("kind", "name"), STATES)
def test_every_action_that_is_offered_has_its_script(kind: str, name: str, states: Any) -> None:
    assert set(offered(states[kind, name])) == set(actions(ENTRIES[kind]))


@pytest.mark.parametrize(("kind", "name"), STATES)
def test_an_action_writes_what_the_verb_of_that_name_writes(kind: str, name: str, states: Any) -> None:
    manifest = deepcopy(states[kind, name])
    before = deepcopy(manifest)
    for action in enabled(manifest):
        patch: dict[str, Any] = {}
        for change in changes(ENTRIES[kind], before, action, None, "token"):
            _merge(patch, change)
        told, written = _meant(patch), _meant(merge_patch(before, acted(manifest, action)))
        assert written == told, action
        assert manifest == before, "nothing else of the object is touched"


def _merge(into: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def _meant(patch: dict[str, Any]) -> dict[str, Any]:
    """A patch with the revisions that it names, without what follows a slash; the last annotation goes by any of two forms."""
    if "metadata" not in patch:
        return patch
    values = patch["metadata"]["annotations"] or {"": None}
    named = {key: value.partition("/")[0] for key, value in values.items() if value is not None}
    return {**patch, "metadata": named or "the last annotation goes"}


@pytest.mark.parametrize(("action", "key"), [("resume", PAUSE), ("follow", ROLLBACK)])
def test_an_annotation_goes_alone_and_others_stay(action: str, key: str, states: Any) -> None:
    manifest = deepcopy(states[SERVING.kind, "suspended_canary_paused_by_annotation"])
    manifest["metadata"]["annotations"] = {key: "1", "argocd.argoproj.io/tracking-id": "team:x"}
    patch = merge_patch(manifest, acted(manifest, action))
    assert patch == {"metadata": {"annotations": {key: None}}}
    manifest["metadata"]["annotations"] = {key: "1"}
    assert merge_patch(manifest, acted(manifest, action)) == {"metadata": {"annotations": None}}


def test_one_that_was_paused_and_suspended_goes_on_by_one_action(states: Any) -> None:
    manifest = deepcopy(states[SERVING.kind, "suspended_canary_paused_by_annotation"])
    manifest["spec"]["suspend"] = True
    patch = merge_patch(manifest, acted(manifest, "resume"))
    assert patch == {"spec": {"suspend": False}, "metadata": {"annotations": None}}


def test_the_first_annotation_of_an_object_can_be_an_action_s(states: Any) -> None:
    manifest = deepcopy(states[SERVING.kind, "progressing_canary"])
    tried = manifest["status"]["canary"]
    manifest["metadata"].pop("annotations", None)
    written = {PROMOTE: f"{tried['target']}/1.1", ROLLBACK: f"{tried['stable']}/1", PAUSE: tried["target"]}
    for key, value in written.items():
        patch = merge_patch(manifest, acted(manifest, key.rpartition("/")[2]))
        assert patch == {"metadata": {"annotations": {key: value}}}


def test_to_promote_twice_ends_one_step_and_a_comparison_is_promoted_after_its_last_one() -> None:
    life = Canary(steps=[{"replicas": 1, "bakeSeconds": 60, "pause": True}] * 2, match={"percent": 20})
    life.act("promote")
    assert life.at == ("Baking", 2)
    wish = life.serving()["metadata"]["annotations"]
    life.cluster.edit(SERVING, life.namespace, life.name, lambda live: live["metadata"].update(annotations=wish))
    life.operator.settle()
    assert life.at == ("Baking", 2)
    life.act("promote")
    life.after(130)
    assert life.at == ("Compared", 2)
    life.act("promote")
    assert life.at == ("Completed", 2)


def test_a_second_run_is_promoted_and_rolled_back_by_wishes_of_its_own() -> None:
    life = Canary()
    life.act("promote")
    life.edit(engine={"maxConcurrency": 16})
    life.run()
    assert life.at == ("Baking", 1)
    life.act("promote")
    assert life.at == ("Baking", 2)
    life.act("rollback")
    assert (life.at, life.status.phase) == (("RolledBack", 2), "RolledBack")


def test_no_number_of_a_spec_is_larger_than_lua_keeps() -> None:
    """Lua's numbers are doubles: an action writes the whole object back as it read it."""

    def integers(schema: Any, path: str) -> Any:
        if schema.get("type") == "integer":
            yield path, schema.get("maximum")
        for name, one in (schema.get("properties") or {}).items():
            yield from integers(one, f"{path}.{name}")
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                yield from integers(schema[key], f"{path}[]")

    for definition in KINDS.definitions:
        (text,) = (text for name, text in crd.render([definition]).items())
        schema = yaml.safe_load(text)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert [path for path, most in integers(schema, "spec") if most is None or most > 2**53] == []


# --- what is shipped ---------------------------------------------------------------------------------------------


def test_the_patch_of_the_config_map_says_what_the_files_say() -> None:
    expected: dict[str, Any] = {}
    for kind, entry in ENTRIES.items():
        definitions = [
            {"name": name, "action.lua": customization(kind, f"actions/{name}/action.lua")} for name in actions(entry)
        ]
        discovery = customization(kind, "actions/discovery.lua")
        expected[f"resource.customizations.health.{GROUP}_{kind}"] = customization(kind, "health.lua")
        expected[f"resource.customizations.actions.{GROUP}_{kind}"] = {
            "discovery.lua": discovery,
            "definitions": definitions,
        }
    found = {key: yaml.safe_load(text) if ".actions." in key else text for key, text in patched().items()}
    assert found == expected


@pytest.mark.parametrize("script", ["return string.format('%d', 1)", "return ('a'):upper()", "return math.floor(1)"])
def test_the_scripts_of_the_tests_have_no_more_than_argo_cd_gives(script: str) -> None:
    with pytest.raises(Exception, match="attempt to index"):
        run(script, {})
