"""What the shell needs to be the only one that writes."""

from typing import Protocol

from deepseek_operator.core.resources import Manifest


class Leases(Protocol):
    """coordination.k8s.io/v1 Leases. Every method may raise any `ports.cluster.ClusterError`."""

    async def read_lease(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        """The Lease; None when there is none."""

    async def write_lease(self, lease: Manifest, timeout_s: float) -> Manifest:
        """Creates the Lease (no resourceVersion in it) or replaces it; raises Conflict when somebody was faster."""


class Writers(Protocol):
    """ServiceAccounts, of which one keeps who writes. Every method may raise any `ports.cluster.ClusterError`."""

    async def read_account(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        """The ServiceAccount; None when there is none."""

    async def write_account(self, account: Manifest, timeout_s: float) -> None:
        """Replaces the ServiceAccount as it was read; raises Conflict when somebody was faster."""
