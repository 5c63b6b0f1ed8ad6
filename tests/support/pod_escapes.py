"""Ways out of the restricted Pod Security Standard, each as a change to a pod that is within it."""

from copy import deepcopy
from typing import Any

Change = dict[str, Any]
SPEC, SECURITY, CONTAINER, CONTAINER_SECURITY = "spec", "pod security", "container", "container security"
IMAGE = {"name": "other", "image": "x:1"}


def _in(part: str, **fields: Any) -> dict[str, Change]:
    return {part: fields}


def _volume(source: str, value: dict[str, Any]) -> dict[str, Change]:
    return _in(SPEC, volumes=[{"name": "v", source: value}])


ESCAPES: dict[str, dict[str, Change]] = {
    "host network": _in(SPEC, hostNetwork=True),
    "host processes": _in(SPEC, hostPID=True),
    "host IPC": _in(SPEC, hostIPC=True),
    "host path": _volume("hostPath", {"path": "/"}),
    "host device": _volume("hostPath", {"path": "/dev/mem", "type": "CharDevice"}),
    "NFS": _volume("nfs", {"server": "nfs.example", "path": "/"}),
    "iSCSI": _volume("iscsi", {"targetPortal": "192.0.2.1:3260", "iqn": "iqn.2001-04.example:s", "lun": 0}),
    "a host's port": _in(CONTAINER, ports=[{"containerPort": 80, "hostPort": 80}]),
    "privileged": _in(CONTAINER_SECURITY, privileged=True, allowPrivilegeEscalation=None),
    "escalation": _in(CONTAINER_SECURITY, allowPrivilegeEscalation=True),
    "escalation left open": _in(CONTAINER_SECURITY, allowPrivilegeEscalation=None),
    "a strong capability": _in(CONTAINER_SECURITY, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "a capability to lock memory": _in(CONTAINER_SECURITY, capabilities={"drop": ["ALL"], "add": ["IPC_LOCK"]}),
    "root": _in(CONTAINER_SECURITY, runAsUser=0),
    "root of the pod": _in(SECURITY, runAsUser=0),
    "maybe root": _in(CONTAINER_SECURITY, runAsNonRoot=False),
    "unmasked /proc": {**_in(CONTAINER_SECURITY, procMount="Unmasked"), **_in(SPEC, hostUsers=False)},
    "no seccomp": _in(CONTAINER_SECURITY, seccompProfile={"type": "Unconfined"}),
    "no seccomp in the pod": _in(SECURITY, seccompProfile={"type": "Unconfined"}),
    "no AppArmor": _in(CONTAINER_SECURITY, appArmorProfile={"type": "Unconfined"}),
    "an SELinux role": _in(CONTAINER_SECURITY, seLinuxOptions={"role": "sysadm_r"}),
    "an unsafe sysctl": _in(SECURITY, sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "an init container": _in(SPEC, initContainers=[{**IMAGE, "securityContext": {"privileged": True}}]),
    "a second container": _in(SPEC, containers=[{**IMAGE, "securityContext": {"allowPrivilegeEscalation": True}}]),
}


def restricted_pod(changes: dict[str, Change]) -> dict[str, Any]:
    """metadata and spec of a pod that `restricted` admits, but for the changes."""
    container_security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    changed = deepcopy(changes)
    container = {"name": "main", "image": "x:1", **changed.get(CONTAINER, {})}
    container["securityContext"] = _merged(container_security, changed.get(CONTAINER_SECURITY, {}))
    spec = {"securityContext": _merged(security, changed.get(SECURITY, {})), **changed.get(SPEC, {})}
    return {"metadata": {"name": "p"}, "spec": {**spec, "containers": [container, *spec.get("containers", [])]}}


def _merged(base: dict[str, Any], changes: Change) -> dict[str, Any]:
    return {key: value for key, value in {**base, **changes}.items() if value is not None}
