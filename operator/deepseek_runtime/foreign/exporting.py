"""The finished model of a trainer that writes it in Hugging Face's form beside its checkpoints: an export for engines.

LLaMA-Factory writes it into its output folder when the last step is done; of ms-swift the last checkpoint holds it. With
method LoRA it is the adapter in peft's form. torchtitan, Megatron and DeepSpeed write forms of their own, which no engine
reads: no export is made of them.
"""

from dataclasses import replace
from pathlib import Path

from deepseek_runtime.checkpoint.files import remove, sync_files
from deepseek_runtime.checkpoint.integrity import describe
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.checkpoint.volume import Export, Volume
from deepseek_runtime.contract import Contract
from deepseek_runtime.foreign.placing import link_file

_NAMES = (
    *("config.json", "generation_config.json", "adapter_config.json", "model.safetensors.index.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("merges.txt", "tokenizer.model", "chat_template.jinja"),
)
_WEIGHTS = ("model*.safetensors", "adapter_model.safetensors")


def export(contract: Contract, volume: Volume, checkpoint: Manifest, output: Path) -> Export | None:
    """Makes the export of the last checkpoint; None where the trainer left no model in this form.

    Raises OSError, Full, and Superseded when a later attempt has begun.
    """
    places = (output, volume.step_directory(checkpoint.incarnation, checkpoint.step))
    source = next((place for place in places if weights(place)), None)
    if source is None or volume.has_export_of(checkpoint):
        return None
    torn = volume.torn_export_directory(contract.pod_uid, checkpoint.step)
    remove(torn)
    with writing(volume.root, f"the export of step {checkpoint.step}"):
        torn.mkdir(parents=True)
        for place in places:  # a tokenizer may lie beside the checkpoints alone
            for file in [*(place / name for name in _NAMES), *(weights(place) if place == source else ())]:
                if file.is_file() and not file.is_symlink() and not (torn / file.name).exists():
                    link_file(file, torn / file.name)
        sync_files(torn)
        manifest = replace(
            checkpoint,
            kind="Export",
            incarnation=contract.pod_uid,
            attempt=contract.attempt,
            job_uid=contract.job_uid,
            parent=checkpoint.position,
            files=describe(torn),
            healthy=True,
        )
        return volume.commit_export(manifest, contract.attempt)


def weights(place: Path) -> list[Path]:
    """The model in Hugging Face's form that lies there; nothing where none does."""
    return sorted(file for pattern in _WEIGHTS for file in place.glob(pattern))
