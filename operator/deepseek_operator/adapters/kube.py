"""The real API server: one HTTP session with a bounded number of connections, JSON as plain dicts.

The client library's generated models are never used here: they cost twelve to twenty times the processor time of
`json.loads`. Every request has a time limit. Nothing is retried here: the queue retries, and it asks the lease first.
"""

import asyncio
import gc
import json
import logging
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Protocol, Self
from urllib.parse import quote

import aiohttp

from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.core.actions import Propagation
from deepseek_operator.core.kept import slim
from deepseek_operator.core.kind import Event
from deepseek_operator.core.names import FIELD_MANAGER, MANAGED_BY, MANAGER, OWNER_UID, digest
from deepseek_operator.core.ownership import JOB_UID
from deepseek_operator.core.resources import POD, Manifest, Resource, uid_of
from deepseek_operator.core.seen import Warning
from deepseek_operator.ports.clock import Clock
from deepseek_operator.ports.cluster import (
    WATCHED_WHOLE,
    ClusterError,
    Conflict,
    Forbidden,
    Listing,
    Outdated,
    QuotaExceeded,
    Rejected,
    Throttled,
    Unreachable,
)

log = logging.getLogger(__name__)

CONNECTIONS = 32
READ_TIMEOUT_S = 30.0
WRITE_TIMEOUT_S = 5.0
"""Less than the lease's renewal leaves, so that a write never outlives the lease it began under."""
HEADERS_TIMEOUT_S = 5.0
"""For the first byte of a stream, which the API server sends as soon as it agrees."""
PAGE = 500
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_DEPTH = 200
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
"""Brackets, and strings so that those within them don't count."""
_LARGE = 64 * 1024
_REMEMBERED_EVENTS = 4096
_WARNINGS = 50
_MESSAGE_LENGTH = 1024
_REFUSAL = 64 * 1024
"""Bytes that are read of an answer which refuses a stream."""


class Requests(Protocol):
    """Counts requests to the API server."""

    def requested(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request ended; `code` is the HTTP status, or the name of the failure when there was none."""


class ApiServer:
    """JSON over one shared session with at most so many `connections` (0: any number). Enter it before use."""

    def __init__(
        self, credentials: Credentials, clock: Clock, requests: Requests, connections: int = CONNECTIONS
    ) -> None:
        self._credentials = credentials
        self._clock = clock
        self._requests = requests
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, ssl=self._credentials.ssl_context())
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": FIELD_MANAGER})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        resource: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Manifest | None:
        """One request; None when the server says 404.

        Raises:
            ClusterError: any other refusal, or no answer.
        """
        started, code = self._clock.monotonic(), "cancelled"
        try:
            headers = self._headers(accept) | ({"Content-Type": content_type} if body is not None else {})
            async with self._open().request(
                method,
                self._credentials.server + path,
                params=query,
                data=_encoded(body) if body is not None else None,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
            ) as response:
                content = await response.read()
                code = str(response.status)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            code = "timeout" if isinstance(error, TimeoutError) else "unreachable"
            raise Unreachable(f"{method} {path}: {type(error).__name__} {error}".rstrip()) from error
        finally:
            self._requests.requested(verb, resource, code, self._clock.monotonic() - started)
        return _answer(response.status, content, response.headers.get("Retry-After"))

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], idle_s: float
    ) -> AsyncIterator[AsyncIterator[bytes] | None]:
        """The bytes of an answer as they come, None when the server says 404. Left early, its connection is closed.

        Raises:
            ClusterError: any other refusal, or no answer; while it is read: it breaks, or is silent for `idle_s`.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HEADERS_TIMEOUT_S, sock_read=idle_s)
        try:
            async with asyncio.timeout(HEADERS_TIMEOUT_S):
                response = await self._open().get(
                    self._credentials.server + path,
                    params=query,
                    headers=self._headers("application/json"),
                    timeout=timeout,
                    allow_redirects=False,
                )
                refused = await response.content.read(_REFUSAL) if response.status != 200 else b""
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"GET {path}: {type(error).__name__} {error}".rstrip()) from error
        try:
            if response.status == 200:
                yield _chunks(response)
            elif _answer(response.status, refused, response.headers.get("Retry-After")) is None:
                yield None
            else:
                raise Unreachable(f"GET {path}: HTTP {response.status}")
        finally:
            response.close()

    def _headers(self, accept: str) -> dict[str, str]:
        authorization = self._credentials.authorization()
        return {"Accept": accept} | ({"Authorization": authorization} if authorization is not None else {})

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the session is not open: enter ApiServer first")
        return self._session


