"""The permission that tests give which are about something else."""

from deepseek_operator.core.host_access import ALL, HostAccess

EVERYWHERE = HostAccess({ALL: frozenset({ALL})})
