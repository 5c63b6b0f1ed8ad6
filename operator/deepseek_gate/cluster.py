"""What the gate asks of a cluster: the ConfigMaps of a namespace, and to mark a Lease for a serving that is waited for."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import aiohttp
import orjson

from deepseek_gate.knowledge import KEYS, LABEL, MODELS, ConfigMap

PAGE = 100
TIMEOUT_S = 2.5
"""With the pause between two reads less than the 5 s in which a revoked key must be worth nothing."""


class Unread(Exception):
    """There was no list. Words for the log, without anything that a ConfigMap holds."""


class Untold(Exception):
    """The Lease was not marked, or nobody knows. Words for the log."""


class Forbidden(Unread):
    """The gate may not read there: an answer, though none that helps."""


@dataclass(frozen=True)
class Access:
    """Where the API server is, and files that say who we are: as Kubernetes mounts them into a pod."""

    server: str
    token: Path
    authority: Path


class Cluster:
    """Lists ConfigMaps and marks Leases. Enter it before use."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tls = ssl.create_default_context(cafile=str(self._access.authority))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=8),
            headers={"User-Agent": "deepseek-gate", "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def list_config_maps(self, namespace: str) -> list[ConfigMap]:
        """All of the namespace that are the gate's, as they are now: no watch, whose silence would look like no change.

        Raises:
            Unread: there was no whole answer.
        """
        query = {"labelSelector": f"{LABEL} in ({KEYS},{MODELS})", "limit": str(PAGE)}
        found: list[ConfigMap] = []
        while True:
            page = await self._page(f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps", query)
            found += page["items"]
            if not (rest := page.get("metadata", {}).get("continue")):
                return found
            query["continue"] = rest

    async def mark_lease(self, namespace: str, name: str, patch: Mapping[str, object]) -> None:
        """Merges `patch` into a Lease that is there. Nothing comes of it where there is none.

        Raises:
            Untold: it was refused, or there was no answer.
        """
        path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace, safe='')}/leases/{quote(name, safe='')}"
        session = self._opened()
        try:
            headers = {**self._identity(), "Content-Type": "application/merge-patch+json"}
            async with session.patch(
                self._access.server + path, data=orjson.dumps(patch), headers=headers, allow_redirects=False
            ) as response:
                if response.status not in (200, 404):
                    raise Untold(f"the API server answers {response.status}")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Untold(f"no answer from the API server: {type(error).__name__}") from None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is not open: enter Cluster first")
        return self._session

    def _identity(self) -> dict[str, str]:
        """Read for each request: the kubelet writes a new token every hour."""
        return {"Authorization": f"Bearer {self._access.token.read_text().strip()}"}

    async def _page(self, path: str, query: dict[str, str]) -> ConfigMap:
        session = self._opened()
        try:
            async with session.get(
                self._access.server + path, params=query, headers=self._identity(), allow_redirects=False
            ) as response:
                if response.status in (401, 403):
                    raise Forbidden(f"the API server answers {response.status}")
                if response.status != 200:
                    raise Unread(f"the API server answers {response.status}")
                page = orjson.loads(await response.read())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unread(f"no list from the API server: {type(error).__name__}") from None
        if not isinstance(page, dict) or not isinstance(page.get("items"), list):
            raise Unread("the API server's answer is no list")
        return page
