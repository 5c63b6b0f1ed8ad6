"""Children as they are wanted: applied where they are missing or drifted, once in a plan."""

from collections.abc import Iterable

from deepseek_operator.core.actions import Action, Apply, Delete
from deepseek_operator.core.drift import needs_apply
from deepseek_operator.core.resources import Manifest, Ref, ref_of, uid_of


def as_wanted(wanted: Manifest, live: Manifest | None) -> tuple[Action, ...]:
    """The apply that a child needs; none while it says what is wanted."""
    return (Apply(wanted, uid_of(live) if live is not None else None),) if needs_apply(wanted, live) else ()


def target(action: Action) -> Ref:
    """The object that an action is about."""
    return action.ref if isinstance(action, Delete) else ref_of(action.manifest)


def others(actions: Iterable[Action], already: Iterable[Action]) -> tuple[Action, ...]:
    """Those of `actions` whose object nothing is done about `already`."""
    taken = {target(action) for action in already}
    return tuple(action for action in actions if target(action) not in taken)
