"""DeepSeekServing in the list of kinds."""

from deepseek_operator.api.v1alpha1.serving.adapters import USUAL_RANK
from deepseek_operator.api.v1alpha1.serving.definition import DEFINITION
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.method import LORA
from deepseek_operator.api.v1alpha1.training.result import assumed
from deepseek_operator.core.kinds import Assumed, Demand, Entry, Runs, Told, shared_claim
from deepseek_operator.core.resources import CLAIM, Manifest
from deepseek_operator.kinds.serving import serving_kind
from deepseek_operator.kinds.serving.bench import BENCHED
from deepseek_operator.kinds.serving.dashboard import DASHBOARD
from deepseek_operator.kinds.serving.metrics import METRICS
from deepseek_operator.kinds.serving.reasons import ALL
from deepseek_operator.kinds.serving.rights import OWNS
from deepseek_operator.kinds.serving.signals import presumed, queries, wanted
from deepseek_operator.kinds.serving.story import COLUMNS, annotation, exit_status, history, picture, revisions, row
from deepseek_operator.kinds.serving.template import PORT_NAME


def _training(manifest: Manifest, name: str) -> Assumed:
    """The training whose export is served, whole or as an adapter."""
    spec = manifest["spec"]
    model = spec["model"].get("fromTraining") or {}
    if model.get("name") == name:
        return Assumed(*assumed(name, str(model.get("checkpoint", ""))))
    references = (adapter.get("fromTraining") or {} for adapter in spec.get("adapters") or ())
    checkpoint = next((one.get("checkpoint") for one in references if one.get("name") == name), None)
    body, words = assumed(name, str(checkpoint or ""))
    method = {"type": LORA, "lora": {"export": "Adapter"}}
    return Assumed({**body, "spec": {"method": method}}, f"{words}, an adapter of rank {USUAL_RANK} beside this model")


ENTRY = Entry(
    definition=DEFINITION,
    make=serving_kind,
    owns=OWNS,
    reasons={reason.name: reason.advice for reason in ALL},
    reads=(CLAIM, TRAINING),
    assumed={CLAIM: shared_claim, TRAINING: _training},
    demand=Demand(queries, wanted, presumed),
    metrics_port=PORT_NAME,
    metrics=METRICS,
    dashboard=DASHBOARD,
    runs=Runs(annotation),
    benched=BENCHED,
    told=Told(picture, exit_status, COLUMNS, row, history=history, revisions=revisions),
)
