"""What a pod template becomes on the devices of a profile: resources, placement, environment, and the administrator's patch.

Both kinds have one container. What the user wrote stays where it does not contradict the devices: node labels and
tolerations are joined, variables and the size of /dev/shm are the user's.
"""

from collections.abc import Mapping
from typing import Any

from deepseek_operator.core.resources import Manifest
from deepseek_operator.domain.devices.profiles import HostMount, PodNeeds, PodPatch, Profile, Toleration, pod_needs
from deepseek_operator.domain.values.command import Variables
from deepseek_operator.domain.values.quantity import canonical
from deepseek_operator.workloads.pod.reach import asked
from deepseek_operator.workloads.pod.resources import SHARED_MEMORY_VOLUME

_POD_IP = "POD_IP"


def on_devices(template: Manifest, needs: PodNeeds, variables: Variables, keeps_shared_memory: bool) -> dict[str, Any]:
    """The template with what the devices need added.

    `variables` come before the container's own, which win; `keeps_shared_memory`: the user wrote its size.
    """
    spec = template["spec"]
    (container,) = spec["containers"]
    placed = {**spec, "containers": [_container(container, needs, variables)]}
    if needs.node_selector:
        placed["nodeSelector"] = dict(sorted({**spec.get("nodeSelector", {}), **needs.node_selector}.items()))
    if needs.tolerations:
        placed["tolerations"] = [*spec.get("tolerations", ()), *map(_toleration, needs.tolerations)]
    placed["volumes"] = _volumes(spec["volumes"], needs, keeps_shared_memory)
    metadata = template["metadata"]
    if needs.patch.annotations:
        metadata = {**metadata, "annotations": {**metadata.get("annotations", {}), **dict(needs.patch.annotations)}}
    return {"metadata": metadata, "spec": {**placed, **_host(needs.patch)}}


_RESTRICTED: Mapping[str, Any] = {
    "metadata": {},
    "spec": {
        "volumes": [],
        "containers": [
            {"env": [], "resources": {}, "volumeMounts": [], "securityContext": {"allowPrivilegeEscalation": False}}
        ],
    },
}


def asked_of_node(profile: Profile) -> tuple[str, ...]:
    """What any pod on the profile's devices asks of its node, found in a pod rendered on them that asks nothing else."""
    return asked(on_devices(_RESTRICTED, pod_needs(profile, 1), (), keeps_shared_memory=False))


def lacks_memory(needs: PodNeeds, memory: str | None, cpu: str | None) -> str | None:
    """The companion that Kubernetes gives only beside memory or cpu, where neither was written; else None."""
    pages = next((name for name in needs.resources if name.startswith("hugepages-")), None)
    return pages if memory is None and cpu is None else None


def _container(container: Manifest, needs: PodNeeds, variables: Variables) -> dict[str, Any]:
    mounts = [*container["volumeMounts"], *map(_mount, needs.patch.host_mounts)]
    return {
        **container,
        "env": _environment(container["env"], variables),
        "resources": _resources(container["resources"], needs.resources),
        "securityContext": _security(container["securityContext"], needs.patch),
        "volumeMounts": mounts,
    }


def _environment(own: list[dict[str, Any]], variables: Variables) -> list[dict[str, Any]]:
    """Variables in an order in which `$(POD_IP)` is known to those that use it."""
    named = {variable["name"] for variable in own}
    added: list[dict[str, Any]] = [{"name": n, "value": v} for n, v in dict(variables).items() if n not in named]
    if any(f"$({_POD_IP})" in str(item.get("value", "")) for item in (*added, *own)) and _POD_IP not in named:
        added.insert(0, {"name": _POD_IP, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    return [*added, *own]


def _resources(wanted: Manifest, devices: Mapping[str, str]) -> dict[str, Any]:
    """Extended resources can't be overcommitted: requests and limits are alike. A companion never lowers what was asked."""
    parts = {key: {**devices, **wanted.get(key, {})} for key in ("requests", "limits")}
    written = {key: {name: canonical(amount) for name, amount in sorted(part.items())} for key, part in parts.items()}
    return {key: part for key, part in written.items() if part}


def _security(own: Manifest, patch: PodPatch) -> dict[str, Any]:
    security = dict(own)
    if patch.capabilities:
        security["capabilities"] = {**own.get("capabilities", {}), "add": sorted(patch.capabilities)}
    if patch.privileged:
        security = {**security, "privileged": True, "allowPrivilegeEscalation": True}
    return security


def _host(patch: PodPatch) -> dict[str, Any]:
    host: dict[str, Any] = {}
    if patch.host_network:
        # Cluster names resolve only with this policy where the host's network is used.
        host |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if patch.host_ipc:
        host["hostIPC"] = True
    if patch.runtime_class is not None:
        host["runtimeClassName"] = patch.runtime_class
    if patch.scheduler is not None:
        host["schedulerName"] = patch.scheduler
    return host


def _volumes(own: list[dict[str, Any]], needs: PodNeeds, keeps_shared_memory: bool) -> list[dict[str, Any]]:
    volumes = [dict(volume) for volume in own]
    if needs.shared_memory_gib and not keeps_shared_memory:
        for volume in volumes:
            if volume["name"] == SHARED_MEMORY_VOLUME:
                volume["emptyDir"] = {"medium": "Memory", "sizeLimit": f"{needs.shared_memory_gib}Gi"}
    return [*volumes, *({"name": m.name, "hostPath": {"path": m.host_path}} for m in needs.patch.host_mounts)]


def _mount(mount: HostMount) -> dict[str, Any]:
    return {"name": mount.name, "mountPath": mount.mount_path, **({"readOnly": True} if mount.read_only else {})}


def _toleration(toleration: Toleration) -> dict[str, str]:
    how = {"operator": "Exists"} if toleration.value is None else {"operator": "Equal", "value": toleration.value}
    return {"key": toleration.key, **how, "effect": toleration.effect}
