"""Making an export of a checkpoint: its weights gathered on rank 0, written there by a thread, committed."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from deepseek_runtime.chat.template import text_of, write_template
from deepseek_runtime.checkpoint.files import bytes_below
from deepseek_runtime.checkpoint.integrity import describe
from deepseek_runtime.checkpoint.manifest import Manifest
from deepseek_runtime.checkpoint.room import writing
from deepseek_runtime.clock import now
from deepseek_runtime.trainer.gang import broadcast, wait_for_all
from deepseek_runtime.trainer.method import Method
from deepseek_runtime.trainer.rank import Rank


def exported_steps(rank: Rank) -> list[int]:
    """Steps of the exports that lie there, as rank 0 sees them; nothing on other ranks."""
    return [manifest.step for manifest in rank.volume.exports()] if rank.gang.is_first else []


@dataclass(frozen=True)
class Exporter:
    """Exports the weights that the model holds at the time. `incarnation` is this attempt's."""

    rank: Rank
    incarnation: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    method: Method

    def export(self, checkpoint: Manifest, measured: Mapping[str, float | None]) -> None:
        """Writes what the model holds as the export of a checkpoint; one that is there is never written again.

        Called by all ranks together. `measured` is what became known of the checkpoint since it was saved.
        """
        rank, volume = self.rank, self.rank.volume
        if broadcast(volume.has_export_of(checkpoint) if rank.gang.is_first else None):
            return
        rank.telling.tell(state="Saving")
        torn = volume.torn_export_directory(self.incarnation, checkpoint.step)
        made: str | None = None
        if (job := self.write(torn)) is not None:
            with writing(volume.root, f"the export of step {checkpoint.step}"):
                job.result()
                made = volume.commit_export(self._manifest(checkpoint, measured, torn), rank.contract.attempt)
        rank.telling.log({"event": "export", "step": checkpoint.step, "export": made})

    def write(self, directory: Path) -> "Future[None] | None":
        """Writes what the model holds in the form of an export, without a manifest; called by all ranks together.

        On rank 0 what has become of it, done; None on the others.
        """
        rank, weights = self.rank, self.method.exported(self.model, self.rank.parameters.precision)
        with ThreadPoolExecutor(1) as writer:
            what = (directory, self.model, weights, self.tokenizer, rank.spec.model)
            job = writer.submit(self._write, *what) if rank.gang.is_first else None
            wait_for_all(
                rank.gang,
                rank.heartbeat.beat,
                is_done=lambda: job is None or job.done(),
                written_bytes=lambda: bytes_below(directory) if job else 0,
            )
        return job

    def _write(self, directory: Path, *what: Any) -> None:
        """With the chat template that was trained by, where it isn't the model's own."""
        self.method.write(directory, *what)
        if (template := self.rank.spec.chat_template) is not None:
            write_template(directory, text_of(template))

    def _manifest(self, checkpoint: Manifest, measured: Mapping[str, float | None], directory: Path) -> Manifest:
        contract = self.rank.contract
        return Manifest(
            kind="Export",
            training_uid=contract.training_uid,
            attempt=contract.attempt,
            job_uid=contract.job_uid,
            incarnation=self.incarnation,
            step=checkpoint.step,
            world_size=self.rank.gang.world_size,
            sharding="none",
            parent=checkpoint.position,
            files=describe(directory),
            metrics={**checkpoint.metrics, **measured},
            healthy=True,
            created_at=now(),
        )
