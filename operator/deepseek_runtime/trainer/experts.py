"""Expert parallelism: the routed experts of a layer are dealt out over N processes, and tokens travel to them.

By transformers' own all-to-all: each process sends every token to the processes of the experts that its router chose, and
gets their answers back. Experts are never gathered whole then, which is what it is for: a layer of DeepSeek-V2-Lite has
1.0 GiB of them in bf16. It costs two exchanges of (tokens of a pass × experts per token × hidden size) in each layer
forward and two backward, and a wait for the host in each, for the sizes. Groups are neighbouring ranks, so that N of a
node's processes stay on its links; over processes that hold the same experts FSDP divides each of them as it does the rest.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import replace

from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel
from transformers.distributed.expert_parallel import apply_expert_parallelism

from deepseek_runtime.contract import Invalid

FIELD = "parallelism.expert"
_DISPATCHED, _DIVIDED = "ep_dispatch_experts", "grouped_gemm"
"""What transformers' plans of expert parallelism call the modules that get tokens, and their tensors."""
_LAYER = re.compile(r"\.\d+(?=\.|$)")


def deal_out(model: PreTrainedModel, mesh: DeviceMesh, over: int, policy: MixedPrecisionPolicy) -> None:
    """Divides the experts of every layer over groups of `over` processes, and each of them by FSDP over the groups.

    For a model without numbers, before the rest of it is divided. Raises Invalid where the model has no experts, or not
    such a number of them.
    """
    # An export gathers experts in two steps, once: nothing that a user could do anything about.
    logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
    plan = plan_of(model)
    _refuse(model, plan, over, mesh.size())
    groups = mesh.size() // over
    # The last axis is of processes that would share a batch, which none do here.
    dealt = init_device_mesh(mesh.device_type, (groups, over, 1), mesh_dim_names=("shard", "expert", "same_batch"))
    # A sum over both is made at once then, in the same order everywhere.
    dealt["shard", "expert"]._flatten("everybody")
    apply_expert_parallelism(model, dealt["expert"], dealt["same_batch"], plan, "all_to_all")
    for path, module in model.named_modules():
        if plan.get(path) == _DISPATCHED:
            _divide(module, dealt["shard"], mesh.size(), policy)


def _divide(module: nn.Module, groups: DeviceMesh, processes: int, policy: MixedPrecisionPolicy) -> None:
    """By FSDP over the processes that hold the same experts, with gradients averaged like everybody's."""
    # What comes in has the type of the computation, but for the routers' weights, which are to keep theirs.
    divided = fully_shard(module, mesh=groups, mp_policy=replace(policy, cast_forward_inputs=False))
    assert isinstance(divided, FSDPModule)
    # Tokens of all processes have come to the experts of a group: its sum is over all of them, not over the groups alone.
    divided.set_gradient_divide_factor(float(processes))
    if groups.size() > 1:
        # gloo knows no scaled sum, and NCCL's makes zeros of bf16 (pytorch/pytorch#190747): summed, then divided.
        divided.set_force_sum_reduction_for_comms(True)


def plan_of(model: PreTrainedModel) -> dict[str, str]:
    """transformers' plan for this architecture, by the paths of this model's modules and tensors."""
    patterns: Mapping[str, str] = model.ep_plan
    there = (path for found in (model.named_modules(), model.named_parameters()) for path, _ in found)
    # Tensors first: their module counts its experts anew before it is told how tokens come.
    named = {path: style for path in there if (style := patterns.get(_LAYER.sub(".*", path))) is not None}
    return dict(sorted(named.items(), key=lambda item: item[1] == _DISPATCHED))


def _refuse(model: PreTrainedModel, plan: Mapping[str, str], over: int, processes: int) -> None:
    kind = model.config.model_type
    if any(style == _DISPATCHED and hasattr(model.get_submodule(path), "base_layer") for path, style in plan.items()):
        raise Invalid(
            f"{FIELD} is {over}, and method.lora.targets name experts: adapters of experts can't be dealt out. Leave"
            f" {FIELD} out, or the experts out of method.lora.targets"
        )
    counts = {model.get_parameter(path).shape[0] for path, style in plan.items() if style == _DIVIDED}
    if not counts:
        raise Invalid(
            f"{FIELD} is {over}, and a {kind} like this has no routed experts that transformers deals out: leave it out"
        )
    for count in sorted(counts):
        if count % over:
            raise Invalid(f"{FIELD} is {over}, which does not divide the {count} experts of a layer: write a divisor")
    if processes % over:
        raise Invalid(f"{FIELD} is {over}, which does not divide the {processes} processes: write a divisor of it")
