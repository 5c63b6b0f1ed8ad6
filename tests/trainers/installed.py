"""The released trainers that `tests/run trainers` has installed, by the name that a resource calls them."""

import os
from pathlib import Path

TRAINERS = {
    name: Path(os.environ[variable])
    for name, variable in (("llama-factory", "LLAMA_FACTORY"), ("ms-swift", "MS_SWIFT"))
    if variable in os.environ
}
