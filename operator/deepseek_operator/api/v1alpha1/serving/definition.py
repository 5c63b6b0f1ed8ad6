"""DeepSeekServing as the API server is told of it."""

from deepseek_operator.api.definition import AGE, SHARED_EXAMPLES, Column, Definition
from deepseek_operator.api.resource import Family, of_kind
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.domain.programs.engines.table import RECOMMENDED

SERVING = of_kind("DeepSeekServing", "deepseekservings", Family("serving", "serve"))

_COLUMNS = (
    Column("READY", ".status.summary.ready", "True while the wanted replicas answer."),
    Column("REPLICAS", ".status.summary.replicas", "Ready replicas of the wanted ones."),
    Column("MODEL", ".status.summary.model", "What answers; during a rollout also what shall answer."),
    Column("PHASE", ".status.phase", "What is going on."),
    Column("REASON", ".status.summary.reason", "Why it is ready or not, and what stands in the way."),
    Column("URL", ".status.url", "Address inside the cluster."),
    AGE,
    Column("REVISION", ".status.current.name", "The revision that is wanted.", wide=True),
    Column("MIN", ".spec.autoscaling.minReplicas", "Fewest replicas under autoscaling.", "integer", wide=True),
    Column("MAX", ".spec.autoscaling.maxReplicas", "Most replicas under autoscaling.", "integer", wide=True),
    Column("WANTED", ".status.autoscaling.desired", "Replicas that the autoscaler wants.", "integer", wide=True),
    Column("GPUS", ".status.plan.gpus", "Devices of one replica, under a profile.", "integer", wide=True),
    Column("LAYOUT", ".status.plan.layout", "How the model lies on them.", wide=True),
)

DEFINITION = Definition(
    SERVING,
    DeepSeekServing,
    "dss",
    _COLUMNS,
    (".status.phase", ".spec.model.fromTraining.name"),
    has_scale=True,
    examples={
        **SHARED_EXAMPLES,
        "spec.engine": f"{{type: {RECOMMENDED.type}}}",
        "spec.rollout": "{strategy: RollingUpdate}",
    },
)
