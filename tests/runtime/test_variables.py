"""No variable of a training pod is set in vain: each one changes what the launcher or the trainer does.

What concerns the trainer is seen in trainings in this process, what concerns the launcher in pods that run a shell
script. A variable that the operator renders and that has no case fails the last test.
"""

import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deepseek_runtime.checkpoint.volume import Superseded, Volume
from deepseek_runtime.contract import ExitCode
from deepseek_runtime.launcher.keeper import SIGTERM_CODE
from tests.runtime.observed import environment
from tests.runtime.pods import Process, is_step, rendered_variables, workers_of
from tests.runtime.workplace import Workplace, changed, of
from tests.support.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore")


def training_is_named_in_the_log(workplace: Workplace, volume: Path) -> None:
    assert "of training team/training," in launched(volume, "true").log
    assert "of training team/another," in launched(volume, "true", DEEPSEEK_TRAINING_NAME="another").log


def namespace_is_named_in_the_log(workplace: Workplace, volume: Path) -> None:
    assert "of training other/training," in launched(volume, "true", DEEPSEEK_TRAINING_NAMESPACE="other").log


def checkpoints_say_whose_they_are(workplace: Workplace, volume: Path) -> None:
    assert workplace.attempt(volume).manifest()["trainingUID"] == "training-uid"
    other = workplace.attempt(volume, TRAINING_UID="another-uid", POD_UID="second")
    assert other.manifest()["trainingUID"] == "another-uid"


def later_attempt_lets_no_earlier_one_save(workplace: Workplace, volume: Path) -> None:
    Volume(volume / "training-uid").claim("second", 2)
    with pytest.raises(Superseded):
        workplace.attempt(volume)
    assert workplace.attempt(volume, ATTEMPT="2", POD_UID="second").manifest()["attempt"] == 2


def ancestor_of_unknown_pod_is_known_by_its_job(workplace: Workplace, volume: Path) -> None:
    ancestry = '[{"attempt": 1, "jobUID": "job-1"}]'
    for job, began in (("job-1", (2, "first")), ("job-x", (0, None))):
        workplace.attempt(volume / job, JOB_UID=job)
        again = workplace.attempt(volume / job, THREE_STEPS, ATTEMPT="2", POD_UID="second", RESUME_ANCESTRY=ancestry)
        assert again.began == began


def pod_writes_below_its_own_uid(workplace: Workplace, volume: Path) -> None:
    workplace.attempt(volume, POD_UID="other")
    assert (volume / "training-uid" / "other" / "step-00000002" / "manifest.json").exists()
    assert not (volume / "training-uid" / "first").exists()


def checkpoints_lie_below_the_root(workplace: Workplace, volume: Path) -> None:
    workplace.attempt(volume, CHECKPOINT_ROOT=str(volume / "elsewhere"))
    assert [entry.name for entry in volume.iterdir()] == ["elsewhere"]


def saved_after_so_many_steps(workplace: Workplace, volume: Path) -> None:
    for every, kept in (("1", [1, 2, 3]), ("2", [2, 3])):
        run = workplace.attempt(volume / every, THREE_STEPS, CHECKPOINT_EVERY_STEPS=every, CHECKPOINT_KEEP_LAST="9")
        assert run.kept == kept


def saved_after_so_many_seconds(workplace: Workplace, volume: Path) -> None:
    """A step takes a second here, and so does a save."""
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "", "CHECKPOINT_KEEP_LAST": "9"}
    for every, kept in (("3", [3, 6, 7]), ("5", [5, 7])):
        steps = {"hyperparameters.maxSteps": 7}
        run = workplace.attempt(volume / every, steps, pace_s=1.0, CHECKPOINT_EVERY_SECONDS=every, **policy)
        assert run.kept == kept


def so_many_newest_are_kept(workplace: Workplace, volume: Path) -> None:
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_BEST": "0"}
    for last, kept in (("1", [3]), ("2", [2, 3])):
        assert workplace.attempt(volume / last, THREE_STEPS, CHECKPOINT_KEEP_LAST=last, **policy).kept == kept


def so_many_best_are_kept(workplace: Workplace, volume: Path) -> None:
    """At such a learning rate every step makes the loss on held-out data worse, and no prompt is ever answered."""
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "1"}
    changes = {**THREE_STEPS, "hyperparameters.learningRate": "5", "hyperparameters.evalEverySteps": 1}
    for best, kept in (("0", [3]), ("1", [1, 3])):
        assert workplace.attempt(volume / best, changes, CHECKPOINT_KEEP_BEST=best, **policy).kept == kept
    unmeasured = {**changes, "datasets": of("few")}
    assert workplace.attempt(volume / "unmeasured", unmeasured, CHECKPOINT_KEEP_BEST="1", **policy).kept == [3]


