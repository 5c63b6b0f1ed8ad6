"""Pods that run with access to their node that an administrator has taken back: they go on, and a condition says so.

Nothing of what runs changes when a permission goes, so without a word a person would learn it from the next crash or
edit. The word goes when the permission returns, or with the last such pod.
"""

from collections.abc import Iterable

from deepseek_operator.core.conditions import Verdict
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import Manifest
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.reasons import HOST_ACCESS_NOT_ALLOWED

HOST_ACCESS_WITHDRAWN = "HostAccessWithdrawn"


def withdrawn(
    running: Iterable[tuple[str, Manifest]], namespace: str, configuration: Configuration, what: str
) -> tuple[Verdict, ...]:
    """The condition of pods that run; none where all that they reach is allowed.

    Args:
        running: the profile of each template that pods run by, and the template.
        what: would be made anew and is not, in words: `attempt`.
    """
    reached: dict[str, set[str]] = {}
    for profile, template in running:
        wanted = asked(template)
        if profile and wanted and not configuration.host_access.allows(namespace, profile):
            reached.setdefault(profile, set()).update(wanted)
    if not reached:
        return ()
    told = " and ".join(f"{profile} ({', '.join(sorted(words))})" for profile, words in sorted(reached.items()))
    value = f"hostAccess: {{{namespace}: [{', '.join(sorted(reached))}]}}"
    message = (
        f"pods run with access to their node by accelerator.profile {told}, which is no longer allowed in namespace "
        f"{namespace}. They go on, but no other {what} begins with it. Write another profile, or ask an administrator: the "
        f"operator's chart allows it by the value {value}"
    )
    return (Verdict(HOST_ACCESS_WITHDRAWN, "True", HOST_ACCESS_NOT_ALLOWED, message),)
