"""What may be learnt, and by which trainers: rules from their table, so that whoever is refused is told who can."""

from deepseek_operator.api.base import rule, together
from deepseek_operator.api.v1alpha1.common.programs import is_one, joined
from deepseek_operator.api.v1alpha1.training.method import FULL
from deepseek_operator.api.v1alpha1.training.trainers import TYPES
from deepseek_operator.domain.programs.trainers.request import Objective
from deepseek_operator.domain.programs.trainers.table import offered

OBJECTIVES = tuple(objective.value for objective in Objective)
OBJECTIVE = (
    "What is learnt. SFT: answers of chats and pairs, or texts. Pretrain: texts alone, every token of them, by all parameters; "
    "of DeepSeek-V3's experts the bias moves that keeps them in balance. DPO: which of two answers is preferred "
    "(datasets.format Preference). GRPO: answers that are rewarded, by functions that trainer.args name. Distill: what a teacher "
    "says, which trainer.args name. SFT and Pretrain are done by the built-in trainer, the others by those that the table of "
    "trainers names. Default SFT."
)


def _doers(objective: str) -> tuple[str, ...]:
    """Types of the trainers that do it."""
    return tuple(entry.type for entry in offered() if Objective(objective) in entry.objectives)


def _can(objective: str) -> dict[str, str]:
    others = joined(_doers(objective), "or")
    return rule(
        f"self.objective != '{objective}' || {is_one('self.trainer.type', _doers(objective))}",
        f"objective {objective} is not done by this trainer.type: write trainer.type {others}"
        + (", the latter two with a program of your own" if objective not in ("SFT", "Pretrain") else ""),
    )


_RESTRICTED = tuple(objective for objective in OBJECTIVES if _doers(objective) != TYPES)
_WITH_FORMATS = (
    rule(
        "self.objective != 'Pretrain' || self.datasets.all(d, d.format == 'Text')",
        "objective Pretrain learns plain texts throughout: write format: Text in each of datasets, or objective: SFT for chats "
        "and pairs",
    ),
    rule(
        "self.objective != 'DPO' || self.datasets.all(d, d.format == 'Preference')",
        "objective DPO learns which of two answers is preferred: write format: Preference in each of datasets, whose lines are "
        '{"prompt": …, "chosen": …, "rejected": …}',
    ),
    rule(
        "self.objective == 'DPO' || !self.datasets.exists(d, d.format == 'Preference')",
        f"format Preference is for objective DPO: write objective: DPO, with trainer.type {joined(_doers('DPO'), 'or')}, or "
        "another format",
    ),
    rule(
        "!(self.objective in ['GRPO', 'Distill']) || "
        "self.datasets.all(d, d.format == 'PromptCompletion' || d.format == 'Messages')",
        "objectives GRPO and Distill have prompts answered: write format: PromptCompletion or Messages in each of datasets",
    ),
)

OBJECTIVE_RULES = (
    together(
        f"self.objective == 'SFT' && {is_one('self.trainer.type', _doers('SFT'))}",
        *map(_can, _RESTRICTED),
        at=".objective",
    ),
    together(
        "!has(self.datasets) || (self.objective == 'SFT' && !self.datasets.exists(d, d.format == 'Preference'))",
        *_WITH_FORMATS,
        at=".datasets",
    ),
    rule(
        f"self.objective != 'Pretrain' || {is_one('self.method.type', (FULL,))}",
        f"objective Pretrain moves every parameter: write method.type {FULL}, or objective: SFT, which learns texts as well",
        fieldPath=".method.type",
    ),
)
LOSS_RULE = rule(
    "!(self.objective in ['DPO', 'GRPO', 'Distill'])",
    "lossOn is for objective SFT; what DPO, GRPO and Distill learn of answers is their own: leave lossOn out",
)
"""Of a training that says lossOn."""