def best_is_what_was_asked_for(workplace: Workplace, volume: Path) -> None:
    """Every step makes the loss on held-out data worse, and the accuracy can't tell: all are wrong."""
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "1"}
    changes = {**THREE_STEPS, "hyperparameters.learningRate": "5", "hyperparameters.evalEverySteps": 1}
    for metric, kept in (("evalLoss", [1, 3]), ("accuracy", [1, 3]), ("bleu", [3])):
        named: dict[str, Any] = {
            "CHECKPOINT_BEST_METRIC": metric,
            "CHECKPOINT_BEST_MODE": "Min" if metric == "evalLoss" else "Max",
        }
        run = workplace.attempt(volume / metric, changes, **named, **policy)
        assert (run.kept, metric == "bleu") == (kept, run.told["best"] is None)


def least_or_most_is_best(workplace: Workplace, volume: Path) -> None:
    policy: dict[str, Any] = {"CHECKPOINT_EVERY_STEPS": "1", "CHECKPOINT_KEEP_LAST": "1"}
    changes = {**THREE_STEPS, "hyperparameters.learningRate": "5", "hyperparameters.evalEverySteps": 1}
    for mode, kept in (("Min", [1, 3]), ("Max", [3])):
        named: dict[str, Any] = {"CHECKPOINT_BEST_METRIC": "evalLoss", "CHECKPOINT_BEST_MODE": mode}
        assert workplace.attempt(volume / mode, changes, **named, **policy).kept == kept


def resumed_or_begun_anew(workplace: Workplace, volume: Path) -> None:
    workplace.attempt(volume)
    told: dict[str, Any] = {"ATTEMPT": "2", "RESUME_ANCESTRY": ANCESTRY}
    assert workplace.attempt(volume, THREE_STEPS, POD_UID="never", RESUME_POLICY="Never", **told).began == (0, None)
    assert workplace.attempt(volume, THREE_STEPS, POD_UID="auto", RESUME_POLICY="Auto", **told).began == (2, "first")


def resumed_from_recorded_ancestors_only(workplace: Workplace, volume: Path) -> None:
    workplace.attempt(volume)
    told: dict[str, Any] = {"ATTEMPT": "2"}
    assert workplace.attempt(volume, THREE_STEPS, POD_UID="without", **told).began == (0, None)
    again = workplace.attempt(volume, THREE_STEPS, POD_UID="with", RESUME_ANCESTRY=ANCESTRY, **told)
    assert again.began == (2, "first")


def begun_from_the_other_training_that_is_named(workplace: Workplace, volume: Path) -> None:
    workplace.attempt(volume, CHECKPOINT_EVERY_STEPS="1")
    for checkpoint, step in (("Latest", 2), ("1", 1)):
        own: dict[str, Any] = {
            "TRAINING_UID": checkpoint,
            "CHECKPOINT_ROOT": str(volume / checkpoint),
            "POD_UID": "second",
        }
        named = json.dumps({"trainingUID": "training-uid", "checkpoint": checkpoint})
        assert workplace.attempt(volume, THREE_STEPS, RESUME_FROM=named, **own).began == (step, "first")


def world_is_larger(workplace: Workplace, volume: Path) -> None:
    assert ranks(launched(volume, TELL)) == ["0 of 1 at 127.0.0.1:29500"]
    assert ranks(launched(volume, TELL, DEEPSEEK_NODES="3")) == ["0 of 3 at 127.0.0.1:29500"]


def ranks_begin_later(workplace: Workplace, volume: Path) -> None:
    two = {"DEEPSEEK_NODES": "2", "DEEPSEEK_PROCESSES_PER_NODE": "2"}
    for node, own in (("0", ["0", "1"]), ("1", ["2", "3"])):
        told = ranks(launched(volume, TELL, DEEPSEEK_NODE_RANK=node, **two))
        assert told == [f"{rank} of 4 at 127.0.0.1:29500" for rank in own]


def more_processes_are_started(workplace: Workplace, volume: Path) -> None:
    told = ranks(launched(volume, TELL, DEEPSEEK_PROCESSES_PER_NODE="2"))
    assert told == ["0 of 2 at 127.0.0.1:29500", "1 of 2 at 127.0.0.1:29500"]