class KubeCluster:
    """`ports.Cluster` and `ports.Leases` on an API server.

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
        found = await self._server.request("get", "GET", path_of(resource, namespace, name), resource=resource.plural)
        return _stored(found) if found is not None else None

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
        selector = "" if resource in WATCHED_WHOLE else f"{MANAGED_BY}={MANAGER}"
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
                raise Rejected(f"the API server does not serve {resource.plural} of {resource.api_version}")
            listing, rest = page_of(page, resource)
            items += listing.items
            if not rest:
                return Listing(listing.resource_version, items)
            query["continue"] = rest

    # --- writes -------------------------------------------------------------------------------------------------

    async def create(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        return await self._write(
            "create", "POST", path_of(resource, namespace), resource, manifest, {"fieldManager": FIELD_MANAGER}
        )

    async def apply(self, resource: Resource, namespace: str, manifest: Manifest) -> Manifest:
        path = path_of(resource, namespace, manifest["metadata"]["name"])
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
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
            query={"fieldManager": FIELD_MANAGER}, timeout_s=WRITE_TIMEOUT_S,
        )  # fmt: skip
        if stored is None:
            raise Conflict(f"{resource.kind} {metadata['namespace']}/{metadata['name']} is gone")
        return _stored(stored)

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
        if stored is None:
            raise Rejected(f"{method} {path}: the namespace or the resource type does not exist")
        return _stored(stored)

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
            await self._server.request("create", "POST", path, resource="events", body=body, timeout_s=WRITE_TIMEOUT_S)
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
            "patch", "PATCH", path, resource="events", body=body,
            content_type="application/merge-patch+json", timeout_s=WRITE_TIMEOUT_S,
        )  # fmt: skip
        return found is not None

    # --- the process's own objects ------------------------------------------------------------------------------

    async def read_lease(self, namespace: str, name: str, timeout_s: float) -> Manifest | None:
        path = _lease_path(namespace, name)
        found = await self._server.request("get", "GET", path, resource="leases", timeout_s=timeout_s)
        return _stored(found) if found is not None else None

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
        return _stored(stored)

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


def path_of(resource: Resource, namespace: str | None = None, name: str | None = None) -> str:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.api_version}"
    scope = f"/namespaces/{quote(namespace)}" if namespace is not None else ""
    return f"{root}{scope}/{resource.plural}" + (f"/{quote(name)}" if name is not None else "")


def page_of(answer: Manifest, resource: Resource) -> tuple[Listing, str]:
    """One page of a list, and the token of the next one; empty: it was the last.

    Raises:
        Unreachable: it does not look like a list of that resource; who answered was no API server.
    """
    match answer:
        case {"metadata": {"resourceVersion": str(version), **metadata}, "items": list() | None as items} if (
            version.isdigit() and all(is_stored(item) for item in items or ())
        ):
            identity = {"apiVersion": resource.api_version, "kind": resource.kind}
            return Listing(version, [{**item, **identity} for item in items or ()]), str(metadata.get("continue") or "")
    raise Unreachable(f"the answer is no list of {resource.plural}")


def _stored(answer: Manifest) -> Manifest:
    if not is_stored(answer):
        raise Unreachable("the answer is no object that an API server keeps")
    return answer


def is_stored(item: object) -> bool:
    """It has all that the mirror relies on in an object, each of the right type."""
    match item:
        case {
            "metadata": {
                "name": str(name),
                "namespace": str(namespace),
                "uid": str(uid),
                "resourceVersion": str(version),
                **metadata,
            }
        }:
            maps = (metadata.get(key) or {} for key in ("labels", "annotations"))
            return bool(name and namespace and uid) and version.isdigit() and all(isinstance(m, dict) for m in maps)
    return False


def _lease_path(namespace: str, name: str) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases"
    return f"{path}/{quote(name)}" if name else path


def _encoded(body: Manifest) -> str:
    """JSON as the API server itself writes it: sorted, compact, characters that HTML knows escaped.

    Free-form data (a ControllerRevision's) is kept as the bytes that were sent and must never change; any later patch of
    the object, a label or the garbage collector's, writes them anew and is refused (422) when they come out different.
    """
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def decoded(content: bytes) -> Any:
    """JSON as values, each of our objects as `core.kept` has it; what none needs, values nested deeper than `_DEPTH`, may come as null.

    One object that is nested deeper than the interpreter reads (about 1,000) must not hide the others of its list.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        with _uncollected(content):
            return json.loads(content, object_hook=slim)
    except RecursionError:
        return json.loads(_flattened(content), object_hook=slim)


@contextmanager
def _uncollected(content: bytes) -> Iterator[None]:
    """While a large text is read nothing becomes garbage, but each few hundred values have it searched for: of 300,000
    empty lists that was 230 of 250 ms, in which the event loop stood still."""
    pauses = len(content) > _LARGE and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        yield
    finally:
        if pauses:
            gc.enable()


def _flattened(content: bytes) -> bytes:
    """The same text with null in the place of every value that is nested deeper than `_DEPTH`."""
    kept: list[bytes] = []
    depth = start = 0
    for token in _STRUCTURE.finditer(content):
        if token[0] in {b"[", b"{"}:
            depth += 1
            if depth == _DEPTH + 1:
                kept += content[start : token.start()], b"null"
        elif token[0] in {b"]", b"}"}:
            if depth == _DEPTH + 1:
                start = token.end()
            depth -= 1
    return b"".join((*kept, content[start:]))


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
            await asyncio.sleep(0)  # What is buffered already would be read without a pause for anybody else.
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{type(error).__name__} {error}".rstrip()) from error


def _answer(status: int, content: bytes, retry_after: str | None) -> Manifest | None:
    if status == 404:
        return None
    if status >= 300:
        raise refusal(status, _message(content), retry_after)
    try:
        answer: Any = decoded(content)
    except ValueError as error:
        raise Unreachable(f"the answer is not JSON: {error}") from error
    if not isinstance(answer, dict):
        raise Unreachable("the answer is not a JSON object")
    return answer


def refusal(status: int, message: str, retry_after: str | None) -> ClusterError:
    """What an answer, or an ERROR of a watch, with that status code means."""
    match status:
        case 409:
            return Conflict(message)
        case 403 if "exceeded quota" in message or "usage per" in message:
            return QuotaExceeded(message)
        case 403:
            return Forbidden(message)
        case 400 | 405 | 413 | 415 | 422:
            return Rejected(message)
        case 410:
            return Outdated(message)
        case 429:
            return Throttled(message, float(retry_after) if retry_after and retry_after.isdigit() else 0.0)
        case _:
            return Unreachable(f"HTTP {status}: {message}")


def _message(content: bytes) -> str:
    try:
        return str(decoded(content)["message"])[:_MESSAGE_LENGTH]
    except (ValueError, KeyError, TypeError):
        return content[:_MESSAGE_LENGTH].decode(errors="replace")
