"""What the API server's refusal of a child means, for every kind alike."""

from dataclasses import dataclass

from deepseek_operator.core.actions import Failure
from deepseek_operator.workloads.reasons import FORBIDDEN, REJECTED, WAITING_FOR_API, WAITING_FOR_QUOTA


@dataclass(frozen=True)
class Refusal:
    """Why, in the server's words. `is_final`: the person must edit this object, because it leads to one that is invalid."""

    reason: str
    message: str
    is_final: bool = False


def refusal(failure: Failure | None) -> Refusal | None:
    """The refusal that somebody must answer; None for a failure that passes by itself, and for none."""
    match failure:
        case Failure(reason="Quota", message=message):
            return Refusal(WAITING_FOR_QUOTA, message)
        case Failure(reason="Forbidden", message=message):
            return Refusal(FORBIDDEN, message)
        case Failure(reason="Rejected", message=message):
            return Refusal(REJECTED, message, is_final=True)
        case Failure(reason="NotServed", message=message):
            return Refusal(WAITING_FOR_API, message)
        case _:
            return None
