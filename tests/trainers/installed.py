"""The released trainers that `tests/run trainers` has installed, by the name that a resource calls them."""

import os
import subprocess
from pathlib import Path

TRAINERS = {
    name: Path(os.environ[variable])
    for name, variable in (("llama-factory", "LLAMA_FACTORY"), ("ms-swift", "MS_SWIFT"))
    if variable in os.environ
}


def a_model(folder: Path, seed: int = 0) -> Path:
    """Makes a tiny model of random weights there."""
    python = next(iter(TRAINERS.values())) / "bin" / "python"
    subprocess.run([python, Path(__file__).with_name("make_model.py"), folder, str(seed)], check=True)
    return folder
