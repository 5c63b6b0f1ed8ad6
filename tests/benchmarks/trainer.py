"""`tests/run benchmarks trainer`: the built-in trainer beside Hugging Face's, on one process and without an accelerator.

    tokens   a second, by the clock and by the processor's: the fastest half of the steps, since others disturb the rest
    memory   the most that the process ever held, and what of it came after the programs were loaded
    saves    how long a save that is written while training goes on holds steps up, as a share of a step

Both learn from the same weights and batches with the same optimizer, each in a process of its own, in turns. Nothing is
judged: the figures are for people, and only those of one run compare.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

NAMES = ("built-in", "Hugging Face", "built-in, saving")
EVERY = 4
"""Steps between the saves of the third."""
HEAD = ("trainer", "tokens/s", "tokens/s of CPU", "peak memory", "of it for training", "a save holds up", "of a step")


def main() -> None:
    """Prints a table of medians over the rounds."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.trainer", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--steps", type=int, default=14, metavar="N")
    parser.add_argument("--hidden", type=int, default=512, metavar="N")
    parser.add_argument("--layers", type=int, default=6, metavar="N")
    parser.add_argument("--length", type=int, default=256, metavar="N")
    parser.add_argument("--optimizer", default="AdamW")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    with tempfile.TemporaryDirectory() as folder:
        settings = {**vars(options), "folder": folder}
        _measured("base", settings)
        for _ in range(options.rounds):
            for name in NAMES if options.optimizer == "AdamW" else (NAMES[0], NAMES[2]):
                found[name].append(_measured(name, settings))
    print(_line(HEAD) + "\n|" + len(HEAD) * "---|")
    for name, rounds in found.items():
        if rounds:
            print(_row(name, rounds))


def _measured(name: str, settings: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.trainer", json.dumps({**settings, "name": name})]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    out = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
    value: dict[str, float] = json.loads(out.splitlines()[-1])
    return value


def _row(name: str, rounds: list[dict[str, float]]) -> str:
    def median(of: str) -> float:
        return statistics.median(one[of] for one in rounds)

    saves = (f"{median('blocked_s') * 1000:.0f} ms", f"{median('blocked'):.1%}") if name == NAMES[2] else ("", "")
    rates = (f"{median('rate'):.0f}", f"{median('cpu_rate'):.0f}")
    return _line((name, *rates, f"{median('peak_mb'):.0f} MB", f"{median('own_mb'):.0f} MB", *saves))


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _one(settings: dict[str, Any]) -> dict[str, float]:
    """One training in this process."""
    import torch

    from tests.runtime import hugging_face

    torch.set_num_threads(1)
    folder, name = Path(settings["folder"]), settings["name"]
    spec, batches = _spec(settings, folder), folder / "batches.json"
    loaded_mb = hugging_face.memory_mb("VmRSS")
    if name == NAMES[1]:
        run = hugging_face.theirs(folder / "theirs", spec, batches)
    else:
        from deepseek_runtime.trainer.gang import Gang

        gang = Gang.meet({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"})
        volume = folder / f"volume-{os.getpid()}"
        every = str(EVERY) if name == NAMES[2] else "1000"
        run = hugging_face.ours(gang, volume, spec, batches, CHECKPOINT_EVERY_STEPS=every, CHECKPOINT_KEEP_LAST="1")
        if name == "base":
            (volume / "training-uid" / "exports" / "1").rename(folder / "base")
            return {}
    step_s = statistics.median(after - before for before, after in zip(run.clock_s[1:], run.clock_s[2:], strict=False))
    # The last one is waited for: there is no step left.
    blocked_s = statistics.median(run.blocked_s[:-1]) if len(run.blocked_s) > 1 else 0.0
    return {
        "rate": hugging_face.per_second(run, run.clock_s),
        "cpu_rate": hugging_face.per_second(run, run.processor_s),
        "peak_mb": run.peak_mb,
        "own_mb": run.peak_mb - loaded_mb,
        "blocked_s": blocked_s,
        "blocked": blocked_s / step_s,
    }


def _spec(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A small model of Llama's kind, and texts as long as the sequences."""
    texts = folder / "texts.jsonl"
    if not texts.exists():
        lines = [json.dumps({"text": f"{number} " * settings["length"]}) + "\n" for number in range(10, 90)]
        texts.write_text("".join(lines))
    hidden = settings["hidden"]
    shape = {"model_type": "llama", "hidden_size": hidden, "intermediate_size": 3 * hidden, "vocab_size": 32000}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": settings["length"]}
    is_base = settings["name"] == "base"
    custom = {**shape, **heads, "num_hidden_layers": settings["layers"]}
    return {
        "model": {"custom": custom} if is_base else {"path": str(folder / "base")},
        "datasets": [{"source": {"path": str(texts)}, "format": "Text"}],
        "hyperparameters": {
            "globalBatchSize": 4,
            "sequenceLength": settings["length"],
            "learningRate": "1e-4",
            "schedule": "Constant",
            "maxSteps": 1 if is_base else settings["steps"],
            "precision": "fp32",
            "weightDecay": "0.1",
            "gradientClipNorm": "1",
            "optimizer": settings["optimizer"],
        },
    }


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):
        print(json.dumps(_one(json.loads(sys.argv[1]))))
    else:
        main()
