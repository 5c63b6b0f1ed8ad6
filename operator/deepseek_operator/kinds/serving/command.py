"""The engine's exact command for one replica, from the recorded plan; or why there is none and what to write instead."""

from dataclasses import dataclass, replace

from deepseek_operator.api.v1alpha1.common.plan import DegreesStatus, PlanStatus
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.adapters import USUAL_RANK
from deepseek_operator.api.v1alpha1.serving.engine import Engine
from deepseek_operator.api.v1alpha1.serving.status import ResolvedAdapter, ResolvedModel
from deepseek_operator.domain.devices.accelerator import GIB
from deepseek_operator.domain.devices.profiles import Profile, pod_needs
from deepseek_operator.domain.layout import Layout
from deepseek_operator.domain.models.model import Architecture, GroupedQueryAttention
from deepseek_operator.domain.programs.arguments import Given, given
from deepseek_operator.domain.programs.engines import contract
from deepseek_operator.domain.programs.engines.entry import EngineEntry
from deepseek_operator.domain.programs.engines.loads import IN_FLIGHT
from deepseek_operator.domain.programs.engines.options import AUTO, MAX_SEQUENCES, TOOL_PARSER, Value, lacking, words
from deepseek_operator.domain.programs.engines.probes import AFTER_DRAIN_SECONDS, load_rate
from deepseek_operator.domain.programs.engines.request import Adapter, AdapterKind, EngineRequest, dialect
from deepseek_operator.domain.programs.engines.table import ENGINES, build, offered
from deepseek_operator.domain.programs.start import Start
from deepseek_operator.domain.sizing.weights import FORMATS, stored_bytes
from deepseek_operator.domain.values.command import Command, Refusal
from deepseek_operator.domain.values.quantity import to_bytes
from deepseek_operator.domain.values.version import rendered
from deepseek_operator.kinds.serving.called import engine_names
from deepseek_operator.workloads.pod.devices import lacks_memory

MODEL_PATH = "/model"
ADAPTERS_PATH = "/adapters"
"""Below it each adapter has a folder of its own, called by its number."""
GRACE_SECONDS = 60
"""Grace period when the user names none."""

ENDPOINT_SECONDS = 5
"""How long the endpoints of a pod may outlive the decision to end it; requests arrive until then."""


@dataclass(frozen=True)
class Served:
    """One replica: the user's resource, the plan of its devices, and what is known of the model.

    Attributes:
        family: the catalogue's family; empty for a private model.
        model: what is mounted; None while that is not known, or doesn't matter.
        architecture: None where the model's shape is not known.
    """

    owner: DeepSeekServing
    plan: PlanStatus
    profile: Profile
    family: str = ""
    architecture: Architecture | None = None
    model: ResolvedModel | None = None

    @property
    def engine(self) -> EngineEntry:
        """What is known of the engine."""
        return ENGINES[self.program]

    @property
    def program(self) -> str:
        """The engine by the name under which profiles list it."""
        return self.owner.spec.engine.type

    @property
    def version(self) -> str:
        """The release, in one form however it was written: the user's, else the one that the operator knows best."""
        return rendered(self.owner.spec.engine.version or self.engine.version, self.engine.by_calendar)

    @property
    def image(self) -> str | None:
        """The user's image, else the profile's at this release; None where nobody names one."""
        return self.owner.spec.engine.image or self.profile.image(self.program, self.version, self.engine.by_calendar)

    @property
    def nodes(self) -> int:
        """Pods of one replica."""
        return self.plan.nodes or 1

    @property
    def devices(self) -> int:
        """Devices of the pod: those that the layout uses; a custom engine gets what was written."""
        written = self.owner.spec.accelerator.per_node if self.owner.spec.accelerator is not None else None
        return (written if self.engine.start is Start.WRITTEN else None) or self.plan.per_node or 1


def why_not(served: Served) -> str | None:
    """Why this engine can't be run so, and what to write instead; None where it can."""
    if (refusal := _lacks_memory(served)) is not None:
        return refusal
    start = served.engine.start
    if start is Start.WRITTEN or (start is Start.OURS and served.architecture is None):
        return None
    if (refusal := _never_scales(served.owner) or _lacks_host_memory(served) or _lacks_options(served)) is not None:
        return refusal
    built = command(served)
    if isinstance(built, Refusal):
        return str(built)
    if served.engine.is_built and served.image is None:
        return (
            f"no image of {served.program} {served.version} for {served.profile.name} follows from its release; "
            "write engine.image"
        )
    return None


def _never_scales(owner: DeepSeekServing) -> str | None:
    """A target that a replica with a bounded queue never reaches: it answers 429 for ever instead."""
    admitted, autoscaling = said(owner.spec.engine).admitted, owner.spec.autoscaling
    if admitted is None or autoscaling is None:
        return None
    target = next((signal.aim for signal in autoscaling.signals if signal.type == IN_FLIGHT), 0)
    if target < admitted:
        return None
    return (
        f"autoscaling.signals[].target {target} of {IN_FLIGHT} is never exceeded: a replica admits {admitted} requests by engine.options "
        f"and engine.args and answers 429 beyond; write a target below {admitted}"
    )


def _lacks_memory(served: Served) -> str | None:
    """Kubernetes takes huge pages only beside cpu or memory."""
    resources = served.owner.spec.engine.resources
    pages = lacks_memory(pod_needs(served.profile, served.devices, served.nodes), resources.memory, resources.cpu)
    if pages is None:
        return None
    return f"{served.profile.name} needs {pages}, which pods get only beside memory: write engine.resources.memory"


