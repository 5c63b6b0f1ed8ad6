"""Profiles from the operator's configuration, read strictly: what is not understood is an error that says what to write.

The form is a mapping of profile names to mappings. ``base`` names a profile to start from (the one of the same name
where it is left out and exists); every other key replaces one fact of it. A profile without a base must state at least
``resource``, ``vendor``, ``memoryGiB`` and ``perNode``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TypeVar

from deepseek_operator.domain.devices.accelerator import Accelerator
from deepseek_operator.domain.devices.profiles.catalogue import BUILT_IN, Profiles, UnknownProfile, custom_resource
from deepseek_operator.domain.devices.profiles.profile import (
    Collective,
    Companion,
    DeviceMetrics,
    HostMount,
    PodPatch,
    Profile,
    Toleration,
)
from deepseek_operator.domain.values.command import Variables

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
FORMATS = frozenset({"fp8", "int8", "awq", "gptq", "w4a8", "nvfp4", "mxfp4", "nf4"})
DTYPES = frozenset({"fp32", "fp16", "bf16", "fp8", "int8", "fp4"})
VENDORS = frozenset({"nvidia", "amd", "intel", "huawei", "cpu", "custom"})
EFFECTS = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})
UNITS = frozenset({"", "Mi", "Gi"})


class InvalidProfile(ValueError):
    """The configuration of a profile can't be read; the message names its path and what to write instead."""


def profiles_from_config(config: Mapping[str, object], built_in: Profiles = BUILT_IN) -> Profiles:
    """Return the built-in profiles with those of the configuration added or put in their place.

    Later profiles may take earlier ones as their base, in the order of the mapping. Raises InvalidProfile.
    """
    profiles = built_in
    for name, values in config.items():
        profiles = profiles.overridden([_profile(name, Section(f"profiles.{name}", values), profiles)])
    return profiles


class Section:
    """One mapping of the configuration; each reading names its path in the errors, each unread key is an error."""

    def __init__(self, path: str, values: object) -> None:
        if not isinstance(values, Mapping):
            raise InvalidProfile(f"{path} must be a mapping, not {_kind(values)}")
        self.path = path
        self.values: Mapping[object, object] = values

    def only(self, *known: str) -> None:
        """Refuse keys that nobody reads."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(str(key), known, n=1)
                meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise InvalidProfile(f"{self.path}.{key} is not a field; {meant}")

    def text(self, key: str, default: str | None = None, among: frozenset[str] | None = None) -> str:
        """Read a non-empty string, one of ``among`` where that is given; without a default it must be there."""
        value = self.values.get(key, default)
        if not isinstance(value, str) or (value == "" and default != ""):
            raise InvalidProfile(f"{self.path}.{key} must be a string, not {_kind(value)}")
        if among is not None and value not in among:
            raise InvalidProfile(f"{self.path}.{key} is {value!r}; write one of {', '.join(sorted(among))}")
        return value

    def maybe(self, key: str, default: str | None) -> str | None:
        """Read a string that may be absent."""
        return self.text(key) if key in self.values else default

    def number(self, key: str, default: float, least: float = 0.0) -> float:
        """Read a finite number of at least ``least``."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e9:
            raise InvalidProfile(f"{self.path}.{key} must be a number of at least {least:g}, not {_kind(value)}")
        return float(value)

    def whole(self, key: str, default: int, least: int = 0) -> int:
        """Read an integer of at least ``least``."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 31:
            raise InvalidProfile(f"{self.path}.{key} must be an integer of at least {least}, not {_kind(value)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise InvalidProfile(f"{self.path}.{key} must be true or false, not {_kind(value)}")
        return value

    def words(self, key: str, default: tuple[str, ...], among: frozenset[str] | None = None) -> tuple[str, ...]:
        """Read a list of non-empty strings."""
        if key not in self.values:
            return default
        value = self.values[key]
        if not isinstance(value, list | tuple) or not all(isinstance(word, str) and word for word in value):
            raise InvalidProfile(f"{self.path}.{key} must be a list of strings, not {_kind(value)}")
        for word in value:
            if among is not None and word not in among:
                raise InvalidProfile(f"{self.path}.{key} holds {word!r}; known are {', '.join(sorted(among))}")
        return tuple(value)

    def strings(self, key: str, default: Mapping[str, str]) -> Mapping[str, str]:
        """Read a mapping of strings to strings; numbers must be quoted, as Kubernetes demands."""
        if key not in self.values:
            return default
        section = Section(f"{self.path}.{key}", self.values[key])
        return {str(name): section.text(str(name)) for name in section.values}

    def numbers(self, key: str, default: Mapping[str, float]) -> Mapping[str, float]:
        """Read a mapping of dtypes to numbers."""
        if key not in self.values:
            return default
        section = Section(f"{self.path}.{key}", self.values[key])
        section.only(*sorted(DTYPES))
        return {str(name): section.number(str(name), 0.0) for name in section.values}

    def section(self, key: str) -> "Section | None":
        """Read a nested mapping; None where it is absent."""
        return Section(f"{self.path}.{key}", self.values[key]) if key in self.values else None

    def sections(self, key: str) -> "tuple[Section, ...] | None":
        """Read a list of mappings; None where it is absent."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, list | tuple):
            raise InvalidProfile(f"{self.path}.{key} must be a list, not {_kind(value)}")
        return tuple(Section(f"{self.path}.{key}[{index}]", item) for index, item in enumerate(value))


