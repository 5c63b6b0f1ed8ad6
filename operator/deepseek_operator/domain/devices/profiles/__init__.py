"""Accelerators as a cluster hands them out: resource, companions, placement, images, launchers, collectives, metrics.

The data of each vendor is a module; ``catalogue`` finds one by name, ``config`` reads an administrator's, ``pod`` says
what a pod must ask for.
"""

from deepseek_operator.domain.devices.profiles.catalogue import (
    ALIASES,
    BUILT_IN,
    Profiles,
    UnknownProfile,
    custom_resource,
    resolve,
)
from deepseek_operator.domain.devices.profiles.config import InvalidProfile, profiles_from_config
from deepseek_operator.domain.devices.profiles.pod import PodNeeds, pod_needs
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    Companion,
    DeviceMetrics,
    HostMount,
    PodPatch,
    Profile,
    Toleration,
)

__all__ = [
    "ALIASES",
    "BUILT_IN",
    "Collective",
    "Companion",
    "DeviceMetrics",
    "HostMount",
    "InvalidProfile",
    "PodNeeds",
    "PodPatch",
    "Profile",
    "Profiles",
    "Toleration",
    "UnknownProfile",
    "custom_resource",
    "pod_needs",
    "profiles_from_config",
    "resolve",
]