def _lacks_options(served: Served) -> str | None:
    known = {entry.type: entry.options for entry in offered() if entry.is_built}
    refusal = lacking(served.engine.options, options_of(served.owner.spec.engine), known, served.engine.title)
    if refusal is not None:
        return str(refusal)
    asked, shape = served.owner.spec.engine.options, served.architecture or stand_in(Layout(), "bf16")
    speaks = dialect(served.owner.spec.model.name or "", served.family, shape)
    if asked is None or asked.tool_parser != AUTO or speaks in served.engine.tool_parsers:
        return None
    return (
        f"{served.engine.title} has no parser of its own for the tool calls of this model: write options.toolParser by the name of "
        "one that reads them, or leave it out"
    )


def _lacks_host_memory(served: Served) -> str | None:
    """What lies in host memory counts towards the pod's, where that is bounded."""
    engine = served.owner.spec.engine
    each, memory = said(engine).offload_gib, engine.resources.memory
    if not each or memory is None or to_bytes(memory) > each * served.devices * GIB:
        return None
    return (
        f"{served.devices} × {each} GiB of weights in host memory do not fit into engine.resources.memory {memory}: write more "
        f"than {served.devices * each}Gi, or a smaller options.cpuOffloadGiB"
    )


def command(served: Served) -> Command | Refusal:
    """What the engine runs. Raises ValueError where the release is none."""
    spec = served.owner.spec
    layout = layout_of(served.plan.degrees)
    storage = served.plan.format or spec.model.quantization or "bf16"
    architecture = served.architecture or stand_in(layout, storage)
    grace_s = spec.pod.termination_grace_period_seconds or GRACE_SECONDS
    names, asked = engine_names(served.owner), spec.engine.options
    stored_here = int(stored_bytes(architecture, FORMATS[storage])) if served.architecture is not None else 0
    return build(
        served.program,
        EngineRequest(
            model=spec.model.name or served.owner.metadata.name,
            family=served.family,
            path=MODEL_PATH,
            architecture=architecture,
            storage=storage,
            weights_bytes=max(stored_here, (served.model.size_bytes if served.model is not None else None) or 0),
            load_bytes_per_second=load_rate(served.model.read_bytes_per_second if served.model is not None else None),
            layout=layout,
            nodes=served.nodes,
            profile=served.profile,
            version=served.version,
            served_name=names[0],
            aliases=names[1:],
            max_model_length=spec.engine.max_model_length,
            kv_dtype=spec.engine.kv_cache_dtype or "auto",
            adapters=adapters(served.owner, served.model),
            drain_seconds=max(1, grace_s - ENDPOINT_SECONDS - AFTER_DRAIN_SECONDS),
            max_concurrency=asked.max_sequences if asked is not None else None,
            tool_calls=asked is not None and asked.tool_parser == AUTO,
            api_key_variable=contract.KEY_VARIABLE if spec.engine.api_key is not None else None,
            options=options_of(spec.engine),
            extra_args=tuple(spec.engine.args),
            extra_env=tuple(variables_of(spec.engine).items()),
        ),
    )


def adapter_mounts(model: ResolvedModel) -> tuple[tuple[str, ResolvedAdapter], ...]:
    """Each adapter of a revision, and where the pod has it."""
    return tuple((f"{ADAPTERS_PATH}/{number}", adapter) for number, adapter in enumerate(model.adapters or ()))


def adapters(owner: DeepSeekServing, model: ResolvedModel | None) -> tuple[Adapter, ...]:
    """What the engine is told of the adapters. As long as none is resolved, as many as are asked for: of what a training
    exports no rank is known then, and none is too large."""
    if model is not None:
        return tuple(
            Adapter(one.name, mount, AdapterKind(one.kind or "LoRA"), one.rank) for mount, one in adapter_mounts(model)
        )
    return tuple(Adapter(one.name, ADAPTERS_PATH, rank=one.rank or USUAL_RANK) for one in owner.spec.adapters)


def variables_of(engine: Engine) -> dict[str, str | None]:
    """The user's variables; None for a value that is not in the spec."""
    return {variable.name: None if variable.secret is not None else variable.value for variable in engine.env}


def said(engine: Engine) -> Given:
    """What options and the user's own flags tell sizing and scaling; nothing where these are refused, which `command` tells."""
    entry, asked = ENGINES[engine.type], engine.options
    args = (*words(entry.options, options_of(engine)), *engine.args)
    found = given(entry.flags, args, variables_of(engine))
    if not isinstance(found, Given):
        return Given()
    return replace(found, running=asked.max_sequences) if asked is not None and asked.max_sequences else found


def options_of(engine: Engine) -> dict[str, Value]:
    """What is asked of the engine by its options, but for what the request has a place of its own for."""
    asked: dict[str, Value] = engine.options.to_wire() if engine.options is not None else {}
    return {
        name: value for name, value in asked.items() if name != MAX_SEQUENCES and (name, value) != (TOOL_PARSER, AUTO)
    }


def layout_of(degrees: DegreesStatus | None) -> Layout:
    """The recorded layout; one device where none was recorded."""
    if degrees is None:
        return Layout()
    return Layout(tensor=degrees.tensor, pipeline=degrees.pipeline, data=degrees.data, expert=degrees.expert)


def stand_in(layout: Layout, storage: str) -> Architecture:
    """A dense shape that this layout can cut: for commands of models whose own shape is not known."""
    return Architecture(
        layers=layout.pipeline,
        hidden=128 * layout.tensor,
        vocabulary=1,
        context=1,
        attention=GroupedQueryAttention(layout.tensor, layout.tensor, 128),
        dense_width=128 * layout.tensor,
        native_format=storage,
    )
