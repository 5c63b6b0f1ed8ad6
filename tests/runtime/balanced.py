"""One process of a gang that pre-trains experts, for `test_pretraining`: `python -m tests.runtime.balanced FOLDER RANK WORLD`.

What became of the routers' biases, with experts whole on each process and dealt out, is written to FOLDER/told-WORLD-RANK.json.
"""

import json
import sys
from pathlib import Path

from deepseek_runtime.rundir import VARIABLE
from deepseek_runtime.trainer.gang import Gang
from tests.runtime.families import FAMILIES
from tests.runtime.observed import Bench
from tests.runtime.workplace import Workplace, alone_on_a_thread


def main(folder: Path, rank: int, world: int) -> None:
    names = {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world}
    with alone_on_a_thread():
        gang = Gang.meet({name: str(value) for name, value in {**names, VARIABLE: folder / f"meeting-{world}"}.items()})
        workplace, told = Workplace(Bench(gang, folder), folder), {}
        for degree in (one for one in (1, 2) if one <= world):
            changes = {
                "model.custom": FAMILIES["deepseek_v3"],
                "objective": "Pretrain",
                "datasets": [{"source": {"path": str(folder / "texts.jsonl")}, "format": "Text"}],
                "hyperparameters.sequenceLength": 12,
                "hyperparameters.globalBatchSize": 4,
                "parallelism": {"expert": degree},
            }
            run = workplace.attempt(folder / f"volume-{world}-{degree}", changes)
            told[str(degree)] = [
                bias.tolist() for name, bias in run.network.named_buffers() if name.endswith("e_score_correction_bias")
            ]
        (folder / f"told-{world}-{rank}.json").write_text(json.dumps(told))
        gang.part()


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
