"""The parts of a training, put together once, before its first step."""

from collections.abc import Sequence

from torch import nn

from deepseek_runtime.checkpoint.ranking import best
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import Full, Weights
from deepseek_runtime.trainer import identity as identities
from deepseek_runtime.trainer.balancing import Balance
from deepseek_runtime.trainer.base import digest_of
from deepseek_runtime.trainer.beginning import begin_with
from deepseek_runtime.trainer.checkpoints import Checkpoints
from deepseek_runtime.trainer.compression import Compression
from deepseek_runtime.trainer.course import Course
from deepseek_runtime.trainer.datasets import read_corpus
from deepseek_runtime.trainer.diverging import Diverging
from deepseek_runtime.trainer.expert_load import ExpertLoad
from deepseek_runtime.trainer.exporting import Exporter
from deepseek_runtime.trainer.filling import fill
from deepseek_runtime.trainer.gauges import Gauges
from deepseek_runtime.trainer.held import ADAPTER_NAME, COURSE_NAME, DATA_NAME
from deepseek_runtime.trainer.loop import Training
from deepseek_runtime.trainer.measuring import Measuring
from deepseek_runtime.trainer.meshes import copies, hybrid
from deepseek_runtime.trainer.method import Method, method_of
from deepseek_runtime.trainer.model import outline, shard
from deepseek_runtime.trainer.objective import objective_of
from deepseek_runtime.trainer.optimizers import optimizers
from deepseek_runtime.trainer.own_metrics import OwnMetrics
from deepseek_runtime.trainer.plan import Plan, plan
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.recomputing import recompute
from deepseek_runtime.trainer.resuming import resume, waiting_of
from deepseek_runtime.trainer.saver import Saver
from deepseek_runtime.trainer.starting import Start, begin
from deepseek_runtime.trainer.state import State
from deepseek_runtime.trainer.straggling import pacing
from deepseek_runtime.trainer.update import Learner

_WHOLE = "name a whole model in Hugging Face form, or correct model.custom"


def prepare(rank: Rank) -> Training:
    """Everything from the choice of a checkpoint to its loading, on all ranks together. Raises Invalid, Damaged, Full."""
    start = begin(rank.contract, rank.gang)
    with reading("spec.model", _WHOLE):
        model, tokenizer = outline(rank.spec.model)
    corpus = read_corpus(rank, model, tokenizer, resumes=start.manifest is not None)
    planned = plan(rank, corpus, start)
    method, objective = _method(rank), objective_of(rank.spec.objective, rank.parameters.cross_entropy)
    method.prepare(model)
    recompute(model, rank.parameters.activation_recomputation)
    whole = method.trained(model) if rank.spec.compression is not None else ()
    number = copies(rank.spec.sharding, rank.contract.gang)
    mesh = hybrid(rank.gang.mesh, number) if number > 1 else rank.gang.mesh
    shard(model, mesh, rank.parameters.precision, rank.spec.expert, whole)
    with reading("spec.model", _WHOLE):
        ranks = rank.gang.world_size
        fill(model, rank.spec.model, rank.parameters.seed, rank.gang.device, ranks, rank.spec.expert, number)
    method.begin(model)
    compression = _compression(rank, method.trained(model))
    state = State(model, optimizers(model, method.trained(model), rank.parameters), method, compression)
    course = _course(rank, start, planned)
    saver = _saver(rank, start, planned, method.note(model), course, number)
    if start.manifest is None and rank.spec.init_from is not None:
        begin_with(rank, rank.spec.init_from, state)
    standing = resume(rank, start, planned, state)
    rank.telling.tell(**course.told())
    checkpoints = Checkpoints(rank, saver, state, best(start.lineage.ancestors, rank.contract.checkpoints.best))
    pad_id, steps = tokenizer.pad_token_id or 0, planned.max_steps
    balance = Balance(model, rank.gang) if rank.spec.objective == "Pretrain" else None
    exporter = Exporter(rank, start.lineage.incarnation, model, tokenizer, method)
    own = OwnMetrics(rank, exporter, rank.spec.evaluation) if rank.spec.evaluation is not None else None
    # Where experts are dealt out to ranks, routers tell each rank of its own alone.
    load = ExpertLoad(model, rank.gang) if rank.spec.expert == 1 else None
    return Training(
        rank=rank,
        start=start,
        learner=Learner(rank, model, pad_id, state, objective, corpus, steps, balance, load),
        measuring=Measuring(rank, model, tokenizer, corpus.heldout, steps, standing.measured, own),
        checkpoints=checkpoints,
        diverging=Diverging(rank, start, checkpoints, course),
        course=course,
        gauges=Gauges(rank.gang, standing.step, steps, load),
        pacing=pacing(rank.gang, model, rank.contract.node_name),
        exporter=exporter,
        max_steps=steps,
        step=standing.step,
        loss=standing.loss,
    )


def _method(rank: Rank) -> Method:
    """What is trained beside a base knows which one by its digest."""
    model, base = rank.spec.model, None
    if not isinstance(rank.spec.method, Full) and isinstance(model, Weights):
        base = digest_of(model.path, rank.gang)
    return method_of(rank.spec, base)


def _compression(rank: Rank, trained: Sequence[nn.Parameter]) -> Compression | None:
    if rank.spec.compression is None:
        return None
    return Compression(trained, rank.spec.compression.rank, rank.parameters.seed, rank.gang.mesh)


def _course(rank: Rank, start: Start, planned: Plan) -> Course:
    """Batches are left out as long as they are those of the same order."""
    if start.held is None:
        return Course()
    return Course(start.held.course().skips if planned.continues else (), waiting_of(rank, start.held))


def _saver(rank: Rank, start: Start, planned: Plan, adapter: bytes | None, course: Course, number: int) -> Saver:
    lasting = {DATA_NAME: identities.encode(planned.identity), ADAPTER_NAME: adapter}

    def notes() -> dict[str, bytes]:
        now = {**lasting, COURSE_NAME: course.encode()}
        return {name: content for name, content in now.items() if content is not None}

    return Saver(
        rank.gang, rank.volume, rank.contract, start.lineage, rank.heartbeat.beat, notes, rank.spec.expert, number
    )
