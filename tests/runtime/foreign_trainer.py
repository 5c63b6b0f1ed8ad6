"""A trainer that knows nothing of the checkpoint contract, in the ways of transformers' Trainer under LLaMA-Factory.

It goes on from the newest `checkpoint-N` of its folder, whatever is in it, logs a line a step, saves in the order in which
transformers does, and ends with 0 after a SIGTERM. How it behaves is in FOREIGN (JSON): maxSteps, everySteps, stepSeconds,
saveSeconds (between two files of a save), and what goes wrong: stopAt, hangAt, ignoresStop.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.support.foreign_folders import archive, safetensors, trainer_state

SETTINGS = {
    "maxSteps": 30,
    "everySteps": 5,
    "stepSeconds": 0.05,
    "saveSeconds": 0.0,
    **json.loads(os.environ["FOREIGN"]),
}
OUTPUT = Path(sys.argv[1])


def steps() -> list[int]:
    return sorted(int(folder.name.rpartition("-")[2]) for folder in OUTPUT.glob("checkpoint-*"))


def save(step: int) -> None:
    folder = OUTPUT / f"checkpoint-{step}"
    folder.mkdir(exist_ok=True)
    say(f"saving {step}")
    for name, content in (
        ("model.safetensors", safetensors()),
        ("optimizer.pt", archive()),
        ("scheduler.pt", archive()),
        ("rng_state.pth", archive()),
        ("trainer_state.json", trainer_state(step, SETTINGS["maxSteps"])),
    ):
        (folder / name).write_bytes(content)
        time.sleep(SETTINGS["saveSeconds"])
    say(f"saved {step}")


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if SETTINGS.get("ignoresStop") else lambda *_: stopped.append(1))
    step = steps()[-1] if steps() else 0
    if step:
        state = json.loads((OUTPUT / f"checkpoint-{step}" / "trainer_state.json").read_text())
        assert state["global_step"] == step
    say(f"begins after {step}")
    while step < SETTINGS["maxSteps"]:
        time.sleep(SETTINGS["stepSeconds"])
        step += 1
        with (OUTPUT / "trainer_log.jsonl").open("a") as log:
            said = {"current_steps": step, "total_steps": SETTINGS["maxSteps"], "loss": 2 / step, "epoch": step / 10}
            log.write(json.dumps(said) + "\n")
        say(f"step {step}")
        while step == SETTINGS.get("hangAt"):
            time.sleep(1)
        if stopped or step % SETTINGS["everySteps"] == 0 or step == SETTINGS["maxSteps"]:
            save(step)
        if stopped or step == SETTINGS.get("stopAt"):
            return 0
    for name, content in (("model.safetensors", safetensors()), ("config.json", b"{}"), ("tokenizer.json", b"{}")):
        (OUTPUT / name).write_bytes(content)
    return 0


sys.exit(main())
