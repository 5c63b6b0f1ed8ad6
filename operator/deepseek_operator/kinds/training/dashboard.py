"""The page of trainings: where they are, what they learn, how fast, what is saved, and what ended their attempts."""

from deepseek_operator.core.dashboards import (
    CHOSEN,
    IN_NAMESPACE,
    NAME,
    Dashboard,
    Form,
    Panel,
    Query,
    Row,
    Unit,
    Variable,
    by_object,
    increase,
    overview,
    series,
    told,
)
from deepseek_operator.kinds.training.metrics import PREFIX

_OF_PODS = (IN_NAMESPACE, 'deepseek_training=~"$name"')
_POD = "{{namespace}}/{{deepseek_training}}"


def _told(name: str, legend: str = "", *labels: str) -> Query:
    """What the operator tells of each chosen training."""
    return told(f"{PREFIX}{name}", legend, *labels)


def _of_pods(name: str, legend: str = "", *labels: str) -> Query:
    """What rank 0 of each tells itself: fresher, and gone with the pod."""
    by = ", ".join(("namespace", "deepseek_training", *labels))
    return Query(f"max by ({by}) ({series(f'deepseek_training_{name}', *_OF_PODS)})", f"{_POD} {legend}".strip())


def _held(name: str) -> str:
    return series(f"deepseek_operator_{name}", *CHOSEN, 'kind="training"')


_WAITED = series("deepseek_training_data_wait_seconds_total", *_OF_PODS)
_RUNNING = series(f"{PREFIX}phase", IN_NAMESPACE, 'phase="Running"')
_RESTARTS = series(f"{PREFIX}restarts_total", IN_NAMESPACE)
_SPEED = series(f"{PREFIX}tokens_per_second", IN_NAMESPACE)

_OVER = series(f"{PREFIX}condition", *CHOSEN, 'type=~"Complete|Failed"', 'status="True"')


def _while_it_runs(name: str) -> Query:
    """Without those that are over, or wait: the operator keeps their last number."""
    return Query(f"{_told(name).expression} and on (namespace, name) {by_object(_RUNNING)}", NAME)


