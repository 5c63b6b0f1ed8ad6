"""What a fetch is told by its environment: the source, where it is asked for, and the entries of its Secret.

Tests hold it to what `deepseek_runtime.fetcher.settings` reads.
"""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.common.source import KeptSource
from deepseek_operator.core.configuration import Configuration, Hub, ObjectStorage, Proxy

_TOKEN = {"HF_TOKEN": "token"}
_BEARER = {"DEEPSEEK_SOURCE_TOKEN": "token"}
_SESSION = "AWS_SESSION_TOKEN"
_KEYS = {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", _SESSION)}
"""Variables that clients of a source read, and the entries of the Secret that they come from."""


def variables(source: KeptSource, told: Mapping[str, str], configuration: Configuration) -> list[dict[str, Any]]:
    """Of the container: what is `told` of this fetch, and how its source is reached; what is empty is left out."""
    where, entries = _reached(source, configuration)
    of_source = {
        "DEEPSEEK_SOURCE_URI": source.uri,
        "DEEPSEEK_SOURCE_DIGEST": source.digest or "",
        "DEEPSEEK_SOURCE_AUTHORITIES": configuration.authorities,
        **_by(configuration.proxy),
    }
    plain: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in {**of_source, **told, **where}.items() if value
    ]
    secret = source.credentials
    return [*plain, *(_entry(variable, secret, key) for variable, key in entries.items() if secret is not None)]


def _reached(source: KeptSource, configuration: Configuration) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Variables that say where it is asked for, and those that come from its Secret."""
    if source.is_in_bucket:
        return _of_s3(configuration.s3), _KEYS
    if source.is_on_web:
        return {"DEEPSEEK_SOURCE_ALLOWED": " ".join(configuration.web.allowed)}, _BEARER
    return _of_hub(configuration.hub), _TOKEN


def _by(proxy: Proxy) -> dict[str, str]:
    """As every client reads them."""
    spared = ",".join(proxy.spared) if proxy.url else ""
    return {"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url, "NO_PROXY": spared}


def _of_hub(hub: Hub) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "HF_HUB_OFFLINE": "1" if hub.is_offline else ""}


def _of_s3(storage: ObjectStorage) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": storage.endpoint, "AWS_REGION": storage.region}


def _entry(variable: str, secret: str, key: str) -> dict[str, Any]:
    """Keys that last need no session's token beside them."""
    of: dict[str, Any] = {"name": secret, "key": key, **({"optional": True} if key == _SESSION else {})}
    return {"name": variable, "valueFrom": {"secretKeyRef": of}}
