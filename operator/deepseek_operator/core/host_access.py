"""Which namespaces may have pods that reach their node: an administrator's word, by namespace and accelerator profile.

What a pod reaches is read off its template, never off the profile's name (`workloads.pod.reach`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ALL = "*"
"""Of namespaces, and of profiles: every one."""


@dataclass(frozen=True)
class HostAccess:
    """The permissions: by namespace, or `*` for all, the names of the profiles, or `*` for all that there are."""

    allowed: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def allows(self, namespace: str, profile: str) -> bool:
        """Whether pods of that namespace may have what the profile brings."""
        return any({profile, ALL} & self.allowed.get(place, frozenset()) for place in (namespace, ALL))


NOWHERE = HostAccess()