def ranks_meet_elsewhere(workplace: Workplace, volume: Path) -> None:
    assert ranks(launched(volume, TELL, MASTER_ADDR="t-0.t-train")) == ["0 of 1 at t-0.t-train:29500"]


def ranks_meet_at_another_port(workplace: Workplace, volume: Path) -> None:
    assert ranks(launched(volume, TELL, MASTER_PORT="29501")) == ["0 of 1 at 127.0.0.1:29501"]


def silence_ends_the_pod(workplace: Workplace, volume: Path) -> None:
    """The script beats once and is then silent for three seconds."""
    script = 'echo 1 > "$DEEPSEEK_HEARTBEAT_FILE"; sleep 3'
    assert launched(volume, script, DEEPSEEK_STALL_TIMEOUT_SECONDS="1").code == ExitCode.STALLED
    assert launched(volume, script, DEEPSEEK_STALL_TIMEOUT_SECONDS="60").code == ExitCode.COMPLETE


def waiting_for_peers_ends_the_pod(workplace: Workplace, volume: Path) -> None:
    """The other pod never comes; a lone one needs none."""
    spec = json.dumps(workplace.spec)
    late = {"DEEPSEEK_TRAINING_SPEC": spec, "DEEPSEEK_NODES": "2", "MASTER_PORT": str(free_port())}
    assert launched(volume / "late", "", DEEPSEEK_START_TIMEOUT_SECONDS="3", **late).code == ExitCode.STALLED
    alone = {"DEEPSEEK_TRAINING_SPEC": spec, "MASTER_PORT": str(free_port())}
    assert launched(volume / "alone", "", DEEPSEEK_START_TIMEOUT_SECONDS="120", **alone).code == ExitCode.COMPLETE


def cores_that_were_asked_for_are_computed_with(workplace: Workplace, volume: Path) -> None:
    tell = 'echo "rank $RANK: $OMP_NUM_THREADS threads"'
    for cores, processes, threads in (("4", "1", "4"), ("4", "2", "2"), ("1", "2", "1")):
        pod = launched(volume, tell, DEEPSEEK_CPUS=cores, DEEPSEEK_PROCESSES_PER_NODE=processes, OMP_NUM_THREADS="")
        assert ranks(pod)[0] == f"0: {threads} threads"


def saving_is_waited_for(workplace: Workplace, volume: Path) -> None:
    """The script takes two seconds to save when it is asked to stop."""
    script = "trap 'sleep 2; exit 75' TERM; echo ready; while :; do sleep 0.1; done"
    for grace_s, code in (("1", SIGTERM_CODE), ("60", ExitCode.SAVED)):
        pod = launch(volume, script, DEEPSEEK_GRACE_SECONDS=grace_s)
        pod.wait_for(lambda line: line == "ready\n")
        pod.terminate()
        assert pod.ended() == code


def progress_is_told_there(workplace: Workplace, volume: Path) -> None:
    port, end = free_port(), volume / "end"
    pod = launch(volume, f"while [ ! -e {end} ]; do sleep 0.05; done", DEEPSEEK_PROGRESS_PORT=str(port))
    pod.wait_for(lambda line: "progress on port" in line)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=5) as answer:
        assert json.load(answer)["attempt"] == 1
    end.touch()
    assert pod.ended() == ExitCode.COMPLETE


def work_of_a_token_makes_the_devices_busier(workplace: Workplace, volume: Path) -> None:
    """A thousand times the work in the same steps."""
    busy = []
    for token in (1.0, 1e6):
        work = json.dumps({"perToken": token, "perKey": 0, "mostKeys": 1, "peak": 1e6})
        busy.append(float(str(workplace.attempt(volume / str(token), THREE_STEPS, FLOPS=work).told["mfu"])))
    assert busy[1] > 1000 * busy[0] >= 0
    assert "mfu" not in workplace.attempt(volume / "none", THREE_STEPS).told


def specification_is_what_the_cases_above_change(workplace: Workplace, volume: Path) -> None:
    spec = changed(workplace.spec, {"hyperparameters.globalBatchSize": 5})
    pod = launch(volume, "", DEEPSEEK_TRAINING_SPEC=json.dumps(spec), DEEPSEEK_PROCESSES_PER_NODE="2")
    assert pod.ended() == ExitCode.INVALID
    assert "globalBatchSize 5 can't be divided over 2 processes" in pod.log


