"""Sources that are not on their claim yet: each try is recorded, then made, and nothing else begins before all are there."""

from deepseek_operator.core.actions import Create
from deepseek_operator.core.conditions import reconciling, stalled
from deepseek_operator.core.resources import JOB, Ref
from deepseek_operator.kinds.training.reasons import Reason, with_advice
from deepseek_operator.kinds.training.step import STARTUP_RECHECK, Step, act, record
from deepseek_operator.kinds.training.view import View
from deepseek_operator.workloads.batch.fetch import COMPLETE, fetch_job, unallowed


def fetch(view: View) -> Step | None:
    """Records what became of the tries, makes the Jobs of new ones, and says where the first stands that has not come."""
    if refused := unallowed(view.fetches, view.configuration.web):
        reason = Reason.SOURCE_NOT_ALLOWED
        return act("Pending", stalled(reason, with_advice(reason, refused)))
    after = [one.after for one in view.fetches]
    if after != view.status.sources:
        return record(view.status.model_copy(update={"sources": after}), confirm=True)
    waited = [one for one in view.fetches if one.after.phase != COMPLETE]
    if not waited:
        return None
    written, pod = view.written, view.spec.trainer.pod
    made = [
        Create(fetch_job(one, pod, written.metadata.labels, view.configuration))
        for one in waited
        if one.is_missing and Ref(JOB, one.job) not in view.looked.children
    ]
    name, message, final = waited[0].told
    reason = Reason(name)
    says = (stalled if final else reconciling)(reason, with_advice(reason, message))
    waits = min((time for one in waited if (time := one.waits) is not None), default=STARTUP_RECHECK)
    return act("Pending", says, made, requeue_after=waits, confirm=bool(made))
