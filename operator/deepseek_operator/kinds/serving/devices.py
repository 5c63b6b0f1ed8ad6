"""How one replica lies on the devices of a profile: sized, checked, recorded in `status.plan`, and read from there.

A replica is one pod where one node holds it, else a pod on each of several whole nodes. A model whose shape is not known
is served on the devices as written, or on all of a node, with tensor parallelism over them and a stage on each node.
"""

from deepseek_operator.api.v1alpha1.common.accelerator import Parallelism, profiled
from deepseek_operator.api.v1alpha1.common.plan import PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.adapters import USUAL_RANK
from deepseek_operator.api.v1alpha1.serving.spec import ServingSpec
from deepseek_operator.api.v1alpha1.serving.status import ResolvedModel
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import digest
from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.devices.profiles import Profile
from deepseek_operator.domain.layout import FixedDegrees, Layout
from deepseek_operator.domain.models.known import known
from deepseek_operator.domain.models.model import Architecture
from deepseek_operator.domain.programs.engines.table import ENGINES
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing import size_serving
from deepseek_operator.domain.sizing.fit import Refused, Shape, Sized
from deepseek_operator.domain.sizing.request import ServingRequest
from deepseek_operator.kinds.serving.command import Served, said, why_not
from deepseek_operator.kinds.serving.revision import update_token
from deepseek_operator.workloads.device_plan import (
    degrees_of,
    profile_of,
    reason_of,
    refused_plan,
    sized_plan,
    told,
    unsized_plan,
)
from deepseek_operator.workloads.reasons import NEEDS_MULTIPLE_NODES, UNSUPPORTED


def nodes_of(owner: DeepSeekServing) -> int:
    """Pods of one replica: as planned, else as written, else one."""
    if profiled(owner.spec.accelerator) is None:
        return owner.spec.nodes.number
    return (owner.status.plan.nodes if owner.status.plan is not None else None) or 1


def reference(owner: DeepSeekServing, with_flags: bool = True, with_adapters: bool = True) -> str:
    """Digest of what a plan depends on: of the spec, and of the update that was taken.

    `with_flags=False`: as it was before sizing read the user's own flags; `with_adapters=False`: before it counted adapters.
    What was planned so stays planned.
    """
    wire, token = owner.spec.to_wire(), update_token(owner)
    model, engine = wire["model"], wire["engine"]
    own = said(owner.spec.engine)
    counted = {
        "memoryFraction": own.memory_fraction,
        "stepTokens": own.step_tokens,
        "speculation": own.speculation,
        "offloadGiB": own.offload_gib,
    }
    flags = {name: value for name, value in counted.items() if value} if with_flags else {}
    slots = _slots(owner.spec) if with_adapters else (0, 0)
    return digest(
        {
            "accelerator": wire.get("accelerator"),
            "parallelism": wire.get("parallelism"),
            **({"nodes": wire["nodes"]} if owner.spec.nodes.count is not None else {}),
            "model": {key: model[key] for key in ("name", "custom", "quantization") if key in model},
            "engine": {key: engine[key] for key in ("type", "version", "image", "maxModelLength", "kvCacheDtype")
                       if key in engine},
            **({"flags": flags} if flags else {}),
            **({"adapters": slots} if slots[0] else {}),
            **({"update": token} if token else {}),
        }
    )  # fmt: skip


def earlier_references(owner: DeepSeekServing) -> tuple[str, ...]:
    """Those by which earlier releases planned the same spec, the newest first."""
    return reference(owner, with_adapters=False), reference(owner, with_flags=False, with_adapters=False)


def _slots(spec: ServingSpec) -> tuple[int, int]:
    """Adapters that the engine keeps room for when it starts, and their rank; 0 of an engine that does not.

    Of a training's adapter the usual rank is taken: which it has is known only once it is exported.
    """
    if not ENGINES[spec.engine.type].memory.keeps_slots:
        return 0, 0
    own = said(spec.engine)
    rank = own.adapter_rank or max((one.rank or USUAL_RANK for one in spec.adapters), default=USUAL_RANK)
    return own.adapter_slots or len(spec.adapters), rank


def planned(owner: DeepSeekServing, configuration: Configuration) -> PlanStatus | None:
    """The plan of the present spec, made anew; None without a profile."""
    accelerator = profiled(owner.spec.accelerator)
    if accelerator is None:
        return None
    asked = reference(owner)
    profile = profile_of(accelerator, owner.metadata.namespace, configuration, asked)
    if isinstance(profile, PlanStatus):
        return profile
    plan = _laid_out(asked, owner, profile)
    if plan.refused:
        return plan
    why = why_not(served(owner, plan, profile))
    return refused_plan(asked, UNSUPPORTED, why) if why is not None else plan


def served(owner: DeepSeekServing, plan: PlanStatus, profile: Profile, resolved: ResolvedModel | None = None) -> Served:
    """What the engine is asked to serve, on the devices and in the layout of the plan; `resolved` is what is mounted."""
    model = known(owner.spec.model.name, owner.spec.model.custom, owner.spec.model.quantization)
    return Served(owner, plan, profile, model.family, model.architecture, resolved)


