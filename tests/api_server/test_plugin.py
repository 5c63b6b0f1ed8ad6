"""`kubectl deepseek` on a real API server: each verb by the console script's own command line, found by a real kubectl,
with trainings and servings that an operator keeps, and as a tenant who may do less."""

import json
import re
from pathlib import Path

import yaml

from examples.local_cluster.api import Manifest
from tests.support.bench import LIMIT_S, SERVING, TRAINING, Bench
from tests.support.fake_kubelet import FakeKubelet
from tests.support.kubectl import until
from tests.support.plugin import OURS, TWO, Plugin, fail, tenant


def test_a_training_that_runs_and_fails_is_told_with_its_log(
    bench: Bench, plugin: Plugin, kubelet: FakeKubelet
) -> None:
    bench.create("DeepSeekTraining", {**TWO, "failurePolicy": {"maxRestarts": 0}})
    bench.reaches("DeepSeekTraining", "Running")
    said = plugin.said("status", "x")
    assert said.startswith(f"training/x in {bench.namespace} · Running, attempt 1: all 2 workers run\n")
    assert said.count("✔ Pod/x-train-") == 2
    assert "✔ Job/x-train-" in said
    assert said.endswith("Next\n  Nothing: every worker runs.\n")

    first = fail(bench, 1, 1, "out of tokens")
    bench.reaches("DeepSeekTraining", "Failed")
    kubelet.texts[first, "trainer", False] = "line 1\nline 2\nTraceback: out of tokens\n"
    answer = plugin("logs", "x")
    assert (answer.code, answer.out) == (0, kubelet.texts[first, "trainer", False])
    assert f"{first} (trainer): it failed first" in answer.err
    assert plugin.said("logs", "training/x", "--attempt", "1", "--tail", "1") == "Traceback: out of tokens\n"
    told = plugin.said("status", "dst/x")
    assert f"✘ Pod/{first}  Error (exit code 1) in trainer" in told
    assert "Read why: kubectl deepseek logs training/x" in told
    assert plugin("watch", "x").code == 1, "it has failed"
    missing = plugin("logs", "x", "--attempt", "7")
    assert (missing.code, missing.out) == (1, "")
    assert "no pod of attempt 7 is kept, those of 1 are" in missing.err


def test_a_log_is_followed(bench: Bench, plugin: Plugin, kubelet: FakeKubelet) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    (pod,) = bench.node.pods()
    name = str(pod["metadata"]["name"])
    kubelet.texts[name, "trainer", False], kubelet.more[name] = "step 1\n", "step 2\n"
    answer = plugin("logs", "x", "-f")
    assert (answer.code, answer.out) == (0, "step 1\nstep 2\n"), answer.err
    assert "no pod has failed in attempt 1; it is the first one" in answer.err
    assert plugin.said("logs", "x", "--pod", name) == "step 1\n"
    assert "it has no pod y; there are" in plugin("logs", "x", "--pod", "y").err
    assert plugin("logs", "x", "-p").code == 1, "there is no log before"


def test_it_is_suspended_and_goes_on(bench: Bench, plugin: Plugin) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    assert plugin.said("suspend", "x") == "training/x: suspend is true\n"
    bench.reaches("DeepSeekTraining", "Suspended")
    assert "suspended already" in plugin("suspend", "x").err
    assert "· Suspended, " in plugin.said("status", "x")
    assert plugin.said("resume", "x") == "training/x: suspend is false\n"
    bench.reaches("DeepSeekTraining", "Running")
    refused = plugin("resume", "x")
    assert (refused.code, refused.err) == (1, "training/x is neither suspended nor paused\n")
    assert "training/x has no versions that are tried" in plugin("promote", "x").err


def test_a_version_is_paused_promoted_and_gone_back_from(bench: Bench, plugin: Plugin) -> None:
    bench.claim("models")
    rollout = {"canary": {"steps": [{"replicas": n, "bakeSeconds": 2, "pause": True} for n in (1, 2)]}}
    bench.create("DeepSeekServing", {**SERVING, "rollout": rollout})
    bench.reaches("DeepSeekServing", "Available")
    first = str(bench.status("DeepSeekServing")["stable"])
    assert plugin("watch", "x", "--once").code == 0
    bench.api.patch(bench.path("DeepSeekServing"), {"spec": {"engine": {"maxConcurrency": 8}}})

    def at(step: int) -> bool:
        run = bench.status("DeepSeekServing").get("canary") or {}
        return bool((run.get("phase"), run.get("step")) == ("Paused", step))

    until("the first step", lambda: at(1), timeout_s=LIMIT_S)
    second = str(bench.status("DeepSeekServing")["canary"]["target"])
    told = plugin.said("status", "serving/x")
    assert f"  {second}" in told
    assert "Deployment/x-serve-" in told
    assert f"pause={second}" in plugin.said("pause", "x")
    assert "pause is gone" in plugin.said("resume", "x")
    assert f"promote={second}/" in plugin.said("promote", "x")
    until("the second step", lambda: at(2), timeout_s=LIMIT_S)
    assert f"rollback={first}/" in plugin.said("rollback", "x")
    until("it went back", lambda: bench.status("DeepSeekServing")["canary"]["phase"] == "RolledBack", timeout_s=LIMIT_S)
    assert "rollback is gone" in plugin.said("follow", "x")
    assert f"kept are: {second}" in plugin("rollback", "x", "0000000000").err
    assert plugin("watch", "x").code == 1, "the run was rolled back"


