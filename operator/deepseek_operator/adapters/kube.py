"""The real cluster: reads, writes, events and leases as requests to the API server."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from deepseek_operator.adapters.answers import as_stored, not_served, page_of
from deepseek_operator.adapters.api_server import MERGE_PATCH, WRITE_TIMEOUT_S, ApiServer, is_name, path_of
from deepseek_operator.core.actions import Propagation
from deepseek_operator.core.kind import Event
from deepseek_operator.core.names import FIELD_MANAGER, MANAGED_BY, MANAGER, OWNER_UID, digest
from deepseek_operator.core.ownership import JOB_UID
from deepseek_operator.core.resources import POD, Manifest, Resource, uid_of
from deepseek_operator.core.seen import Warning
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import ClusterError, Conflict, Listing, Rejected

log = logging.getLogger(__name__)
PAGE = 500
_OURS = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Ignore"}
"""Of a write. Otherwise the server reads each body once more, looking for fields that it doesn't know, to warn of them in a
header; nobody would read that: a tenth of what a status costs it."""
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_REMEMBERED_EVENTS = 4096
_WARNINGS = 50


class KubeCluster:
    """`ports.Cluster`, `ports.Leases` and `ports.Writers` on an API server.

    Attributes:
        instance: name of this process, the reportingInstance of its events.
        namespaces: what `list_metadata` lists; empty: the whole cluster.
    """

    def __init__(self, server: ApiServer, clock: Clock, instance: str, namespaces: Sequence[str] = ()) -> None:
        self._server = server
        self._clock = clock
        self._instance = instance
        self._namespaces = tuple(namespaces)
        self._published: OrderedDict[tuple[str, str], int] = OrderedDict()

    # --- reads --------------------------------------------------------------------------------------------------

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        if not is_name(name):
            return None
        found = await self._server.request("get", "GET", path_of(resource, namespace, name), resource=resource.plural)
        return as_stored(found) if found is not None else None

    async def list_owned(self, resource: Resource, namespace: str, owner_uid: str) -> Listing:
        return await self._list(resource, path_of(resource, namespace), f"{OWNER_UID}={owner_uid}")

    async def list_pods_of_job(self, namespace: str, job_uid: str) -> Listing:
        return await self._list(POD, path_of(POD, namespace), f"{JOB_UID}={job_uid}")

    async def list_warnings(self, namespace: str, uid: str) -> Sequence[Warning]:
        query = {"fieldSelector": f"involvedObject.uid={uid},type=Warning", "limit": str(_WARNINGS)}
        found = await self._server.request("list", "GET", _events(namespace), resource="events", query=query)
        items = sorted((found or {}).get("items") or (), key=_last_seen, reverse=True)
        return [Warning(str(item.get("reason") or ""), str(item.get("message") or "")) for item in items]

    async def list_metadata(self, resource: Resource) -> Listing:
        selector = "" if resource.is_watched_whole else f"{MANAGED_BY}={MANAGER}"
        paths = [path_of(resource, namespace) for namespace in self._namespaces] or [path_of(resource)]
        found = [await self._list(resource, path, selector, accept=_METADATA_ONLY) for path in paths]
        oldest = min(found, key=lambda listing: int(listing.resource_version)).resource_version
        return Listing(oldest, [item for listing in found for item in listing.items])

    async def _list(self, resource: Resource, path: str, selector: str, accept: str = "application/json") -> Listing:
        items: list[Manifest] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._server.request("list", "GET", path, resource=resource.plural, query=query, accept=accept)
            if page is None:
                raise not_served(resource)
            listing, rest = page_of(page, resource)
            items += listing.items
            if not rest:
                return Listing(listing.resource_version, items)
            query["continue"] = rest

    # --- writes -------------------------------------------------------------------------------------------------

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return await self._write("create", "POST", path_of(resource, namespace), resource, manifest, _OURS)

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        path = path_of(resource, namespace, manifest["metadata"]["name"])
        query = {**_OURS, "force": "true"}
        try:
            return await self._write("patch", "PATCH", path, resource, manifest, query, "application/apply-patch+yaml")
        except Rejected as error:
            # A living object of another uid is a 422 on an immutable field; an absent one is a 409 (seen on 1.36).
            if "metadata.uid" in str(error):
                raise Conflict(str(error)) from error
            raise

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str, propagation: Propagation) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": propagation,
        }
        path = path_of(resource, namespace, name)
        await self._server.request(
            "delete", "DELETE", path, resource=resource.plural, body=body, timeout_s=WRITE_TIMEOUT_S
        )

    async def put_status(self, resource: Resource, manifest: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        path = path_of(resource, metadata["namespace"], metadata["name"]) + "/status"
        # Of anything else the server takes no notice: a megabyte of spec need not travel for it.
        identity = {name: metadata[name] for name in ("namespace", "name", "uid", "resourceVersion")}
        body = {name: manifest[name] for name in ("apiVersion", "kind", "status")} | {"metadata": identity}
        stored = await self._server.request(
            "update", "PUT", path, resource=f"{resource.plural}/status", body=body,
            query=_OURS, timeout_s=WRITE_TIMEOUT_S,
        )  # fmt: skip
        if stored is None:
            raise Conflict(f"{resource.kind} {metadata['namespace']}/{metadata['name']} is gone")
        return as_stored(stored)

    async def _write(
        self,
        verb: str,
        method: str,
        path: str,
        resource: Resource,
        manifest: Manifest,
        query: Mapping[str, str],
        content_type: str = "application/json",
    ) -> Manifest:
        stored = await self._server.request(
            verb, method, path, resource=resource.plural, query=query, body=manifest,
            content_type=content_type, timeout_s=WRITE_TIMEOUT_S,
        )  # fmt: skip
        if stored is None and resource.is_optional:
            raise not_served(resource)
        if stored is None:
            raise Rejected(f"{method} {path}: the namespace or the resource type does not exist")
        return as_stored(stored)

    # --- events -------------------------------------------------------------------------------------------------

    async def publish(self, resource: Resource, regarding: Manifest, event: Event) -> None:
        """An event of one object, reason and note has one name; repeated, it is counted in `series`."""
        namespace = regarding["metadata"]["namespace"]
        name = f"{regarding['metadata']['name']}.{digest([uid_of(regarding), event.reason, event.note])}"
        count = self._published.get((namespace, name), 0) + 1
        try:
            if count == 1 and not await self._first(resource, regarding, event, namespace, name):
                count = 2
            if count > 1 and not await self._again(namespace, name, count):
                await self._first(resource, regarding, event, namespace, name)
                count = 1
        except ClusterError as error:
            log.warning("event %s of %s/%s is lost: %s", event.reason, namespace, regarding["metadata"]["name"], error)
            return
        self._published[namespace, name] = count
        self._published.move_to_end((namespace, name))
        if len(self._published) > _REMEMBERED_EVENTS:
            self._published.popitem(last=False)

    async def _first(self, resource: Resource, regarding: Manifest, event: Event, namespace: str, name: str) -> bool:
        """False when an event of that name is there already, from a former process."""
        moment = self._clock.now()
        # The core form: `kubectl describe` sorts by its lastTimestamp, which events.k8s.io/v1 refuses to take.
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "firstTimestamp": _seconds(moment),
            "lastTimestamp": _seconds(moment),
            "eventTime": _microseconds(moment),
            "count": 1,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._instance[:128],
            "action": event.action[:128],
            "reason": event.reason[:128],
            "type": event.type,
            "message": event.note[:1024],
            "involvedObject": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "namespace": namespace,
                "name": regarding["metadata"]["name"],
                "uid": uid_of(regarding),
                "resourceVersion": regarding["metadata"]["resourceVersion"],
            },
        }
        path = _events(namespace)
        try:
            await self._server.request(
                "create", "POST", path, resource="events", body=body, query=_OURS, timeout_s=WRITE_TIMEOUT_S
            )
        except Conflict:
            return False
        return True

    async def _again(self, namespace: str, name: str, count: int) -> bool:
        """False when the event has expired."""
        moment = self._clock.now()
        body = {
            "series": {"count": count, "lastObservedTime": _microseconds(moment)},
            "lastTimestamp": _seconds(moment),
            "count": count,
        }
        path = _events(namespace, name)
        found = await self._server.request(
            "patch", "PATCH", path, resource="events", body=body, query=_OURS,
            content_type=MERGE_PATCH, timeout_s=WRITE_TIMEOUT_S,
        )  # fmt: skip
        return found is not None

    # --- the process's own objects ------------------------------------------------------------------------------

    async def read_lease(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        return await self._own("leases", _lease_path(namespace, name), timeout_s)

    async def write_lease(self, lease: Manifest, timeout_s: float) -> Manifest:
        namespace, name = lease["metadata"]["namespace"], lease["metadata"]["name"]
        exists = "resourceVersion" in lease["metadata"]
        stored = await self._server.request(
            "update" if exists else "create",
            "PUT" if exists else "POST",
            _lease_path(namespace, name if exists else ""),
            resource="leases",
            body=lease,
            timeout_s=timeout_s,
        )
        if stored is None:
            raise Conflict(f"lease {namespace}/{name} is gone")
        return as_stored(stored)

    async def read_account(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        return await self._own("serviceaccounts", _account_path(namespace, name), timeout_s)

    async def write_account(self, account: Manifest, timeout_s: float) -> None:
        namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
        stored = await self._server.request(
            "update",
            "PUT",
            _account_path(namespace, name),
            resource="serviceaccounts",
            body=account,
            timeout_s=timeout_s,
        )
        if stored is None:
            raise Conflict(f"ServiceAccount {namespace}/{name} is gone")

    async def _own(self, resource: str, path: str, timeout_s: float) -> Manifest | None:
        found = await self._server.request("get", "GET", path, resource=resource, timeout_s=timeout_s)
        return as_stored(found) if found is not None else None

    async def read_config_map(self, namespace: str, name: str) -> Mapping[str, str] | None:
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        found = await self._server.request("get", "GET", path, resource="configmaps")
        return found.get("data") or {} if found is not None else None


def _last_seen(event: Manifest) -> str:
    """When an event was last seen, as text that sorts like the time; reporters of the newer form fill in a series."""
    told = ((event.get("series") or {}).get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((str(time) for time in told if time), default="")


def _seconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _microseconds(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _events(namespace: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{quote(namespace)}/events"
    return f"{path}/{quote(name)}" if name else path


def _lease_path(namespace: str, name: str) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases"
    return f"{path}/{quote(name)}" if name else path


def _account_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/serviceaccounts/{quote(name)}"
