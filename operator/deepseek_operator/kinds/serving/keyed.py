"""With which key an engine is asked, where it answers nobody without one: by exams and benches, and by the gateway for clients.

A revision has its key for ever: it is read off its template, as it was rendered, since revisions that run side by side may have
others. Clients come with keys of their own, which the gate takes off. Envoy Gateway then writes the engine's in their place, by
a filter of its dialect on each backend of the route; on a whole rule it would be chosen before the gate has said which serving
is asked, and be another one's. https://gateway.envoyproxy.io/docs/tasks/security/credential-injection/
"""

from collections.abc import Iterable, Mapping
from typing import Any

from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.core.resources import HTTP_ROUTE_FILTER, Manifest
from deepseek_operator.domain.programs.engines.contract import KEY_VARIABLE
from deepseek_operator.kinds.serving.head import head
from deepseek_operator.kinds.serving.labels import child_labels
from deepseek_operator.kinds.serving.names import serving_key

CONTAINER = "engine"
"""Of the pods: what serves."""


def key_of(template: Manifest | None) -> Mapping[str, str] | None:
    """Name and key of the Secret's entry that an engine has its key from, by its pod or the template of that; None: it asks for
    none."""
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    variables = (
        one for container in containers if container.get("name") == CONTAINER for one in container.get("env") or ()
    )
    sources = (one.get("valueFrom") or {} for one in variables if one.get("name") == KEY_VARIABLE)
    found = next((source["secretKeyRef"] for source in sources if "secretKeyRef" in source), None)
    return {"name": str(found.get("name")), "key": str(found.get("key"))} if found is not None else None


def key_variable(name: str, key: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """The variable of a container that has the key; none where there is no key."""
    return [{"name": name, "valueFrom": {"secretKeyRef": dict(key)}}] if key is not None else []


def key_filters(owner: DeepSeekServing, secrets: Iterable[str]) -> tuple[Manifest, ...]:
    """What Envoy Gateway is asked, once for each of these Secrets."""
    return tuple(_filter(owner, secret) for secret in sorted(set(secrets)))


def _filter(owner: DeepSeekServing, secret: str) -> Manifest:
    """Whatever a request brings is overwritten: by the engine, a client's key is no key."""
    reference = {"group": "", "kind": "Secret", "name": secret}
    injected = {"overwrite": True, "credential": {"valueRef": reference}}
    name = serving_key(owner.metadata.name, secret)
    return {
        **head(HTTP_ROUTE_FILTER, owner, name, child_labels(owner)),
        "spec": {"credentialInjection": injected},
    }


def injecting(owner: DeepSeekServing, secret: str) -> list[dict[str, Any]]:
    """The filters of a backend whose engine has its key from that Secret."""
    name = serving_key(owner.metadata.name, secret)
    reference = {"group": HTTP_ROUTE_FILTER.group, "kind": HTTP_ROUTE_FILTER.kind, "name": name}
    return [{"type": "ExtensionRef", "extensionRef": reference}]
