"""What a training owns, and what the operator may do with each."""

from collections.abc import Mapping

from deepseek_operator.core.kinds import END, KEEP, OWN, Rights
from deepseek_operator.core.resources import CLAIM, JOB, POD, POLICY, SERVICE, Resource

OWNS: Mapping[Resource, Rights] = {
    JOB: OWN,
    POD: END,
    SERVICE: OWN,
    # It holds checkpoints: only the garbage collector ever deletes one, under onDelete: Delete.
    CLAIM: Rights(KEEP.verbs, where_enforced=("delete",)),
    POLICY: KEEP,
}
