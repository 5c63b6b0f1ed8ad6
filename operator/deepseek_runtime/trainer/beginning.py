"""The weights of another training's checkpoint, to begin with: nothing else of it, neither optimizer nor steps nor data."""

from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from deepseek_runtime.checkpoint.choice import named
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Invalid
from deepseek_runtime.reading import reading
from deepseek_runtime.spec import InitFrom
from deepseek_runtime.trainer.gang import broadcast
from deepseek_runtime.trainer.held import Held
from deepseek_runtime.trainer.rank import Rank
from deepseek_runtime.trainer.starting import first_whole
from deepseek_runtime.trainer.state import State

# What names of weights begin with in a checkpoint, beside the optimizer's.
_MODEL = "model."


def begin_with(rank: Rank, wanted: InitFrom, state: State) -> None:
    """Reads them into the model, on all ranks together. Raises Invalid, Damaged."""
    volume = Volume(wanted.path)
    with reading("initFrom", "name a training whose checkpoints lie there"):
        chosen = broadcast(_chosen(rank, wanted, volume) if rank.gang.is_first else None)
    if isinstance(chosen, str):
        raise Invalid(chosen)
    assert isinstance(chosen, tuple)
    found: Manifest | None = first_whole(chosen, volume, rank.gang)
    assert found is not None
    held = Held.on(volume, found)
    state.method.accept(state.model, held.adapter(), found.step)
    _refuse_misfits(state, held)
    rank.heartbeat.beat()
    rank.together(lambda: state.load_weights(held))
    rank.telling.log({"event": "init", "training": found.training_uid, "step": found.step})


def _refuse_misfits(state: State, held: Held) -> None:
    """Raises Invalid where a tensor misses, is left over or is of another shape: with less, another model would learn."""
    wanted = {f"{_MODEL}{name}": tuple(one.shape) for name, one in state.method.weights(state.model).items()}
    described = held.metadata.state_dict_metadata
    known = {name: tuple(one.size) for name, one in described.items() if isinstance(one, TensorStorageMetadata)}
    held_here = {name: size for name, size in known.items() if name.startswith(_MODEL)}
    for name in sorted(wanted.keys() | held_here.keys()):
        if wanted.get(name) != held_here.get(name):
            sizes = [list(size) if (size := side.get(name)) is not None else "absent" for side in (held_here, wanted)]
            raise Invalid(
                f"initFrom: the weights of step {held.manifest.step} don't fit the model that spec.model names: write the one"
                f" that they were trained as ({name.removeprefix(_MODEL)} is {sizes[0]} there, {sizes[1]} here)"
            )


def _chosen(rank: Rank, wanted: InitFrom, volume: Volume) -> tuple[Manifest, ...] | str:
    """First choice first; what is wrong in words, where nothing is, for all ranks."""
    try:
        return named(
            volume, wanted.checkpoint, rank.contract.checkpoints.best, "initFrom", f"the training in {wanted.path}"
        )
    except Invalid as error:
        return str(error)
