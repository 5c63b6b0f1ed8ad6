"""One process of a gang that starts from models, for `test_filling` (see `gangs`).

Tells, for each model there and each of the families at random weights, its digest, and
for the large one by how many bytes the process grew while it got its share.
"""

import hashlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from deepseek_runtime.spec import Custom, Weights
from deepseek_runtime.trainer.filling import fill
from deepseek_runtime.trainer.model import outline, shard
from tests.runtime.families import FAMILIES
from tests.runtime.gangs import tell

WIDTH, INNER, LAYERS = 512, 2048, 24
LARGE: dict[str, object] = {
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 64,
}


def main(folder: Path, rank: int, world: int) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", store=dist.FileStore(str(folder / f"meet-{world}"), world), rank=rank, world_size=world
    )
    digests = {f"random {name}": _digest(_filled(Custom(fields), world)) for name, fields in FAMILIES.items()}
    for path in sorted(folder.glob("model-*")):
        digests[path.name] = _digest(_filled(Weights(path), world))
    grown = {}
    for name in ("Custom", "large", "large-fp8"):
        source = Custom(LARGE) if name == "Custom" else Weights(folder / name)
        _forget_peak()
        before = _peak_bytes()
        network = _filled(source, world)
        grown[name] = _peak_bytes() - before
        del network
    tell(folder, rank, world, {"digests": digests, "grown": grown})
    dist.barrier()
    dist.destroy_process_group()


def _filled(source: Custom | Weights, world: int) -> PreTrainedModel:
    model, _ = outline(source)
    shard(model, init_device_mesh("cpu", (world,)), "fp32")
    fill(model, source, 1, torch.device("cpu"), world)
    return model


def _digest(model: PreTrainedModel) -> str:
    found = hashlib.sha256()
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers()]:
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        found.update(f"{name} {tensor.requires_grad} ".encode() + whole.detach().numpy().tobytes())
    return found.hexdigest()


def _forget_peak() -> None:
    """Lets the kernel count anew (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
