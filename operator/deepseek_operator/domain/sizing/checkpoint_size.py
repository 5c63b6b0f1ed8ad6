"""How large a checkpoint is, how large its volume must be, and how long a save takes.

Bytes per trained parameter: 12 for fp32 with two fp32 moments (measured with transformers and with DCP), 14 in mixed
precision (bf16 copy, fp32 master, moments: 9.4 TB for V3), 6 in bf16 throughout; other optimizers keep fewer moments.
"""

from dataclasses import dataclass

from deepseek_operator.domain.sizing.training_state import Method, Optimizer, Precision, moment_bytes

_VOLUME_MARGIN = 1.1
"""Metadata, file system and the temporary files of a save."""


@dataclass(frozen=True)
class CheckpointSize:
    """``checkpoint`` bytes of one resumable save, ``export`` bytes of the weights handed to serving."""

    checkpoint: int
    export: int

    def volume(self, keep: int, exports: int = 1) -> int:
        """Bytes of a volume that holds ``keep`` checkpoints, one more in flight, and the exports.

        The pods' retention makes room for a save before it begins, whatever an earlier attempt left, and no save is in
        flight when the second export (of the best step) is written: it takes the room of one, and is never larger.
        """
        return int((self.checkpoint * (keep + 1) + self.export * exports) * _VOLUME_MARGIN)

    def save_seconds(self, bandwidth_gb_s: float) -> float:
        """Seconds of one save at a volume bandwidth in GB/s (10⁹ bytes). Raises ValueError unless it is positive."""
        if bandwidth_gb_s <= 0:
            raise ValueError("volume bandwidth must be positive")
        return self.checkpoint / (bandwidth_gb_s * 1e9)


def checkpoint_size(
    total_parameters: int,
    trained: int,
    method: Method,
    precision: Precision,
    optimizer: Optimizer,
    *,
    merges: bool = False,
    matrices: float = 1.0,
) -> CheckpointSize:
    """Return the sizes for one method. Adapters save adapters only: the frozen base is written again in an export alone,
    where it ``merges`` the two. ``matrices`` is the share of the trained parameters that are matrices of layers."""
    copies = {Precision.FP32: 4, Precision.PURE_BF16: 2}.get(precision, 6)
    saved_each = copies + moment_bytes(precision, optimizer, matrices)
    is_whole = merges or method is Method.FULL
    exported = (total_parameters if is_whole else trained) * (4 if precision is Precision.FP32 else 2)
    return CheckpointSize(checkpoint=round(trained * saved_each), export=exported)
