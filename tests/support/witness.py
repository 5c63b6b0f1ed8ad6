"""Who sees every change of some objects on a real API server, as a watch tells it."""

import threading
from collections.abc import Iterator
from http.client import HTTPException

from examples.local_cluster.api import Api, ApiError, Manifest


class Witness:
    """Sees every change of the objects at a path, in the order of the API server."""

    def __init__(self, api: Api, path: str) -> None:
        self.events: list[Manifest] = []
        self._path = path
        threading.Thread(target=self._watch, args=(api,), daemon=True).start()

    def _watch(self, api: Api) -> None:
        try:
            self.events.extend(api.watch(self._path, timeout_s=600))
        except (OSError, HTTPException, ApiError, ValueError):
            return

    def uids(self) -> dict[str, set[str]]:
        """All uids that were ever seen under each name."""
        found: dict[str, set[str]] = {}
        for event in self.events:
            metadata = event["object"]["metadata"]
            found.setdefault(metadata["name"], set()).add(metadata["uid"])
        return found

    def states(self) -> Iterator[list[Manifest]]:
        """The living objects after each event."""
        living: dict[str, Manifest] = {}
        for event in self.events:
            uid = event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                living.pop(uid, None)
            else:
                living[uid] = event["object"]
            yield list(living.values())