def crash_is_answered_in_place(workplace: Workplace, volume: Path) -> None:
    spec = json.dumps(changed(workplace.spec, {"hyperparameters.maxSteps": 100_000}))
    for most, told in (("0", "exit code 137"), ("1", "starts again in place: rank 0 died of SIGKILL")):
        one = {"DEEPSEEK_MAX_IN_PLACE_RESTARTS": most, "DEEPSEEK_NODE_NAME": f"gpu-{most}"}
        pod = launch(volume / most, "", DEEPSEEK_TRAINING_SPEC=spec, **one)
        pod.wait_for(lambda line: is_step(line, 2))
        os.kill(workers_of(pod)[0], signal.SIGKILL)
        line = pod.wait_for(lambda line: "in place: rank 0" in line or "exit code" in line)
        pod.kill()
        assert told in line
        assert most == "0" or "on node gpu-1" in line


def what_is_needed_is_tried_first(workplace: Workplace, volume: Path) -> None:
    """Devices that were asked for and are not there, which nobody looks for without a limit."""
    told = {"DEEPSEEK_TRAINING_SPEC": json.dumps(workplace.spec), "DEEPSEEK_DEVICES": "8"}
    ended = launched(volume / "tried", "", DEEPSEEK_PREFLIGHT_SECONDS="60", DEEPSEEK_NODE_NAME="gpu-3", **told)
    assert ended.code == 1
    assert "node gpu-3 shows 0 of the 8 devices" in ended.log
    assert launched(volume / "not", "", **told).code == ExitCode.COMPLETE


def volume_must_be_quick(workplace: Workplace, volume: Path) -> None:
    told = {"DEEPSEEK_TRAINING_SPEC": json.dumps(workplace.spec), "DEEPSEEK_PREFLIGHT_SECONDS": "60"}
    ended = launched(volume / "slow", "", DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND="1000000", **told)
    assert ended.code == 1
    assert "failurePolicy.minVolumeMegabytesPerSecond is 1000000" in ended.log
    assert launched(volume / "any", "", **told).code == ExitCode.COMPLETE


def launchers_meet_at_another_port(workplace: Workplace, volume: Path) -> None:
    """That of the first pod listens; the second one never comes."""
    port = free_port()
    told = {"DEEPSEEK_NODES": "2", "MASTER_PORT": str(free_port()), "DEEPSEEK_MAX_IN_PLACE_RESTARTS": "1"}
    spec = json.dumps(workplace.spec)
    pod = launch(volume, "", DEEPSEEK_LAUNCHER_PORT=str(port), DEEPSEEK_TRAINING_SPEC=spec, **told)
    pod.wait_for(lambda line: "progress on port" in line)
    until = time.monotonic() + 60
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
            break
        assert time.monotonic() < until
    pod.kill()


ANCESTRY = '[{"attempt": 1, "jobUID": "job-1", "incarnation": "first"}]'
THREE_STEPS = {"hyperparameters.maxSteps": 3}
TELL = 'echo "rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT"'

