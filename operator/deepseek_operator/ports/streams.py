"""What the shell needs to follow a resource: all of it as it is now, then every change."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from deepseek_operator.core.resources import Manifest, Resource
from deepseek_operator.ports.cluster import ClusterError, Listing


class Garbled(ClusterError):
    """What arrived is nothing that an API server says: no JSON, JSON of another shape, or half of it."""


@dataclass(frozen=True)
class Told:
    """One line of a watch.

    Attributes:
        type: ADDED, MODIFIED or DELETED; None: a bookmark, which only says how far the stream has come.
        version: the resourceVersion from which the stream can be taken up again.
        manifest: the object; empty in a bookmark.
    """

    type: str | None
    version: str
    manifest: Manifest


class Streams(Protocol):
    """Lists and watches of one resource; `namespace` None: all of them. Both may raise any `ClusterError`."""

    def pages(self, resource: Resource, namespace: str | None) -> AsyncIterator[Listing]:
        """Every watched object, whole, page by page; all pages are of one version.

        Raises:
            Outdated: it took too long, and the pages that came are no whole.
        """

    def watch(
        self, resource: Resource, namespace: str | None, since: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Told]]:
        """What happens after the version `since`; entered once the server agrees, it ends when the server ends it.

        Raises:
            Outdated: nothing is known of the time since then any more.
        """
