"""Before a replica that took the Lease writes anything, it has the API server told that from now on it is the writer.

The chart's fence, a ValidatingAdmissionPolicy, lets the operator's account write only from the pod that an annotation of a
ServiceAccount names, which is there for nothing else. It is no part of the Lease: an API server watches ServiceAccounts in any
case, while a policy that reads Leases has it watch those of all nodes, and goes on by the last one that it saw, for as long
as it lives, when it was taken away and comes back (kubernetes/kubernetes#130887).

Nobody overwrites a successor, however long it was frozen and whatever its clock says: beside the name stands the version
of the Lease by which that pod took it, versions only ever grow, and both are replaced as they were read. They grow in one
cluster: where a backup brought the ServiceAccount into another one, the Lease has another uid there, and nobody took it before.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from deepseek_operator.controller.fence import NotLeading
from deepseek_operator.ports.cluster import ClusterError
from deepseek_operator.ports.lease import Writers

log = logging.getLogger(__name__)

WRITER = "deepseek-operator.io/writer"
"""Annotation: the name of the pod that may write. Absent: whichever."""
SINCE = "deepseek-operator.io/writer-since"
"""Annotation: uid and resourceVersion of the Lease when that pod had taken it, a stroke between them."""
_RETRY_S = 0.5
_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Writer:
    """Our claim to write.

    Attributes:
        account: name of the ServiceAccount in `namespace` that has the annotation; empty: there is no fence.
        identity: name of our pod.
        lease_left_s: seconds that our Lease still holds; write_timeout_s: how long a write may take.
        term: uid and version of the Lease as we wrote it last.
    """

    writers: Writers
    namespace: str
    account: str
    identity: str
    lease_left_s: Callable[[], float]
    write_timeout_s: float
    term: Callable[[], tuple[str, int]]

    async def claim(self) -> None:
        """Returns when we are the writer, or there is no fence.

        Raises:
            NotLeading: another took the Lease after us, or that could not be had while enough of our Lease was left.
        """
        while self.account:
            try:
                async with asyncio.timeout(2 * _TIMEOUT_S):
                    await self._try()
                return
            except (ClusterError, TimeoutError) as error:
                log.warning("ServiceAccount %s/%s: %s %s", self.namespace, self.account, type(error).__name__, error)
            await asyncio.sleep(_RETRY_S)

    async def _try(self) -> None:
        live = await self.writers.read_account(self.namespace, self.account, _TIMEOUT_S)
        left_s, (uid, version) = self.lease_left_s(), self.term()
        if left_s <= self.write_timeout_s:
            raise NotLeading(f"{left_s:.1f} s of the lease are left, and the writer is not told yet")
        if live is None:
            log.warning("there is no ServiceAccount %s/%s: no fence stands", self.namespace, self.account)
            return
        annotations: dict[str, str] = live["metadata"].get("annotations") or {}
        known_uid, _, known = (annotations.get(SINCE) or "").rpartition("/")
        if known_uid == uid and known.isdecimal() and int(known) > version:
            raise NotLeading(f"{annotations.get(WRITER)} took the lease after us")
        named = {**annotations, WRITER: self.identity, SINCE: f"{uid}/{version}"}
        await self.writers.write_account({**live, "metadata": {**live["metadata"], "annotations": named}}, _TIMEOUT_S)