def test_all_are_listed_and_told_by_number(bench: Bench, plugin: Plugin) -> None:
    assert plugin.said("status") == "nothing is there\n"
    assert plugin.said("top") == "nothing is there\n"
    bench.claim("models")
    bench.create("DeepSeekTraining", TRAINING, "first")
    bench.create("DeepSeekServing", SERVING, "chat")
    until(
        "both have a status",
        lambda: all(
            bench.api.get(bench.path(kind, name)).get("status", {}).get("phase") in ("Running", "Available")
            for kind, name in (("DeepSeekTraining", "first"), ("DeepSeekServing", "chat"))
        ),
        timeout_s=LIMIT_S,
    )
    rows = json.loads(plugin.said("status", "-o", "json"))
    assert [(row["NAME"], row["PHASE"]) for row in rows] == [
        ("training/first", "Running"),
        ("serving/chat", "Available"),
    ]
    assert bench.namespace in plugin.said("status", "-A")
    tables = yaml.safe_load(plugin.said("top", "-o", "yaml"))
    assert [row["WORKERS"] for row in tables["trainings"]] == ["1/1"]
    assert [row["REPLICAS"] for row in tables["servings"]] == ["2/2"]
    assert plugin.said("top").splitlines()[0] == "trainings"
    plain = json.loads(plugin.said("status", "chat", "-o", "json"))
    assert (plain["name"], plain["phase"]) == ("serving/chat", "Available")
    assert {one["kind"] for one in plain["children"]} >= {"Deployment", "Service"}


def test_names_that_mean_nothing_or_two_things_are_told(bench: Bench, plugin: Plugin) -> None:
    bench.create("DeepSeekTraining", TRAINING, "uppercase")
    missing = plugin("status", "uper")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.rstrip().endswith(f"uper in {bench.namespace}: did you mean uppercase?")
    # Other tests of this server may have one of that name.
    elsewhere = plugin("status", "uppercase", "-n", "default").err
    assert re.search(rf"there is one in (\S+, )*{bench.namespace}, (\S+, )*write -n ", elsewhere), elsewhere
    bench.create("DeepSeekServing", SERVING, "uppercase")
    assert "write training/uppercase or serving/uppercase" in plugin("status", "uppercase").err
    assert plugin("status", "serving/uppercase").code == 0
    assert "known are deepseek-local" in plugin("status", "--context", "other").err
    assert plugin("status", "--context", "deepseek-local").code == 0
    assert plugin("status", "--nonsense").code == 2


def test_whoever_may_not_is_told_which_right_is_missing(bench: Bench, plugin: Plugin, tmp_path: Path) -> None:
    bench.create("DeepSeekTraining", TRAINING)
    bench.reaches("DeepSeekTraining", "Running")
    may = tenant(bench, tmp_path, plugin, {**OURS, "verbs": ["get", "list"]})
    told = may.said("status", "x")
    assert "· Running" in told
    assert 'cannot list resource "pods" in API group ""' in told
    refused = may("suspend", "x")
    assert (refused.code, refused.out) == (1, "")
    assert 'cannot patch resource "deepseektrainings"' in refused.err
    assert 'cannot list resource "pods"' in may("logs", "x").err
    assert 'cannot list resource "deepseektrainings"' in may("status", "-A").err
    assert may("status", "y").err.startswith("there is no DeepSeekTraining or DeepSeekServing y in")


def test_what_needs_no_cluster_is_there_too(bench: Bench, plugin: Plugin, tmp_path: Path) -> None:
    file = tmp_path / "training.yaml"
    manifest: Manifest = {
        "apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekTraining", "metadata": {"name": "x"}, "spec": TRAINING,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(manifest))
    assert "kind: Job" in plugin.said("plan", "-f", str(file))
    assert "parameters" in plugin.said("size", "--list")
    key = plugin.said("key", "new", "alice", "--serving", "chat")
    assert key.startswith("sk-ds-")
    assert "alice" in plugin.said("key", "list")
    assert plugin("key", "revoke", "alice").code == 0
