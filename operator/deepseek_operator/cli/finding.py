"""Reads what the commands show: an object by its name, all of them, and what belongs to one. Nothing is written here."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deepseek_operator.adapters.answers import not_served, page_of
from deepseek_operator.adapters.api_server import ApiServer, path_of
from deepseek_operator.cli.shown.naming import Wanted, absent, only
from deepseek_operator.core.kinds import Entry
from deepseek_operator.core.names import OWNER_UID
from deepseek_operator.core.resources import POD, Manifest, Resource, uid_of
from deepseek_operator.ports.cluster import ClusterError, Forbidden

PAGE = 500
EVENTS = Resource("v1", "Event", "events")


@dataclass(frozen=True)
class Belonging:
    """What belongs to one object, and what could not be read of it.

    Attributes:
        unread: sentences, one for each resource that may not be listed.
    """

    objects: Sequence[Manifest]
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reader:
    """Reads one namespace, or with None all of them, by an open `server`."""

    server: ApiServer
    namespace: str | None

    async def find(self, wish: Wanted) -> tuple[Entry, Manifest]:
        """The object that is meant.

        Raises:
            ValueError: there is none, or there are two kinds of one name; says what to write.
            ClusterError: it may not be read, or nothing answers.
        """
        namespace = self.namespace or "default"
        read = await asyncio.gather(*(self._get(entry.resource, namespace, wish.name) for entry in wish.entries))
        found = [(entry, one) for entry, one in zip(wish.entries, read, strict=True) if isinstance(one, dict)]
        if found:
            return only(wish, found, namespace)
        for refusal in read:
            if isinstance(refusal, ClusterError):
                raise refusal
        raise ValueError(await self._absent(wish, namespace))

    async def every(self, entries: Iterable[Entry]) -> list[tuple[Entry, Manifest]]:
        """All objects of these kinds, by kind, namespace and name. Raises ClusterError: some may not be listed."""
        found = []
        for entry in entries:
            items = await self.listed(entry.resource)
            found += [(entry, item) for item in sorted(items, key=_place)]
        return found

    async def belonging(self, entry: Entry, owner: Manifest) -> Belonging:
        """Its children, and the pods below them: all that carry its uid. What may not be listed is told."""
        selector = f"{OWNER_UID}={uid_of(owner)}"
        reader = Reader(self.server, owner["metadata"]["namespace"])
        lists = await asyncio.gather(*(reader._list_or_word(resource, selector) for resource in entry.owns))
        objects = [one for found in lists if not isinstance(found, str) for one in found]
        return Belonging(objects, tuple(found for found in lists if isinstance(found, str)))

    async def warnings(self, namespace: str, uids: frozenset[str]) -> Belonging:
        """Warning events of the namespace about objects of these uids, the newest last."""
        found = await Reader(self.server, namespace)._list_or_word(EVENTS, "", "type=Warning")
        if isinstance(found, str):
            return Belonging((), (found,))
        about = [one for one in found if (one.get("involvedObject") or {}).get("uid") in uids]
        return Belonging(sorted(about, key=seen_at))

    async def pods(self, owner: Manifest) -> list[Manifest]:
        """All pods of an object, whatever made them. Raises ClusterError: they may not be listed."""
        selector = f"{OWNER_UID}={uid_of(owner)}"
        return await Reader(self.server, owner["metadata"]["namespace"]).listed(POD, selector)

    async def nodes(self) -> list[Manifest]:
        """The nodes of the cluster. Raises ClusterError: they may not be listed."""
        answer = await self.server.request("list", "GET", "/api/v1/nodes", resource="nodes")
        return list((answer or {}).get("items") or ())

    async def listed(self, resource: Resource, selector: str = "", fields: str = "") -> list[Manifest]:
        """All objects of a resource; none of an optional one that the cluster doesn't serve. Raises ClusterError."""
        path = path_of(resource, self.namespace)
        query = {"limit": str(PAGE), "labelSelector": selector, "fieldSelector": fields}
        query = {key: value for key, value in query.items() if value}
        items: list[Manifest] = []
        while True:
            page = await self.server.request("list", "GET", path, resource=resource.plural, query=query)
            if page is None and resource.is_optional:
                return items
            if page is None:
                raise not_served(resource)
            listing, rest = page_of(page, resource)
            items += listing.items
            if not rest:
                return items
            query["continue"] = rest

    async def _get(self, resource: Resource, namespace: str, name: str) -> Manifest | ClusterError | None:
        try:
            found = await self.server.request(
                "get", "GET", path_of(resource, namespace, name), resource=resource.plural
            )
        except ClusterError as error:
            return error
        return None if found is None else {"apiVersion": resource.api_version, "kind": resource.kind, **found}

    async def _list_or_word(self, resource: Resource, selector: str, fields: str = "") -> Sequence[Manifest] | str:
        try:
            return await self.listed(resource, selector, fields)
        except Forbidden as error:
            return f"{resource.plural} are not shown: {error}"

    async def _absent(self, wish: Wanted, namespace: str) -> str:
        """As many names are looked at as may be listed: this one namespace's, then all."""
        here: list[str] = []
        elsewhere: dict[str, list[str]] = {}
        for entry in wish.entries:
            try:
                here += [_name(one) for one in await Reader(self.server, namespace).listed(entry.resource)]
                for one in await Reader(self.server, None).listed(entry.resource):
                    elsewhere.setdefault(one["metadata"]["namespace"], []).append(_name(one))
            except Forbidden:
                continue
        return absent(wish, namespace, here, elsewhere)


def seen_at(event: Manifest) -> str:
    """When an event was last seen, RFC 3339; empty where it does not say."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")


def _name(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def _place(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["metadata"].get("namespace") or ""), _name(manifest)
