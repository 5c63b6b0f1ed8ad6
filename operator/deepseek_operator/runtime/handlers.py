"""kopf as informer and process frame; nothing else in the operator knows it.

Only `on.event` is used, with one line: the other handlers write annotations and finalizers, retry at a fixed pace and
see different states of one change. `worker_limit` stays unset: kopf keeps a worker per object for its idle time, so
any limit caps the throughput at limit / idle_timeout.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import kopf

from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.core.names import MANAGED_BY, MANAGER
from deepseek_operator.core.resources import GROUP, Resource
from deepseek_operator.ports.cluster import WATCHED_WHOLE
from deepseek_operator.runtime.app import WATCHED, App
from deepseek_operator.runtime.settings import Settings

SERVER_TIMEOUT_S = 270
CLIENT_TIMEOUT_S = 300
"""The server ends a watch before the client gives it up: a half-open connection is noticed in either case."""
LIST_CHUNK = 500


async def operate(settings: Settings, credentials: Credentials) -> None:
    """Runs the operator until SIGTERM or SIGINT.

    Raises:
        BaseException: whatever ended a task that must not end, the lost lease included.
    """
    app = App(settings, credentials)
    scope = {"namespaces": list(settings.watch_namespaces)} if settings.watch_namespaces else {"clusterwide": True}
    await kopf.operator(
        registry=registry_of(app, credentials),
        settings=_settings(),
        memo=kopf.Memo(app=app),
        stop_flag=app.failed,
        **scope,
    )
    if app.failure is not None:
        raise app.failure


def registry_of(app: App, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers of one process; no registry is shared."""
    registry = kopf.OperatorRegistry()

    async def started(**_: object) -> None:
        await app.start()

    async def stopped(**_: object) -> None:
        await app.stop()

    async def logged_in(**_: object) -> kopf.ConnectionInfo:
        return _connection(credentials)

    kopf.on.startup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)(started)
    kopf.on.cleanup(registry=registry, errors=kopf.ErrorsMode.PERMANENT)(stopped)
    kopf.on.login(registry=registry)(logged_in)
    for resource in WATCHED:
        kopf.on.event(resource.group, resource.api_version.rpartition("/")[2], resource.plural, registry=registry)(
            _observer(app, resource)
        )
    return registry


def _observer(app: App, resource: Resource) -> Callable[..., Coroutine[None, None, None]]:
    async def changed(type: str | None, event: dict[str, Any], **_: object) -> None:
        app.observe(resource, type, event["object"])

    changed.__qualname__ = f"changed_{resource.plural}"
    return changed


def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    scheme, _, token = (credentials.authorization() or "").partition(" ")
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_path,
        insecure=credentials.is_insecure,
        certificate_path=credentials.certificate_path,
        private_key_path=credentials.key_path,
        scheme=scheme or None,
        token=token or None,
    )


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = SERVER_TIMEOUT_S
    settings.watching.client_timeout = CLIENT_TIMEOUT_S
    settings.watching.chunk_size = LIST_CHUNK
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.enforce_retry_after = True
    settings.persistence.finalizer = f"{GROUP}/unused"
    for resource in WATCHED:
        if resource not in WATCHED_WHOLE:
            selector = (resource.group, resource.api_version.rpartition("/")[2], resource.plural)
            settings.watching.label_selectors[selector] = f"{MANAGED_BY}={MANAGER}"
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    return settings
