"""For each alert what makes it fire, and what is nearly that and must not: series as promtool writes them, a sample a minute.

`1x60` is a number that stays for an hour, `0+60x90` one that grows by 60 each minute, `_x60` nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

OBJECT = 'namespace="team",name="t"'
OF_SERVING = 'namespace="team",deepseek_serving="chat"'
TRAINING, SERVING = "deepseek_operator_training_", "deepseek_operator_serving_"
RUNNING = f'{TRAINING}phase{{{OBJECT},phase="Running"}}'
RUNS = {RUNNING: "1x300", f"{TRAINING}attempt_running_timestamp_seconds{{{OBJECT}}}": "0x300"}
CLAIM = 'namespace="team",persistentvolumeclaim="checkpoints"'
GPU = 'deepseek_operator_device_pod_info{namespace="team",name="t",kind="training",pod="p",node="n"}'
GPU_OF_SERVING = 'deepseek_operator_device_pod_info{namespace="team",name="t",kind="serving",pod="p",node="n"}'
BUSY = 'DCGM_FI_DEV_GPU_UTIL{namespace="team",pod="p",gpu="0"}'
FIRST_TOKEN = "vllm:time_to_first_token_seconds"
EXAM = 'namespace="team",name="t",data="d"'
LEADS = {'leader_election_master_status{name="deepseek-operator"}': "1x300"}


@dataclass(frozen=True)
class Case:
    """What is told, and whether it is alarming after so many minutes.

    Attributes:
        words: what it is, for the test's name.
        fires: labels of the alert, without its name and severity; None: it is silent.
    """

    alert: str
    words: str
    series: Mapping[str, str]
    minutes: int
    fires: Mapping[str, str] | None = field(default=None)


T = {"namespace": "team", "name": "t"}
CHAT = {"namespace": "team", "deepseek_serving": "chat"}


def _first_token(le_half: str, all_of_them: str, name: str = FIRST_TOKEN) -> dict[str, str]:
    """Requests whose first token came within half a second, and all."""
    named = f"{name}_bucket{{{OF_SERVING},pod="
    return {
        f'{named}"p",le="0.5"}}': le_half,
        f'{named}"p",le="1"}}': all_of_them,
        f'{named}"p",le="+Inf"}}': all_of_them,
        f'{name}_count{{{OF_SERVING},pod="p"}}': all_of_them,
    }


def _forbidden(name: str, process: str, reason: str = "Forbidden") -> str:
    """The condition of a training that waits, as one process of the operator tells it."""
    labels = f'namespace="team",name="{name}",pod="{process}",type="Reconciling",status="True",reason="{reason}"'
    return f"{TRAINING}condition{{{labels}}}"


def _disk(busy_s: str, operations: str) -> dict[str, str]:
    disk = 'instance="node-1",device="sda"'
    return {
        f"node_disk_read_time_seconds_total{{{disk}}}": "0x60",
        f"node_disk_write_time_seconds_total{{{disk}}}": busy_s,
        f"node_disk_reads_completed_total{{{disk}}}": "0x60",
        f"node_disk_writes_completed_total{{{disk}}}": operations,
    }


def _nfs(seconds: str) -> dict[str, str]:
    mount = 'instance="node-1",export="nas:/models",operation="WRITE"'
    return {
        f"node_mountstats_nfs_operations_response_time_seconds_total{{{mount}}}": seconds,
        f"node_mountstats_nfs_operations_requests_total{{{mount}}}": "0+60x60",
    }


CASES = (
    Case("DeepSeekDevicesIdle", "a tenth for an hour", {GPU: "1x150", BUSY: "10x150"}, 100, {**T, "kind": "training"}),
    Case("DeepSeekDevicesIdle", "a third", {GPU: "1x150", BUSY: "31x150"}, 100),
    Case("DeepSeekDevicesIdle", "idle since a moment", {GPU: "1x150", BUSY: "90x90 0x10"}, 100),
    Case("DeepSeekDevicesIdle", "begun a moment ago", {GPU: "_x60 1x60", BUSY: "_x60 0x60"}, 100),
    Case("DeepSeekDevicesIdle", "a pod of somebody else", {BUSY: "1x150"}, 100),
    Case(
        "DeepSeekDevicesIdle",
        "an exporter without honorLabels",
        {
            GPU: "1x150",
            'DCGM_FI_DEV_GPU_UTIL{namespace="gpu",pod="dcgm-1",exported_namespace="team",exported_pod="p"}': "10x150",
        },
        100,
        {**T, "kind": "training"},
    ),
    Case(
        "DeepSeekDevicesIdle",
        "a slice",
        {GPU: "1x150", 'DCGM_FI_PROF_GR_ENGINE_ACTIVE{namespace="team",pod="p",GPU_I_ID="1"}': "0.1x150"},
        100,
        {**T, "kind": "training"},
    ),
    Case(
        "DeepSeekDevicesIdle",
        "AMD",
        {GPU: "1x150", 'gpu_gfx_activity{namespace="team",pod="p"}': "10x150"},
        100,
        {**T, "kind": "training"},
    ),
    Case(
        "DeepSeekDevicesIdle",
        "Ascend",
        {GPU: "1x150", 'npu_chip_info_utilization{namespace="npu",exported_namespace="team",pod_name="p"}': "10x150"},
        100,
        {**T, "kind": "training"},
    ),
    Case(
        "DeepSeekDevicesIdle",
        "Gaudi",
        {GPU: "1x150", 'habanalabs_utilization{namespace="gaudi",pod_namespace="team",pod_name="p"}': "10x150"},
        100,
        {**T, "kind": "training"},
    ),
    Case("DeepSeekDevicesSaturated", "all of an hour", {GPU_OF_SERVING: "1x150", BUSY: "99x150"}, 100, {**T, "kind": "serving"}),
    Case("DeepSeekDevicesSaturated", "nearly", {GPU_OF_SERVING: "1x150", BUSY: "94x150"}, 100),
    Case("DeepSeekDevicesSaturated", "a training, as it should", {GPU: "1x150", BUSY: "99x150"}, 100),
    Case("DeepSeekTrainingStalled", "no step", {**RUNS, f"{TRAINING}step{{{OBJECT}}}": "40x300"}, 60, T),
    Case("DeepSeekTrainingStalled", "a slow one", {**RUNS, f"{TRAINING}step{{{OBJECT}}}": "40x50 41x300"}, 60),
    Case(
        "DeepSeekTrainingStalled",
        "it is over",
        {f"{TRAINING}attempt_running_timestamp_seconds{{{OBJECT}}}": "0x300", f"{TRAINING}step{{{OBJECT}}}": "40x300"},
        60,
    ),
    Case(
        "DeepSeekTrainingStalled",
        "it runs again since a moment",
        {
            RUNNING: "1x300",
            f"{TRAINING}step{{{OBJECT}}}": "40x300",
            f"{TRAINING}attempt_running_timestamp_seconds{{{OBJECT}}}": "0x49 3000x60",
        },
        60,
    ),
    Case(
        "DeepSeekTrainingStalled",
        "another process leads and tells",
        {
            **RUNS,
            f'{TRAINING}step{{{OBJECT},instance="a"}}': "40x30 stale",
            f'{TRAINING}step{{{OBJECT},instance="b"}}': "_x30 40x60",
        },
        70,
        T,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "an hour, of ten minutes each",
        {
            **RUNS,
            f"{TRAINING}checkpoint_timestamp_seconds{{{OBJECT}}}": "600x300",
            f"{TRAINING}checkpoint_interval_seconds{{{OBJECT}}}": "600x300",
        },
        60,
        T,
    ),
    Case("DeepSeekNoCheckpoint", "never one", {**RUNS, f"{TRAINING}checkpoint_interval_seconds{{{OBJECT}}}": "600x300"}, 60, T),
    Case(
        "DeepSeekNoCheckpoint",
        "two intervals ago",
        {
            **RUNS,
            f"{TRAINING}checkpoint_timestamp_seconds{{{OBJECT}}}": "2400x300",
            f"{TRAINING}checkpoint_interval_seconds{{{OBJECT}}}": "600x300",
        },
        60,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "it goes on since a moment from an old one",
        {
            RUNNING: "1x300",
            f"{TRAINING}attempt_running_timestamp_seconds{{{OBJECT}}}": "_x55 3300x60",
            f"{TRAINING}checkpoint_timestamp_seconds{{{OBJECT}}}": "0x300",
            f"{TRAINING}checkpoint_interval_seconds{{{OBJECT}}}": "600x300",
        },
        60,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "steps",
        {
            **RUNS,
            f"{TRAINING}step{{{OBJECT}}}": "0+10x300",
            f"{TRAINING}checkpoint_step{{{OBJECT}}}": "100x300",
            f"{TRAINING}checkpoint_interval_steps{{{OBJECT}}}": "100x300",
        },
        60,
        T,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "few steps since it began at a late one",
        {
            **RUNS,
            f"{TRAINING}step{{{OBJECT}}}": "1000+2x300",
            f"{TRAINING}attempt_first_step{{{OBJECT}}}": "1000x300",
            f"{TRAINING}checkpoint_interval_steps{{{OBJECT}}}": "100x300",
        },
        60,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "many steps since it began at a late one",
        {
            **RUNS,
            f"{TRAINING}step{{{OBJECT}}}": "1000+10x300",
            f"{TRAINING}attempt_first_step{{{OBJECT}}}": "1000x300",
            f"{TRAINING}checkpoint_interval_steps{{{OBJECT}}}": "100x300",
        },
        60,
        T,
    ),
    Case(
        "DeepSeekNoCheckpoint",
        "it is over",
        {
            f"{TRAINING}checkpoint_timestamp_seconds{{{OBJECT}}}": "600x300",
            f"{TRAINING}checkpoint_interval_seconds{{{OBJECT}}}": "600x300",
        },
        60,
    ),
    Case(
        "DeepSeekRestartStorm",
        "five crashes",
        {f'{TRAINING}restarts_total{{{OBJECT},cause="crash"}}': "0x30 1x4 2x4 3x4 4x4 5x20"},
        60,
        {**T, "kind": "training"},
    ),
    Case(
        "DeepSeekRestartStorm",
        "three",
        {f'{TRAINING}restarts_total{{{OBJECT},cause="crash"}}': "0x30 1x4 2x4 3x30"},
        60,
    ),
    Case(
        "DeepSeekRestartStorm",
        "many, long ago, told by another process",
        {
            f'{TRAINING}restarts_total{{{OBJECT},cause="crash",instance="a"}}': "9x30 stale",
            f'{TRAINING}restarts_total{{{OBJECT},cause="crash",instance="b"}}': "_x30 9x60",
        },
        60,
    ),
    Case(
        "DeepSeekRestartStorm",
        "replicas",
        {f'deepseek_operator_container_restarts_total{{{OBJECT},kind="serving"}}': "0+1x60"},
        60,
        {**T, "kind": "serving"},
    ),
    Case(
        "DeepSeekClaimFilling",
        "a twentieth is left",
        {
            f"kubelet_volume_stats_available_bytes{{{CLAIM},node=\"n\"}}": "5x20",
            f"kubelet_volume_stats_capacity_bytes{{{CLAIM},node=\"n\"}}": "100x20",
            f'{TRAINING}claim_info{{{CLAIM},name="t"}}': "1x20",
            f'{SERVING}claim_info{{{CLAIM},name="chat"}}': "1x20",
        },
        10,
        {"namespace": "team", "persistentvolumeclaim": "checkpoints"},
    ),
    Case(
        "DeepSeekClaimFilling",
        "an eighth is left",
        {
            f"kubelet_volume_stats_available_bytes{{{CLAIM}}}": "12x20",
            f"kubelet_volume_stats_capacity_bytes{{{CLAIM}}}": "100x20",
            f'{TRAINING}claim_info{{{CLAIM},name="t"}}': "1x20",
        },
        10,
    ),
    Case(
        "DeepSeekClaimFilling",
        "a claim of somebody else",
        {
            f"kubelet_volume_stats_available_bytes{{{CLAIM}}}": "5x20",
            f"kubelet_volume_stats_capacity_bytes{{{CLAIM}}}": "100x20",
        },
        10,
    ),
    Case("DeepSeekQueueGrowing", "ever more", {f'vllm:num_requests_waiting{{{OF_SERVING},pod="p"}}': "0+2x60"}, 40, CHAT),
    Case("DeepSeekQueueGrowing", "SGLang", {f'sglang:num_queue_reqs{{{OF_SERVING},pod="p"}}': "0+2x60"}, 40, CHAT),
    Case("DeepSeekQueueGrowing", "as many as before", {f'vllm:num_requests_waiting{{{OF_SERVING},pod="p"}}': "90x60"}, 40),
    Case("DeepSeekQueueGrowing", "few", {f'vllm:num_requests_waiting{{{OF_SERVING},pod="p"}}': "0+0.2x60"}, 40),
    Case("DeepSeekLatencyHigh", "a tenth is slow", _first_token("0+54x60", "0+60x60"), 40, CHAT),
    Case(
        "DeepSeekLatencyHigh",
        "TensorRT-LLM, whose names begin with nothing",
        _first_token("0+54x60", "0+60x60", "time_to_first_token_seconds"),
        40,
        CHAT,
    ),
    Case("DeepSeekLatencyHigh", "none is slow", _first_token("0+60x60", "0+60x60"), 40),
    Case("DeepSeekLatencyHigh", "hardly anybody asks", _first_token("0x60", "0+1x60"), 40),
    Case(
        "DeepSeekAccuracyDropped",
        "by a tenth",
        {
            f'{SERVING}exam_accuracy_ratio{{{EXAM},role="tried",revision="new"}}': "0.81x9",
            f'{SERVING}exam_accuracy_ratio{{{EXAM},role="released",revision="old"}}': "0.9x9",
        },
        5,
        {**T, "data": "d"},
    ),
    Case(
        "DeepSeekAccuracyDropped",
        "by a fiftieth",
        {
            f'{SERVING}exam_accuracy_ratio{{{EXAM},role="tried",revision="new"}}': "0.882x9",
            f'{SERVING}exam_accuracy_ratio{{{EXAM},role="released",revision="old"}}': "0.9x9",
        },
        5,
    ),
    Case(
        "DeepSeekAccuracyDropped",
        "nothing to compare with",
        {f'{SERVING}exam_accuracy_ratio{{{EXAM},role="tried",revision="new"}}': "0.1x9"},
        5,
    ),
    Case("DeepSeekAutoscalerBlind", "for long", {f"{SERVING}autoscaler_active{{{OBJECT}}}": "0x30"}, 20, T),
    Case("DeepSeekAutoscalerBlind", "for a moment", {f"{SERVING}autoscaler_active{{{OBJECT}}}": "1x15 0x30"}, 20),
    Case("DeepSeekAutoscalerBlind", "it rests", {f"{SERVING}replicas{{{OBJECT}}}": "0x30"}, 20),
    Case(
        "DeepSeekRolloutStuck",
        "it loads, then waits",
        {
            f'{SERVING}phase{{{OBJECT},phase="Loading"}}': "1x30 stale",
            f'{SERVING}phase{{{OBJECT},phase="WaitingForCapacity"}}': "_x30 1x60",
        },
        60,
        T,
    ),
    Case("DeepSeekRolloutStuck", "a canary is held", {f'{SERVING}canary_phase{{{OBJECT},phase="Held"}}': "1x90"}, 60, T),
    Case("DeepSeekRolloutStuck", "a canary bakes", {f'{SERVING}canary_phase{{{OBJECT},phase="Baking"}}': "1x90"}, 60),
    Case("DeepSeekRolloutStuck", "it serves", {f'{SERVING}phase{{{OBJECT},phase="Available"}}': "1x90"}, 60),
    Case(
        "DeepSeekRolloutStuck",
        "it became ready in between",
        {f'{SERVING}phase{{{OBJECT},phase="Loading"}}': "1x30 stale _x5 1x60"},
        60,
    ),
    Case(
        "DeepSeekObjectStalled",
        "a training",
        {f'{TRAINING}condition{{{OBJECT},type="Stalled",status="True",reason="ClaimNotFound"}}': "1x20"},
        10,
        {**T, "kind": "training", "reason": "ClaimNotFound"},
    ),
    Case(
        "DeepSeekObjectStalled",
        "a serving",
        {f'{SERVING}condition{{{OBJECT},type="Stalled",status="True",reason="Invalid"}}': "1x20"},
        10,
        {**T, "kind": "serving", "reason": "Invalid"},
    ),
    Case(
        "DeepSeekObjectStalled",
        "no more",
        {f'{TRAINING}condition{{{OBJECT},type="Stalled",status="False",reason="Running"}}': "1x20"},
        10,
    ),
    Case("DeepSeekOperatorNotReconciling", "nobody leads", {}, 10, {}),
    Case(
        "DeepSeekOperatorNotReconciling",
        "all stand by",
        {'leader_election_master_status{name="deepseek-operator"}': "0x300"},
        10,
        {},
    ),
    Case("DeepSeekOperatorNotReconciling", "one leads", LEADS, 10),
    Case(
        "DeepSeekOperatorNotReconciling",
        "it is deaf",
        {**LEADS, 'deepseek_operator_watch_down_seconds{resource="pods"}': "0+60x60"},
        20,
        {"resource": "pods"},
    ),
    Case(
        "DeepSeekOperatorNotReconciling",
        "it was deaf for a moment",
        {**LEADS, 'deepseek_operator_watch_down_seconds{resource="pods"}': "0x10 60x2 0x60"},
        20,
    ),
    Case(
        "DeepSeekOperatorNotReconciling",
        "it is a little deaf again and again",
        {**LEADS, 'deepseek_operator_watch_down_seconds{resource="pods"}': "200x60"},
        20,
    ),
    Case(
        "DeepSeekOperatorFailing",
        "two of three",
        {
            'controller_runtime_reconcile_total{controller="deepseektraining",result="error"}': "0+2x60",
            'controller_runtime_reconcile_total{controller="deepseektraining",result="success"}': "0+1x60",
        },
        45,
        {"controller": "deepseektraining"},
    ),
    Case(
        "DeepSeekOperatorFailing",
        "one of ten",
        {
            'controller_runtime_reconcile_total{controller="deepseektraining",result="error"}': "0+1x60",
            'controller_runtime_reconcile_total{controller="deepseektraining",result="success"}': "0+9x60",
        },
        45,
    ),
    Case(
        "DeepSeekOperatorFailing",
        "a right on one kind of child is missing for long, and passes go well but for what they can't do",
        {
            'controller_runtime_reconcile_total{controller="deepseektraining",result="error"}': "0x60",
            'controller_runtime_reconcile_total{controller="deepseektraining",result="requeue_after"}': "0+2x60",
            _forbidden("a", "operator-1"): "1x60",
            _forbidden("b", "operator-1"): "1x60",
        },
        45,
        {"controller": "deepseektraining", "reason": "Forbidden"},
    ),
    Case(
        "DeepSeekOperatorFailing",
        "the same through a takeover",
        {_forbidden("a", "operator-1"): "1x20 _x40", _forbidden("a", "operator-2"): "_x20 1x40"},
        30,
        {"controller": "deepseektraining", "reason": "Forbidden"},
    ),
    Case(
        "DeepSeekOperatorFailing",
        "a right is missing for ten minutes",
        {_forbidden("a", "operator-1"): "_x10 1x10 _x40"},
        21,
    ),
    Case(
        "DeepSeekOperatorFailing",
        "a quota is used up",
        {_forbidden("a", "operator-1", "WaitingForQuota"): "1x60"},
        45,
    ),
    Case(
        "DeepSeekOperatorFailing",
        "those of another controller",
        {'controller_runtime_reconcile_total{controller="postgres",result="error"}': "0+2x60"},
        45,
    ),
    Case(
        "DeepSeekCertificateExpiring",
        "in ten days",
        {'deepseek_operator_certificate_expiry_timestamp_seconds{use="external-metrics"}': "864000x20"},
        10,
        {"use": "external-metrics"},
    ),
    Case(
        "DeepSeekCertificateExpiring",
        "in twenty days",
        {'deepseek_operator_certificate_expiry_timestamp_seconds{use="external-metrics"}': "1728000x20"},
        10,
    ),
    Case(
        "DeepSeekStorageSlow", "a second each", _disk("0+60x60", "0+60x60"), 30, {"instance": "node-1", "device": "sda"}
    ),
    Case("DeepSeekStorageSlow", "a tenth of a second each", _disk("0+6x60", "0+60x60"), 30),
    Case("DeepSeekStorageSlow", "nobody writes", _disk("0x60", "0x60"), 30),
    Case("DeepSeekStorageSlow", "NFS", _nfs("0+60x60"), 30, {"instance": "node-1", "export": "nas:/models"}),
    Case("DeepSeekStorageSlow", "quick NFS", _nfs("0+6x60"), 30),
)  # fmt: skip
