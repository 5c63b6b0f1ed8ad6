"""Which steps an attempt makes: on which data, and up to which one.

A resume keeps to the data and the number of steps that its checkpoint recorded.
"""

from dataclasses import dataclass

from deepseek_runtime.contract import Invalid
from deepseek_runtime.spec import Hyperparameters
from deepseek_runtime.trainer import identity as identities
from deepseek_runtime.trainer.data.corpus import Corpus
from deepseek_runtime.trainer.gang import gathered
from deepseek_runtime.trainer.identity import Identity, Mark
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.starting import Start


@dataclass(frozen=True)
class Plan:
    """`recorded` is the identity in the checkpoint that is gone on from, None where there is none."""

    identity: Identity
    recorded: Identity | None
    max_steps: int

    @property
    def continues(self) -> bool:
        """Whether the next steps are those that the training of the checkpoint would have taken."""
        return self.identity.continues(self.recorded)


def plan(rank: Rank, corpus: Corpus, start: Start) -> Plan:
    """Compares what all ranks have read. Raises Invalid, on every rank alike, also for data that has changed."""
    identity = _identity(corpus, rank.parameters)
    identities.check_ranks(gathered(identity))
    # Only now: the first rank has told the numbers, whichever rank is the first to end.
    if start.held is None or start.is_of_another_training:
        corpus.check_losses(rank.parameters.sequence_length)
    recorded = _recorded(start)
    if start.held is not None and not start.is_of_another_training:
        identity = identities.kept_to(identity, recorded, start.step)
    max_steps = identity.max_steps or 0
    if rank.parameters.warmup_steps >= max_steps:
        raise Invalid(
            f"hyperparameters.warmupSteps is {rank.parameters.warmup_steps}, and the training has"
            f" {max_steps} steps in all: write fewer, or nothing is left for the schedule"
        )
    return Plan(identity, recorded, max_steps)


def _identity(corpus: Corpus, parameters: Hyperparameters) -> Identity:
    epochs = None if parameters.max_steps else parameters.epochs or 1
    return Identity(
        corpus.fingerprint,
        parameters.seed,
        parameters.global_batch_size,
        epochs,
        parameters.max_steps or corpus.order.steps(epochs or 1),
        tuple(Mark(one.name, one.sha256, len(one.examples)) for one in corpus.reads),
    )


def _recorded(start: Start) -> Identity | None:
    told = start.held.identity() if start.held is not None else None
    return identities.decode(told) if told is not None else None
