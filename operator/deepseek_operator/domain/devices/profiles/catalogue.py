"""Profiles by name: those that the operator brings, plus or replaced by an administrator's, and custom resources.

A name is never guessed: an unknown one is an error that says which names are near, and no name falls back to CPU.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles import amd, ascend, cpu, gaudi, nvidia
from deepseek_operator.domain.devices.profiles.profile import Collective, Profile, Toleration
from deepseek_operator.domain.devices.profiles.rdma import with_rdma

ALIASES: Mapping[str, str] = {
    "a100-40": "nvidia-a100-40",
    "a100-80": "nvidia-a100-80",
    "h100": "nvidia-h100-80",
    "h200": "nvidia-h200-141",
    "h20": "nvidia-h20-96",
    "h800": "nvidia-h800-80",
    "b200": "nvidia-b200-180",
    "l40s": "nvidia-l40s-48",
    "rtx4090": "nvidia-rtx4090-24",
    "rtx3090": "nvidia-rtx3090-24",
    "a6000": "nvidia-a6000-48",
    "mi300x": "amd-mi300x-192",
    "mi325x": "amd-mi325x-256",
    "gaudi2": "intel-gaudi2-96",
    "gaudi3": "intel-gaudi3-128",
    "ascend910b": "huawei-ascend910b-64",
    "ascend910c": "huawei-ascend910c-64",
}
"""Short spellings. ``a100`` alone is none: its two memories size differently."""


_HOST = re.compile(r"^([^/]*[.:][^/]*|localhost)/")
"""The first part of an image's name, where that is a registry: the rule of container engines, and of the chart."""


class UnknownProfile(LookupError):
    """No profile of that name; the message names the nearest ones and the way to say a custom resource."""


@dataclass(frozen=True)
class Profiles:
    """All profiles of one operator. Names are unique; ``resolve`` also takes the short spellings of ``ALIASES``."""

    by_name: Mapping[str, Profile]

    def resolve(self, name: str) -> Profile:
        """Return the profile of this name, letter case ignored. Raises UnknownProfile."""
        wanted = name.strip().casefold()
        found = self.by_name.get(wanted) or self.by_name.get(ALIASES.get(wanted, ""))
        if found is None:
            raise UnknownProfile(_unknown(name, wanted, self.by_name))
        return found

    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted(self.by_name))

    def overridden(self, more: Iterable[Profile]) -> "Profiles":
        """Return these profiles with ``more`` added; a profile of the same name takes the place of the old one."""
        return Profiles({**self.by_name, **{profile.name: profile for profile in more}})

    def pulled_from(self, registry: str) -> "Profiles":
        """Return these profiles with all images from one registry, a mirror say, in place of the one that they name."""
        return Profiles({name: _pulled_from(registry, profile) for name, profile in self.by_name.items()})


def _pulled_from(registry: str, profile: Profile) -> Profile:
    images = {program: f"{registry.rstrip('/')}/{_HOST.sub('', image)}" for program, image in profile.images.items()}
    return replace(profile, images=images)


WITH_RDMA = (
    "nvidia-a100-80",
    "nvidia-h100-80",
    "nvidia-h200-141",
    "nvidia-h20-96",
    "nvidia-h20-141",
    "nvidia-h800-80",
    "nvidia-b200-180",
    "amd-mi300x-192",
    "amd-mi325x-256",
)
"""Devices that are sold with network adapters beside them; each has a second profile that asks for those."""
_PLAIN = Profiles(
    {profile.name: profile for vendor in (nvidia, amd, gaudi, ascend, cpu) for profile in vendor.PROFILES}
)
BUILT_IN = _PLAIN.overridden(with_rdma(_PLAIN.by_name[name]) for name in WITH_RDMA)


def resolve(name: str) -> Profile:
    """Return a profile that the operator brings. Raises UnknownProfile."""
    return BUILT_IN.resolve(name)


def custom_resource(resource: str, per_node: int) -> Profile:
    """Return the profile of an extended resource of which nothing but its name is known.

    Its memory is 0 GiB and ``memory_known`` False: nothing is sized, nodes, parallelism, image and command must be
    written by the user. Raises ValueError when ``resource`` is not of the form ``domain/name``.
    """
    domain, slash, kind = resource.partition("/")
    if not slash or not domain or not kind or "/" in kind:
        raise ValueError(f"{resource!r} is no extended resource: write it as domain/name, like example.com/npu")
    return Profile(
        accelerator=Accelerator(
            name=f"custom:{resource}",
            vendor="custom",
            resource=resource,
            memory_gib=0.0,
            peak_tflops={},
            bandwidth_tb_s=0.0,
            per_node=per_node,
            interconnect="unknown",
            interconnect_gb_s=0.0,
            dtypes=frozenset(),
            quantizations=frozenset(),
        ),
        generation="unknown",
        images={},
        launchers={},
        collective=Collective(library="unknown"),
        metrics=None,
        tolerations=(Toleration(resource),),
        memory_known=False,
    )


def _unknown(name: str, wanted: str, known: Mapping[str, Profile]) -> str:
    spellings = sorted({*known, *ALIASES})
    near = (
        get_close_matches(wanted, spellings, n=3, cutoff=0.4) or [word for word in spellings if wanted[:4] in word][:3]
    )
    nearest = f"nearest: {', '.join(near)}" if near else f"known: {', '.join(sorted(known))}"
    return (
        f"no accelerator profile {name!r}; {nearest}. For any other device, the administrator adds a profile to the "
        "operator's configuration, or name the extended resource itself"
    )