def _laid_out(asked: str, owner: DeepSeekServing, profile: Profile) -> PlanStatus:
    spec, model = owner.spec, known(owner.spec.model.name, owner.spec.model.custom, owner.spec.model.quantization)
    if model.architecture is None:
        return _guessed(asked, spec, model.unknown) or _unsized(asked, spec, profile, model.unknown)
    if not profile.memory_known:
        return _unsized(asked, spec, profile, f"nothing is known of the memory of {profile.name}")
    if spec.model.quantization is None and model.stored_as is not None:
        named = spec.model.model_copy(update={"quantization": model.stored_as})
        spec = spec.model_copy(update={"model": named})
    found, engine = _sized(spec, profile, model.architecture), ENGINES[spec.engine.type]
    match found:
        case Sized():
            return sized_plan(asked, profile.name, found)
        case Refused() if engine.start is Start.WRITTEN:
            return _unsized(
                asked, spec, profile, f"a usual engine would not fit ({found.message}), but yours is custom"
            )
        case Refused():
            is_wide = spec.nodes.count is None and any(option.shape.nodes > 1 for option in found.alternatives)
            message = told(found, found.alternatives) + (" (several nodes: write nodes.count)" if is_wide else "")
            return refused_plan(asked, reason_of(found), message, found)


def _sized(spec: ServingSpec, profile: Profile, architecture: Architecture) -> Sized | Refused:
    """On as many nodes as written, else on one, else on as many whole ones as it takes.

    Who writes the devices of a pod has one pod in mind: it becomes several where nodes are written too.
    """
    fixed = spec.nodes.count
    found = size_serving(_request(spec, profile, architecture, nodes=fixed or 1))
    is_open = fixed is None and spec.accelerator is not None and spec.accelerator.per_node is None
    if isinstance(found, Sized) or not is_open or ENGINES[spec.engine.type].start is not Start.BUILT:
        return found
    wide = size_serving(_request(spec, profile, architecture, nodes=None))
    return wide if isinstance(wide, Sized) else found


def _guessed(asked: str, spec: ServingSpec, why: str) -> PlanStatus | None:
    """The refusal of a tensor degree that nobody wrote: which one divides the heads of an unknown model can't be told."""
    fixed, accelerator = spec.parallelism or Parallelism(), spec.accelerator
    written = accelerator.per_node if accelerator is not None else None
    if (
        not ENGINES[spec.engine.type].is_built
        or fixed.tensor is not None
        or (written == (fixed.pipeline or 1) * (fixed.data or 1) and spec.nodes.number == 1)
    ):
        return None
    message = (
        f"{why}: neither devices nor ranks follow, and a guessed tensor degree may not divide its heads. Write one of "
        "those names, or the fields of its config.json as model.custom, or accelerator.perNode with parallelism.tensor"
    )
    return refused_plan(asked, UNSUPPORTED, message)


def _request(spec: ServingSpec, profile: Profile, architecture: Architecture, nodes: int | None) -> ServingRequest:
    engine, fixed, own = spec.engine, spec.parallelism or Parallelism(), said(spec.engine)
    slots, rank = _slots(spec)
    return ServingRequest(
        architecture,
        profile.accelerator,
        engine=ENGINES[engine.type].memory,
        storage=spec.model.quantization,
        kv_dtype=engine.kv_cache_dtype if engine.kv_cache_dtype != "auto" else None,
        context=engine.max_model_length,
        nodes=nodes,
        per_node=spec.accelerator.per_node if spec.accelerator is not None else None,
        memory_fraction=own.memory_fraction,
        step_tokens=own.step_tokens,
        speculation=own.speculation,
        offload_bytes=(own.offload_gib or 0) * GIB,
        adapters=slots,
        adapter_rank=rank or USUAL_RANK,
        fixed=FixedDegrees(tensor=fixed.tensor, pipeline=fixed.pipeline, data=fixed.data),
    )


def _unsized(asked: str, spec: ServingSpec, profile: Profile, why: str) -> PlanStatus:
    """Devices as written, else those of the written degrees, else all of a node; tensor ranks take what is left open."""
    fixed, nodes = spec.parallelism or Parallelism(), spec.nodes.number
    written = spec.accelerator.per_node if spec.accelerator is not None else None
    # A stage a node where nobody says otherwise: across nodes tensor ranks wait for each other in every layer.
    stages = fixed.pipeline or (nodes if fixed.tensor is None and fixed.data is None else 1)
    others = stages * (fixed.data or 1)
    engine = ENGINES[spec.engine.type]
    usual = profile.accelerator.per_node if engine.memory.parallel and profile.peer_to_peer else 1
    in_all = fixed.tensor * others if fixed.tensor is not None else usual * nodes
    devices = written or max(in_all // nodes, 1)
    layout = Layout(tensor=fixed.tensor or max(devices * nodes // others, 1), pipeline=stages, data=fixed.data or 1)
    if engine.is_built and layout.gpus != devices * nodes:
        message = (
            f"parallelism multiplies to {layout.gpus} devices ({layout}), "
            f"{f'nodes.count {nodes} × ' if nodes > 1 else ''}accelerator.perNode is {devices * nodes}: write the same"
        )
        return refused_plan(asked, UNSUPPORTED, message)
    if devices > profile.accelerator.per_node:
        most = profile.accelerator.per_node
        message = (
            f"{layout} takes {Shape(nodes, devices).gpus} devices, a node of {profile.name} has {most}: write "
            f"nodes.count: {-(-layout.gpus // most)}, or smaller degrees"
        )
        return refused_plan(asked, NEEDS_MULTIPLE_NODES, message)
    plan = unsized_plan(asked, profile.name, nodes, devices, why)
    if not engine.is_built:
        return plan
    return plan.model_copy(update={"layout": str(layout), "degrees": degrees_of(layout)})