VARIABLES: Mapping[str, Callable[[Workplace, Path], None]] = {
    "DEEPSEEK_TRAINING_NAME": training_is_named_in_the_log,
    "DEEPSEEK_TRAINING_NAMESPACE": namespace_is_named_in_the_log,
    "DEEPSEEK_TRAINING_UID": checkpoints_say_whose_they_are,
    "DEEPSEEK_ATTEMPT": later_attempt_lets_no_earlier_one_save,
    "DEEPSEEK_JOB_UID": ancestor_of_unknown_pod_is_known_by_its_job,
    "DEEPSEEK_POD_UID": pod_writes_below_its_own_uid,
    "DEEPSEEK_CHECKPOINT_ROOT": checkpoints_lie_below_the_root,
    "DEEPSEEK_CHECKPOINT_EVERY_STEPS": saved_after_so_many_steps,
    "DEEPSEEK_CHECKPOINT_EVERY_SECONDS": saved_after_so_many_seconds,
    "DEEPSEEK_CHECKPOINT_KEEP_LAST": so_many_newest_are_kept,
    "DEEPSEEK_CHECKPOINT_KEEP_BEST": so_many_best_are_kept,
    "DEEPSEEK_CHECKPOINT_BEST_METRIC": best_is_what_was_asked_for,
    "DEEPSEEK_CHECKPOINT_BEST_MODE": least_or_most_is_best,
    "DEEPSEEK_RESUME_POLICY": resumed_or_begun_anew,
    "DEEPSEEK_RESUME_ANCESTRY": resumed_from_recorded_ancestors_only,
    "DEEPSEEK_RESUME_FROM": begun_from_the_other_training_that_is_named,
    "DEEPSEEK_NODES": world_is_larger,
    "DEEPSEEK_NODE_RANK": ranks_begin_later,
    "DEEPSEEK_PROCESSES_PER_NODE": more_processes_are_started,
    "MASTER_ADDR": ranks_meet_elsewhere,
    "MASTER_PORT": ranks_meet_at_another_port,
    "DEEPSEEK_STALL_TIMEOUT_SECONDS": silence_ends_the_pod,
    "DEEPSEEK_START_TIMEOUT_SECONDS": waiting_for_peers_ends_the_pod,
    "DEEPSEEK_GRACE_SECONDS": saving_is_waited_for,
    "DEEPSEEK_PROGRESS_PORT": progress_is_told_there,
    "DEEPSEEK_MAX_IN_PLACE_RESTARTS": crash_is_answered_in_place,
    "DEEPSEEK_NODE_NAME": crash_is_answered_in_place,
    "DEEPSEEK_PREFLIGHT_SECONDS": what_is_needed_is_tried_first,
    "DEEPSEEK_DEVICES": what_is_needed_is_tried_first,
    "DEEPSEEK_MIN_VOLUME_MEGABYTES_PER_SECOND": volume_must_be_quick,
    "DEEPSEEK_LAUNCHER_PORT": launchers_meet_at_another_port,
    "DEEPSEEK_CPUS": cores_that_were_asked_for_are_computed_with,
    "DEEPSEEK_FLOPS": work_of_a_token_makes_the_devices_busier,
    "DEEPSEEK_TRAINING_SPEC": specification_is_what_the_cases_above_change,
}
# Where one process runs per pod, torch.distributed reads these in scripts that bring no launcher of their own.
OF_PLAIN_SCRIPTS = {"RANK", "LOCAL_RANK", "WORLD_SIZE"}
# What libraries read: Python's and torch's caches, collectives over the network of a profile; and the example's own.
OF_LIBRARIES = {"HOME", "GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "LOG_LEVEL"}

# Where runs are told of, and as whom (test_tracking, test_tensorboard).
OF_TRACKING = {"DEEPSEEK_TRACKING", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"}
# Of other trainers: where they write and what is looked at first (test_foreign_trainers), and what starts their ranks.
OF_OTHER_TRAINERS = {
    *("DEEPSEEK_OUTPUT", "DEEPSEEK_CHECK_TOKENIZER", "PYTHONPATH", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"),
    *("FORCE_TORCHRUN", "NNODES", "NODE_RANK", "NPROC_PER_NODE"),
}


@pytest.mark.parametrize(("variable", "shows"), VARIABLES.items(), ids=VARIABLES)
def test_variable_changes_what_a_training_pod_does(
    workplace: Workplace, tmp_path: Path, variable: str, shows: Callable[[Workplace, Path], None]
) -> None:
    shows(workplace, tmp_path)


def test_every_variable_of_a_training_pod_has_a_case() -> None:
    known = set(VARIABLES) | OF_PLAIN_SCRIPTS | OF_LIBRARIES | OF_OTHER_TRAINERS | OF_TRACKING
    assert rendered_variables("training", "trainer") == known


@dataclass(frozen=True)
class Launched:
    """A pod's end, and all that it wrote."""

    code: int
    log: str


def launch(volume: Path, script: str, **variables: str) -> Process:
    """A pod that runs a shell script under the keeper; the trainer when the script is empty."""
    command = ["--", "sh", "-c", script] if script else []
    told: dict[str, Any] = {
        **environment(volume),
        "DEEPSEEK_TERMINATION_LOG": str(volume / "termination-log"),
        **variables,
    }
    return Process.fork("deepseek_runtime.launcher", command, told)


def launched(volume: Path, script: str, **variables: str) -> Launched:
    """The same, once it has ended."""
    pod = launch(volume, script, **variables)
    return Launched(pod.ended(), pod.log)


def ranks(pod: Launched) -> list[str]:
    """What the workers of a pod told of themselves, by rank."""
    return sorted(line.removeprefix("rank ") for line in pod.log.splitlines() if line.startswith("rank "))
