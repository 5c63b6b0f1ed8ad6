"""What a pod reaches of its node beyond what the restricted Pod Security Standard lets in.

It is read off the rendered template, field by field of the standard, so that no profile is trusted by its name: whatever
brings a host network, a path or device of the node, a capability or a privilege into a pod is found, in any container.
An administrator allows it by namespace and profile (`core.host_access`); nobody has it before.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deepseek_operator.core.resources import Manifest

_VOLUMES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_SECCOMP = frozenset({"RuntimeDefault", "Localhost"})
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def asked(template: Manifest) -> tuple[str, ...]:
    """What a pod template asks of its node, in words and sorted; empty: nothing that `restricted` would refuse."""
    spec = template["spec"]
    annotations = template.get("metadata", {}).get("annotations", {})
    return tuple(sorted({*_of_pod(spec), *_of_annotations(annotations), *_of_containers(spec)}))


def _of_pod(spec: Manifest) -> Iterator[str]:
    yield from (key for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    if spec.get("hostUsers") is True:
        yield "hostUsers"
    for volume in spec.get("volumes") or ():
        source = next((key for key in volume if key != "name"), "emptyDir")
        if source == "hostPath":
            yield f"hostPath {volume[source]['path']}"
        elif source not in _VOLUMES:
            yield f"volume {source}"
    security = spec.get("securityContext") or {}
    yield from (f"sysctl {sysctl['name']}" for sysctl in security.get("sysctls") or ())
    yield from _of_security(security)


def _of_annotations(annotations: Mapping[str, str]) -> Iterator[str]:
    for key, value in annotations.items():
        if key.startswith(_APPARMOR) and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"AppArmor {value}"


def _of_containers(spec: Manifest) -> Iterator[str]:
    for container in (one for key in _CONTAINERS for one in spec.get(key) or ()):
        security = container.get("securityContext") or {}
        added = (security.get("capabilities") or {}).get("add") or ()
        yield from (f"capability {name}" for name in added if name not in _CAPABILITIES)
        if security.get("privileged"):
            yield "privileged"
        elif security.get("allowPrivilegeEscalation") is not False:
            yield "allowPrivilegeEscalation"
        if security.get("procMount", "Default") != "Default":
            yield f"procMount {security['procMount']}"
        yield from (f"hostPort {port['hostPort']}" for port in container.get("ports") or () if port.get("hostPort"))
        yield from _of_security(security)


def _of_security(security: Mapping[str, Any]) -> Iterator[str]:
    """What a pod and a container say alike."""
    if security.get("runAsUser") == 0:
        yield "runAsUser 0"
    if security.get("runAsNonRoot") is False:
        yield "runAsNonRoot false"
    seccomp = (security.get("seccompProfile") or {}).get("type", "RuntimeDefault")
    if seccomp not in _SECCOMP:
        yield f"seccomp {seccomp}"
    apparmor = (security.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if apparmor == "Unconfined":
        yield "AppArmor unconfined"
    if (security.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess"
    if (security.get("seLinuxOptions") or {}).get("user") or (security.get("seLinuxOptions") or {}).get("role"):
        yield "SELinux user or role"


def refusal(namespace: str, profile: str, wanted: tuple[str, ...]) -> str:
    """Why the pods are not made, who can allow them, and how."""
    return (
        f"accelerator.profile: {profile} gives pods access to their node ({', '.join(wanted)}), which nobody has allowed in "
        f"namespace {namespace}. Write another profile, or ask an administrator: the operator's chart allows it by the value "
        f"hostAccess: {{{namespace}: [{profile}]}}, and the namespace must let such pods in (label "
        "pod-security.kubernetes.io/enforce: privileged)"
    )
