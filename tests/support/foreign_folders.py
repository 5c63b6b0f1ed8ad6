"""Checkpoint folders as other trainers write them, with small files of the right forms; see `foreign.layouts` for the sources."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path


def safetensors(numbers: int = 8) -> bytes:
    """One tensor of float32."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4 * numbers)


def archive(content: bytes = b"state") -> bytes:
    """The form of torch.save: a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as found:
        found.writestr("archive/data.pkl", content * 40)
    return stream.getvalue()


def metadata(*names: str) -> bytes:
    """The form of torch.distributed.checkpoint's description, as far as it is read."""
    return pickle.dumps({name: {"relative_path": name, "offset": 0} for name in names})


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def trainer_state(step: int, max_steps: int = 100, loss: float = 1.5, eval_loss: float | None = None) -> bytes:
    """transformers' own account of a training."""
    history: list[dict[str, object]] = [{"step": n, "loss": loss, "epoch": n / 10} for n in range(1, step + 1)]
    history += [] if eval_loss is None else [{"step": step, "eval_loss": eval_loss}]
    return json.dumps({"global_step": step, "max_steps": max_steps, "log_history": history}).encode()


def hugging_face(
    output: Path,
    step: int,
    ranks: int = 1,
    *,
    adapter: bool = False,
    deepspeed: bool = False,
    max_steps: int = 100,
    loss: float = 1.5,
    eval_loss: float | None = None,
) -> Path:
    """transformers' Trainer, as under LLaMA-Factory and `swift sft`."""
    weights = "adapter_model.safetensors" if adapter else "model.safetensors"
    states = ["rng_state.pth"] if ranks == 1 else [f"rng_state_{rank}.pth" for rank in range(ranks)]
    files = {
        weights: safetensors(),
        "config.json": b"{}",
        "scheduler.pt": archive(),
        **{name: archive() for name in states},
    }
    if deepspeed:
        inside = f"global_step{step}"
        files |= {f"{inside}/bf16_zero_pp_rank_{r}_mp_rank_00_optim_states.pt": archive() for r in range(ranks)}
        files |= {f"{inside}/mp_rank_00_model_states.pt": archive(), "latest": inside.encode()}
    else:
        files["optimizer.pt"] = archive()
    files["trainer_state.json"] = trainer_state(step, max_steps, loss, eval_loss)
    return _write(output / f"checkpoint-{step}", files)


def sharded_hugging_face(output: Path, step: int, ranks: int = 1) -> Path:
    """The same with weights in two files and their index."""
    folder = hugging_face(output, step, ranks)
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    return _write(
        folder,
        {"model-00002-of-00002.safetensors": safetensors(), "model.safetensors.index.json": json.dumps(index).encode()},
    )


def torchtitan(output: Path, step: int, ranks: int = 1) -> Path:
    """torchtitan's `checkpoint/step-N`."""
    names = [f"__{rank}_0.distcp" for rank in range(ranks)]
    files = {**dict.fromkeys(names, b"tensors"), ".metadata": metadata(*names)}
    return _write(output / "checkpoint" / f"step-{step}", files)


def megatron_bridge(output: Path, step: int, ranks: int = 1) -> Path:
    """Megatron-Bridge's `iter_0000100`, and its trackers beside it."""
    names = [f"__{rank}_0.distcp" for rank in range(ranks)]
    inside = {
        **dict.fromkeys(names, b"tensors"),
        ".metadata": metadata(*names),
        "metadata.json": b'{"sharded_backend": "torch_dist"}',
    }
    inside |= {"common.pt": archive(), "train_state.pt": archive(str(step).encode()), "run_config.yaml": b"train: {}\n"}
    folder = _write(output / f"iter_{step:07d}", inside)
    _write(
        output,
        {"latest_train_state.pt": inside["train_state.pt"], "latest_checkpointed_iteration.txt": str(step).encode()},
    )
    return folder


def swift_megatron(output: Path, step: int, ranks: int = 1) -> Path:
    """ms-swift's Megatron: a tracker inside the folder, a link beside it."""
    names = [f"__{rank}_0.distcp" for rank in range(ranks)]
    inside = {**dict.fromkeys(names, b"tensors"), ".metadata": metadata(*names), "common.pt": archive()}
    files = {f"iter_{step:07d}/{name}": content for name, content in inside.items()}
    folder = _write(
        output / f"checkpoint-{step}",
        {**files, "latest_checkpointed_iteration.txt": str(step).encode(), "args.json": b"{}"},
    )
    (output / "last").unlink(missing_ok=True)
    (output / "last").symlink_to(folder.name)
    return folder


def deepspeed(output: Path, step: int, ranks: int = 1) -> Path:
    """DeepSpeed's own `save_checkpoint`."""
    files = {f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt": archive() for rank in range(ranks)}
    folder = _write(output / f"global_step{step}", {**files, "mp_rank_00_model_states.pt": archive()})
    _write(output, {"latest": folder.name.encode()})
    return folder


WRITERS: Mapping[str, Callable[[Path, int, int], Path]] = {
    "llama-factory": hugging_face,
    "ms-swift": sharded_hugging_face,
    "ms-swift-megatron": swift_megatron,
    "torchtitan": torchtitan,
    "megatron-bridge": megatron_bridge,
    "deepspeed": deepspeed,
}
"""One for each adapter."""
