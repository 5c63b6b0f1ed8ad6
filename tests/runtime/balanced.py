"""One process of a gang that pre-trains experts, for `test_pretraining` (see `gangs`): tells what became of the routers'
biases, with experts whole on each process and dealt out."""

from tests.runtime.families import FAMILIES
from tests.runtime.gangs import take_part
from tests.runtime.workplace import Workplace


def main(workplace: Workplace) -> dict[str, list[list[float]]]:
    folder, world, told = workplace.files, workplace.bench.gang.world_size, dict[str, list[list[float]]]()
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
    return told


if __name__ == "__main__":
    take_part(main)
