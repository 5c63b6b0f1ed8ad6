"""The same device in a cluster with RDMA between its nodes.

Which resource hands out adapters differs by cluster, and a pod that asks for one that nobody offers never starts, so
no profile asks by itself. The built-in ``…-rdma`` profiles take the name of the RDMA shared device plugin's examples;
an administrator writes another name, Multus annotations and the GID index of RoCE in the configuration.
"""

from dataclasses import replace

from deepseek_operator.domain.devices.profiles.profile import Companion, Profile

RESOURCE = "rdma/hca"
SUFFIX = "-rdma"


def with_rdma(profile: Profile, resource: str = RESOURCE) -> Profile:
    """Return the profile with one adapter per device in pods that talk to other nodes.

    Pinned memory is what adapters read and write, hence the capability to lock it.
    """
    patch = profile.pod_patch
    capabilities = tuple(sorted({*patch.capabilities, "IPC_LOCK"}))
    return replace(
        profile,
        accelerator=replace(profile.accelerator, name=profile.name + SUFFIX),
        companions=(*profile.companions, Companion(resource, 1, per_device=True, multi_node_only=True)),
        pod_patch=replace(patch, capabilities=capabilities),
    )