def _profile(name: str, section: Section, known: Profiles) -> Profile:
    if not NAME.fullmatch(name):
        raise InvalidProfile(f"{section.path}: a profile's name is lower-case letters, digits, dots and dashes")
    section.only(
        "base", "resource", "vendor", "generation", "memoryGiB", "perNode", "peakTFLOPS", "bandwidthTBs",
        "interconnect", "interconnectGBs", "dtypes", "quantizations", "images", "launchers", "env", "multiNodeEnv",
        "programEnv", "collective", "metrics", "nodeSelector", "tolerations", "companions", "sharedMemoryGiB",
        "peerToPeer", "pod",
    )  # fmt: skip
    base = _base(name, section, known)
    return replace(
        base,
        accelerator=_accelerator(name, section, base.accelerator),
        generation=section.text("generation", base.generation),
        images={**base.images, **section.strings("images", {})},
        launchers={**base.launchers, **_launchers(section)},
        collective=_collective(section, base.collective),
        metrics=_metrics(section.section("metrics"), base.metrics),
        node_selector=section.strings("nodeSelector", base.node_selector),
        tolerations=_each(section, "tolerations", _toleration, base.tolerations),
        companions=_each(section, "companions", _companion, base.companions),
        program_env={**base.program_env, **_program_env(section)},
        shared_memory_gib=section.whole("sharedMemoryGiB", base.shared_memory_gib),
        memory_known=True,
        peer_to_peer=section.flag("peerToPeer", base.peer_to_peer),
        pod_patch=_patch(section.section("pod"), base.pod_patch),
    )


def _base(name: str, section: Section, known: Profiles) -> Profile:
    if "base" in section.values:
        try:
            return known.resolve(section.text("base"))
        except UnknownProfile as error:
            raise InvalidProfile(f"{section.path}.base: {error}") from None
    if name in known.by_name:
        return known.by_name[name]
    missing = [key for key in ("resource", "vendor", "memoryGiB", "perNode") if key not in section.values]
    if missing:
        raise InvalidProfile(f"{section.path}: write {', '.join(missing)}, or base: the profile that it resembles")
    try:
        return custom_resource(section.text("resource"), section.whole("perNode", 1, least=1))
    except ValueError as error:
        raise InvalidProfile(f"{section.path}.resource: {error}") from None


def _accelerator(name: str, section: Section, base: Accelerator) -> Accelerator:
    return Accelerator(
        name=name,
        vendor=section.text("vendor", base.vendor, VENDORS),
        resource=section.text("resource", base.resource),
        memory_gib=section.number("memoryGiB", base.memory_gib, least=0.5),
        peak_tflops=section.numbers("peakTFLOPS", base.peak_tflops),
        bandwidth_tb_s=section.number("bandwidthTBs", base.bandwidth_tb_s),
        per_node=section.whole("perNode", base.per_node, least=1),
        interconnect=section.text("interconnect", base.interconnect),
        interconnect_gb_s=section.number("interconnectGBs", base.interconnect_gb_s),
        dtypes=frozenset(section.words("dtypes", tuple(base.dtypes), DTYPES)),
        quantizations=frozenset(section.words("quantizations", tuple(base.quantizations), FORMATS)),
    )


