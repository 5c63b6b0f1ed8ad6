"""What is said of an attempt whose processes started again inside their pods after one of them had crashed.

The training goes on, and nothing but the steps since the last checkpoint was lost. What crashed once may do so again.
"""

from deepseek_operator.api.v1alpha1.training.progress import InPlaceRestartStatus
from deepseek_operator.api.v1alpha1.training.spec import TrainingSpec
from deepseek_operator.core.conditions import Verdict
from deepseek_operator.kinds.training.reasons import Reason

CRASH_WARNING = "CrashWarning"
USUAL_MAX = 3


def most(spec: TrainingSpec) -> int:
    """Restarts in place of one attempt: as written, else 3, but none for whom one crash is too many already."""
    policy = spec.failure_policy
    usual = USUAL_MAX if policy.max_restarts else 0
    return usual if policy.max_in_place_restarts is None else policy.max_in_place_restarts


def restarted(known: InPlaceRestartStatus | None) -> tuple[Verdict, ...]:
    """The condition with the cause; none where nothing crashed."""
    if known is None or not known.count:
        return ()
    return (Verdict(CRASH_WARNING, "True", Reason.RESTARTED_IN_PLACE, sentence(known)),)


def sentence(known: InPlaceRestartStatus) -> str:
    """`rank 3 died of SIGSEGV on node gpu-17 after step 480: its gang started again in the same pods (2 times in this attempt)`."""
    after = f" after step {known.step}" if known.step is not None else ""
    times = "once" if known.count == 1 else f"{known.count} times"
    return f"{known.cause or 'a process crashed'}{after}: the gang started again in the same pods ({times} in this attempt)"
