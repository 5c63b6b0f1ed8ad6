"""DeepSeekTraining: attempts of a gang over one volume, restarted from its checkpoints until it completes."""

from dataclasses import replace
from functools import partial

from deepseek_operator.api.v1alpha1.common.accelerator import profiled
from deepseek_operator.api.v1alpha1.training import DeepSeekTraining
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.api.v1alpha1.training.status import TrainingStatus
from deepseek_operator.core.actions import Done, Plan
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.kind import Decision, Event, Kind
from deepseek_operator.core.resources import JOB, POD, Manifest, Ref, Resource
from deepseek_operator.core.seen import Needs, Seen
from deepseek_operator.kinds.training.believed import believed
from deepseek_operator.kinds.training.children import names, recorded_names, recorded_uids
from deepseek_operator.kinds.training.devices import accepted
from deepseek_operator.kinds.training.events import events, farewell
from deepseek_operator.kinds.training.needs import needs
from deepseek_operator.kinds.training.plan import step
from deepseek_operator.kinds.training.rights import OWNS
from deepseek_operator.kinds.training.status import display
from deepseek_operator.kinds.training.view import View


class TrainingKind:
    """The behaviour of a DeepSeekTraining, as the driver asks for it."""

    resource: Resource = TRAINING
    owns: tuple[Resource, ...] = tuple(OWNS)
    many: tuple[Resource, ...] = (JOB, POD)
    records_first = False  # Its claim comes before what is recorded of that.

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def parse(self, manifest: Manifest) -> DeepSeekTraining:
        """The typed resource, with what is believed of its status.

        Raises:
            pydantic.ValidationError: it is not what the schema lets in.
        """
        return believed(DeepSeekTraining.model_validate(manifest))

    def wanted_names(self, owner: DeepSeekTraining) -> tuple[Ref, ...]:
        """Names that the children take now."""
        return names(owner)

    def recorded_names(self, owner: DeepSeekTraining) -> tuple[Ref, ...]:
        """Those of the children, and the Jobs of the attempts that are told of."""
        return recorded_names(owner)

    def recorded_uids(self, owner: DeepSeekTraining) -> frozenset[str]:
        """The Jobs of the attempts, and the claim that was made."""
        return recorded_uids(owner)

    def needs(self, seen: Seen[DeepSeekTraining]) -> Needs:
        """Claims that the spec names, and rank 0's progress when it is due."""
        return needs(seen, self.configuration)

    def is_dear(self, seen: Seen[DeepSeekTraining]) -> bool:
        """True while there is no accepted plan of a profile's devices: it is sized in this pass."""
        return profiled(seen.owner.spec.accelerator) is not None and accepted(seen.owner) is None

    def decide(self, seen: Seen[DeepSeekTraining]) -> Decision[TrainingStatus]:
        """What to do now, and what is true."""
        view = View(seen, self.configuration)
        decided = step(view)
        return Decision(self._told(seen, decided.plan), partial(display, view, decided))

    def _told(self, seen: Seen[DeepSeekTraining], plan: Plan[TrainingStatus]) -> Plan[TrainingStatus]:
        """A record with the records that follow from the same look, and with what it means: one write instead of each.

        Nobody reads `Failed` beside `Restarting`. What needs a live look is a write of its own, and what an edit begins
        anew at once has no last word.
        """
        if plan.record is None:
            return plan
        view = View(replace(seen, owner=seen.owner.model_copy(update={"status": plan.record})), self.configuration)
        following = step(view)
        if following.plan.confirm and not plan.confirm:
            return plan
        if following.plan.record is None:
            return replace(plan, record=display(view, following, Done()))
        return plan if plan.confirm else self._told(view.looked, following.plan)

    def events(self, before: TrainingStatus, after: TrainingStatus) -> tuple[Event, ...]:
        """Transitions worth telling."""
        return events(before, after)

    def farewell(self, owner: DeepSeekTraining) -> tuple[Event, ...]:
        """The claim that is kept, where it is."""
        return farewell(owner)


def training_kind(configuration: Configuration) -> Kind[DeepSeekTraining, TrainingStatus]:
    """The kind for the driver."""
    return TrainingKind(configuration)
