"""What sizing needs to know of one kind of device. The data lives in the profiles; this is only its shape."""

from collections.abc import Mapping
from dataclasses import dataclass

GIB = 1 << 30


@dataclass(frozen=True)
class Accelerator:
    """One device as Kubernetes hands it out (a card, a die or a slice).

    ``memory_gib`` is what the device itself reports, in binary GiB, not the
    marketing figure: an H200 sold as 141 GB reports 140.4. ``peak_tflops``
    holds dense figures by dtype (``bf16``, ``fp8``, ``int8``, ``fp4``);
    a dtype that the device lacks is absent. ``bandwidth_tb_s`` is that of
    device memory, ``interconnect_gb_s`` that of one device to its peers in the
    node (one direction). ``dtypes`` and ``quantizations`` are what its engines
    can run: a format missing there is refused, never emulated. ``dtypes`` are
    drawn from fp32, fp16, bf16, fp8, int8 and fp4; ``quantizations`` from the
    storage formats fp8, int8, awq, gptq, w4a8, nvfp4, mxfp4 (V4's own) and
    nf4 (QLoRA). Engines may run a format whose dtype the device lacks, such as
    mxfp4 on Hopper, by widening it on the fly: hence two sets.
    """

    name: str
    vendor: str
    resource: str
    memory_gib: float
    peak_tflops: Mapping[str, float]
    bandwidth_tb_s: float
    per_node: int
    interconnect: str
    interconnect_gb_s: float
    dtypes: frozenset[str]
    quantizations: frozenset[str]

    @property
    def joins_devices(self) -> bool:
        """Whether one job can use several devices of a node: not slices of a card, which can't reach each other."""
        return self.interconnect.casefold() != "none"

    def runs(self, storage: str) -> bool:
        """Whether its engines can run this format."""
        return storage in self.quantizations or storage in self.dtypes

    @property
    def memory_bytes(self) -> int:
        """Physical memory of one device in bytes."""
        return int(self.memory_gib * GIB)