def _launchers(section: Section) -> Mapping[str, tuple[str, ...]]:
    found = section.section("launchers")
    return {} if found is None else {str(program): found.words(str(program), ()) for program in found.values}


def _variables(section: Section, key: str, default: Variables) -> Variables:
    return tuple(section.strings(key, {}).items()) if key in section.values else default


def _program_env(section: Section) -> Mapping[str, Variables]:
    found = section.section("programEnv")
    return {} if found is None else {str(program): _variables(found, str(program), ()) for program in found.values}


def _collective(section: Section, base: Collective) -> Collective:
    return Collective(
        library=section.text("collective", base.library),
        env=_variables(section, "env", base.env),
        multi_node_env=_variables(section, "multiNodeEnv", base.multi_node_env),
    )


def _metrics(section: Section | None, base: DeviceMetrics | None) -> DeviceMetrics | None:
    if section is None:
        return base
    section.only(
        "exporter",
        "utilization",
        "memoryUsed",
        "memoryTotalOrFree",
        "temperature",
        "errors",
        "podLabel",
        "namespaceLabel",
        "utilizationIsShare",
    )
    return DeviceMetrics(
        exporter=section.text("exporter", base.exporter if base else "unnamed"),
        utilization=section.maybe("utilization", base.utilization if base else None),
        memory_used=section.maybe("memoryUsed", base.memory_used if base else None),
        memory_total_or_free=section.maybe("memoryTotalOrFree", base.memory_total_or_free if base else None),
        temperature=section.maybe("temperature", base.temperature if base else None),
        errors=section.maybe("errors", base.errors if base else None),
        pod_label=section.text("podLabel", base.pod_label if base else "pod"),
        namespace_label=section.text("namespaceLabel", base.namespace_label if base else "namespace"),
        is_share=section.flag("utilizationIsShare", base.is_share if base else False),
    )


T = TypeVar("T")


def _each(section: Section, key: str, read: Callable[[Section], T], default: tuple[T, ...]) -> tuple[T, ...]:
    found = section.sections(key)
    return default if found is None else tuple(read(item) for item in found)


def _toleration(section: Section) -> Toleration:
    section.only("key", "effect", "value")
    return Toleration(
        key=section.text("key"),
        effect=section.text("effect", "NoSchedule", EFFECTS),
        value=section.maybe("value", None),
    )


def _companion(section: Section) -> Companion:
    section.only("resource", "quantity", "unit", "perDevice", "multiNodeOnly")
    return Companion(
        resource=section.text("resource"),
        quantity=section.whole("quantity", 1, least=1),
        unit=section.text("unit", "", UNITS),
        per_device=section.flag("perDevice", False),
        multi_node_only=section.flag("multiNodeOnly", False),
    )


def _patch(section: Section | None, base: PodPatch) -> PodPatch:
    if section is None:
        return base
    section.only(
        "hostNetwork", "hostIPC", "privileged", "capabilities", "hostMounts", "annotations", "runtimeClass", "scheduler"
    )
    return PodPatch(
        host_network=section.flag("hostNetwork", base.host_network),
        host_ipc=section.flag("hostIPC", base.host_ipc),
        privileged=section.flag("privileged", base.privileged),
        capabilities=section.words("capabilities", base.capabilities),
        host_mounts=_each(section, "hostMounts", _host_mount, base.host_mounts),
        annotations=_variables(section, "annotations", base.annotations),
        runtime_class=section.maybe("runtimeClass", base.runtime_class),
        scheduler=section.maybe("scheduler", base.scheduler),
    )


def _host_mount(section: Section) -> HostMount:
    section.only("name", "hostPath", "mountPath", "readOnly")
    mount = HostMount(
        name=section.text("name"),
        host_path=section.text("hostPath"),
        mount_path=section.text("mountPath"),
        read_only=section.flag("readOnly", True),
    )
    for key, path in (("hostPath", mount.host_path), ("mountPath", mount.mount_path)):
        if not path.startswith("/"):
            raise InvalidProfile(f"{section.path}.{key} is {path!r}; write an absolute path")
    return mount


def _kind(value: object) -> str:
    return "empty" if value in (None, "", [], {}) else f"{type(value).__name__} {value!r}"
