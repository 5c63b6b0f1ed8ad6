"""What the pod of rank 0 does on the volume before any rank can save."""

import sys

from deepseek_runtime.checkpoint.room import is_full
from deepseek_runtime.checkpoint.volume import Volume
from deepseek_runtime.contract import Contract


def prepare(volume: Volume, contract: Contract) -> None:
    """Announces this attempt, then clears away what earlier ones left unfinished.

    On a full volume an announcement finds room only when that is cleared. Raises Superseded for an attempt that starts
    late, because it would train for nobody, and OSError when there is no room even then.
    """
    volume.check_alive(contract.attempt)
    is_announced = _announce(volume, contract)
    for torn in volume.clear(volume.past(contract.pod_uid, contract.ancestry)):
        print(f"launcher: deleted unfinished {torn}", file=sys.stderr, flush=True)
    if not is_announced:
        volume.claim(contract.pod_uid, contract.attempt)


def _announce(volume: Volume, contract: Contract) -> bool:
    try:
        volume.claim(contract.pod_uid, contract.attempt)
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True
