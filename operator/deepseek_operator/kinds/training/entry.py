"""DeepSeekTraining in the list of kinds."""

from deepseek_operator.api.v1alpha1.common.programs import joined
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import DEFINITION, TRAINING
from deepseek_operator.api.v1alpha1.training.method import PROMPTS
from deepseek_operator.api.v1alpha1.training.result import assumed
from deepseek_operator.core.kinds import Assumed, Entry, Told, shared_claim
from deepseek_operator.core.resources import CLAIM, Manifest
from deepseek_operator.domain.programs.engines.request import AdapterKind
from deepseek_operator.domain.programs.engines.table import offered
from deepseek_operator.kinds.training import training_kind
from deepseek_operator.kinds.training.dashboard import DASHBOARD
from deepseek_operator.kinds.training.metrics import METRICS
from deepseek_operator.kinds.training.pod import is_ours
from deepseek_operator.kinds.training.reasons import ADVICE
from deepseek_operator.kinds.training.rights import OWNS
from deepseek_operator.kinds.training.service import PROGRESS_PORT_NAME
from deepseek_operator.kinds.training.story import COLUMNS, exit_status, failures, lives, picture, row

NO_TEMPLATE = (
    "prompt and completion are trained as they are written, without the model's chat template: ask the result in the "
    "same form by /v1/completions, or write them as chats, datasets[].format: Messages"
)


SERVED_BY = (
    "virtual tokens are served under adapters by engine.type "
    f"{joined((entry.type for entry in offered() if AdapterKind.PROMPT in entry.adapters), 'or')} alone: for another "
    "engine train with method LoRA"
)


def _notes(manifest: Manifest) -> tuple[str, ...]:
    """A fresh model's chat template is the bare text of the messages, so nothing differs there."""
    spec = DeepSeekTraining.model_validate(manifest).spec
    pairs = any(dataset.format == "PromptCompletion" for dataset in spec.datasets)
    template = (NO_TEMPLATE,) if pairs and is_ours(spec.trainer) and spec.model.custom is None else ()
    return (*template, *((SERVED_BY,) if spec.method.type in PROMPTS else ()))


def _origin(manifest: Manifest, name: str) -> Assumed:
    """The training whose checkpoint or export this one starts from."""
    spec = manifest["spec"]
    resume = ((spec.get("checkpoints") or {}).get("resume") or {}).get("from") or {}
    exported = (spec.get("model") or {}).get("fromTraining") or {}
    begun = spec.get("initFrom") or {}
    return Assumed(*assumed(name, str((exported or begun or resume).get("checkpoint", ""))))


ENTRY = Entry(
    definition=DEFINITION,
    make=training_kind,
    owns=OWNS,
    reasons={reason.value: advice for reason, advice in ADVICE.items()},
    reads=(TRAINING,),
    assumed={CLAIM: shared_claim, TRAINING: _origin},
    notes=_notes,
    metrics_port=PROGRESS_PORT_NAME,
    metrics=METRICS,
    dashboard=DASHBOARD,
    told=Told(picture, exit_status, COLUMNS, row, failures, lives),
)