DASHBOARD = Dashboard(
    "training",
    "DeepSeek / Trainings",
    "Losses, speed, checkpoints and attempts of each training.",
    (
        Variable("namespace", "Namespace", "namespace", f"{PREFIX}info"),
        Variable("name", "Training", "name", series(f"{PREFIX}info", IN_NAMESPACE)),
    ),
    (
        Row(
            "Now",
            (
                Panel(
                    "Steps done",
                    (
                        Query(
                            f"{_told('step').expression} / {_told('steps_wanted').expression}",
                            NAME,
                        ),
                    ),
                    unit=Unit.SHARE,
                    form=Form.VALUES,
                    width=6,
                    height=7,
                ),
                Panel(
                    "Time left",
                    (_while_it_runs("eta_seconds"),),
                    "At the present rate, when rank 0 was asked last.",
                    Unit.SECONDS,
                    Form.VALUES,
                    6,
                    7,
                ),
                Panel("Attempt", (_told("attempt"),), form=Form.VALUES, width=6, height=7),
                Panel(
                    "Pods that run",
                    (
                        Query(
                            f"{_told('workers').expression} / {_told('workers_wanted').expression}",
                            NAME,
                        ),
                    ),
                    "Of the whole gang.",
                    Unit.SHARE,
                    Form.VALUES,
                    6,
                    7,
                ),
                *overview(12, PREFIX, *CHOSEN),
            ),
        ),
        Row(
            "Learning",
            (
                Panel(
                    "Loss",
                    (_told("loss", "training"), _told("eval_loss", "held-out")),
                    "Nats per token. What the operator tells is at most half a minute old and outlives the pods.",
                    width=12,
                ),
                Panel(
                    "Accuracy and metrics of your own",
                    (_told("accuracy_ratio", "accuracy"), _told("own_metric", "{{metric}}", "metric")),
                    "On held-out data.",
                    width=12,
                    least=None,
                ),
                Panel("Gradient norm", (_told("gradient_norm"),), "Before gradients were clipped."),
                Panel("Learning rate", (_of_pods("learning_rate"),)),
                Panel(
                    "Busiest expert",
                    (_of_pods("expert_imbalance_ratio", "layer {{layer}}", "layer"),),
                    "Its tokens, of the mean of its layer's; 1 is even. Of models with experts.",
                ),
            ),
        ),
        Row(
            "Speed",
            (
                Panel("Tokens per second", (_while_it_runs("tokens_per_second"),), "By the whole gang, while it runs."),
                Panel(
                    "Model FLOPS utilization",
                    (_while_it_runs("model_flops_utilization_ratio"),),
                    "Work of the model done, of what the devices could do at their peak.",
                    Unit.SHARE,
                ),
                Panel("Seconds per step", (_of_pods("step_seconds"),), "Over the last twenty.", Unit.SECONDS),
                Panel(
                    "Waiting for examples",
                    (
                        Query(
                            f"max by (namespace, deepseek_training) (rate({_WAITED}[5m]))",
                            _POD,
                        ),
                    ),
                    "Share of the time in which steps waited for data.",
                    Unit.SHARE,
                ),
                Panel(
                    "Slowest process",
                    (_of_pods("straggler_ratio"),),
                    "Times as long as the others that it takes, while it does; nothing while none is slow.",
                ),
                Panel(
                    "Memory at its peak",
                    (_of_pods("device_memory_peak_bytes", "device"), _of_pods("host_memory_peak_bytes", "host")),
                    "Of one device, and of one process on its host.",
                    Unit.BYTES,
                ),
            ),
        ),
        Row(
            "Checkpoints",
            (
                Panel(
                    "Age of the newest",
                    (
                        Query(
                            f"time() - {_told('checkpoint_timestamp_seconds').expression} "
                            f"unless on (namespace, name) {by_object(_OVER)}",
                            NAME,
                        ),
                        _told("checkpoint_interval_seconds", "interval"),
                    ),
                    "Healthy ones only, of trainings that are not over; beside it the interval, where it is one of time.",
                    Unit.SECONDS,
                ),
                Panel(
                    "Seconds to save",
                    (_told("checkpoint_save_seconds", "saved"), _told("checkpoint_blocked_seconds", "no step made")),
                    unit=Unit.SECONDS,
                ),
                Panel(
                    "Bytes",
                    (_told("checkpoint_bytes", "written"), _told("checkpoint_planned_bytes", "planned")),
                    unit=Unit.BYTES,
                ),
                Panel("Best so far", (_told("best_checkpoint_value", "{{metric}}", "metric"),), width=12, least=None),
                Panel(
                    "Step of the newest and of the best",
                    (_told("checkpoint_step", "newest"), _told("best_checkpoint_step", "best")),
                    width=12,
                ),
            ),
        ),
        Row(
            "Attempts",
            (
                Panel(
                    "Starts over again in the last hour",
                    (
                        Query(
                            increase(series(f"{PREFIX}restarts_total", *CHOSEN), "1h", "cause"),
                            f"{NAME} {{{{cause}}}}",
                        ),
                    ),
                    "Crashes count against the limit, disruptions do not.",
                ),
                Panel(
                    "What ended attempts",
                    (_told("failure_timestamp_seconds", "", "verdict", "cause"),),
                    "Each cause once.",
                    form=Form.TABLE,
                ),
                Panel(
                    "Containers started over again",
                    (Query(by_object(_held("container_restarts_total")), NAME),),
                    "As the operator has seen it since it began to lead.",
                ),
                Panel(
                    "Devices held",
                    (Query(by_object(_held("devices"), "resource"), f"{NAME} {{{{resource}}}}"),),
                    width=12,
                ),
                Panel(
                    "Device-hours of the last day",
                    (Query(f"{increase(_held('device_seconds_total'), '1d', 'resource')} / 3600", NAME),),
                    form=Form.VALUES,
                    width=12,
                ),
            ),
        ),
    ),
    summary=(
        Panel(
            "Tokens trained on per second",
            (
                Query(
                    f"sum by (namespace) ({by_object(_SPEED)} and on (namespace, name) {by_object(_RUNNING)})",
                    "{{namespace}}",
                ),
            ),
            "By trainings that run.",
            width=12,
            height=8,
        ),
        Panel(
            "Trainings started over again in the last hour",
            (
                Query(
                    f"sum by (cause) ({increase(_RESTARTS, '1h', 'cause')})",
                    "{{cause}}",
                ),
            ),
            width=12,
            height=8,
        ),
    ),
)
