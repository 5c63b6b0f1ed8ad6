"""What a serving must look at besides its children: the trainings that it refers to, the claims that it mounts, and the other
servings whose names must differ from its own."""

from collections.abc import Iterable, Iterator

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CLAIM, Ref
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.serving.baking import baking
from deepseek_operator.kinds.serving.comparing import comparison
from deepseek_operator.kinds.serving.model import claims_of, resolve, unresolved_trainings
from deepseek_operator.kinds.serving.revision import claims_mounted, template_of
from deepseek_operator.kinds.serving.sleep import questions as idle_questions
from deepseek_operator.kinds.serving.sources import fetches
from deepseek_operator.kinds.serving.verbs import ROLLBACK, verb
from deepseek_operator.workloads.batch.fetch import Fetching


def needs(seen: Seen[DeepSeekServing], configuration: Configuration) -> Needs:
    """References of this pass, and what is asked of the metrics store: by a judgement of a canary's step, or a comparison, and
    before sleep.

    The claim of a training's export is known once the export is.
    """
    judged, errands = baking(seen, configuration), fetches(seen)
    late = tuple(ref for one in errands for ref in one.doubts)
    of_exams = tuple(ref for one in judged.examining for ref in one.doubts) if judged is not None else ()
    asked = judged.questions if judged is not None else ()
    if (compared := comparison(seen)) is not None:
        of_exams, asked = (), compared.questions
    return Needs(
        references=tuple(dict.fromkeys(_references(seen, configuration, errands))),
        progress=next((ref for one in errands if (ref := one.asked) is not None), None),
        questions=(*asked, *idle_questions(seen)),
        warnings=(*late, *of_exams),
        neighbours=_has_names_to_keep(seen.owner),
        mentions=any(one.makes_room for one in errands),
    )


def _has_names_to_keep(owner: DeepSeekServing) -> bool:
    """The gate knows a name once, so that others of the namespace may have it already."""
    return owner.spec.gateway is not None and owner.spec.gateway.auth is not None


def _references(
    seen: Seen[DeepSeekServing], configuration: Configuration, errands: Iterable[Fetching]
) -> Iterator[Ref]:
    yield from (Ref(TRAINING, name) for name in dict.fromkeys(unresolved_trainings(seen)))
    yield from (Ref(CLAIM, one.wanted.source.claim) for one in errands)
    if isinstance(resolution := resolve(seen, configuration.web), ResolvedModel):
        yield from (Ref(CLAIM, name) for name in claims_of(resolution))
    if (wish := verb(seen.owner, ROLLBACK)) is not None and (template := template_of(seen, wish.revision)) is not None:
        yield from (Ref(CLAIM, name) for name in claims_mounted(template))
