"""In the pod's first container, of the runtime image: what the trainer's container needs of ours is put where both see it.

python3 -m deepseek_runtime.foreign.installing FOLDER     copies this package to FOLDER/deepseek_runtime, and writes the
                                                          files that DEEPSEEK_FILES (a JSON object) names below FOLDER
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import deepseek_runtime
from deepseek_runtime.contract import Invalid

VARIABLE = "DEEPSEEK_FILES"


def install(folder: Path, environment: Mapping[str, str]) -> None:
    """Raises Invalid for a name that leads out of the folder, OSError where there is no room."""
    source = Path(deepseek_runtime.__file__).parent
    shutil.copytree(source, folder / source.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in json.loads(environment.get(VARIABLE) or "{}").items():
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise Invalid(f"{VARIABLE} names {name!r}, which is no file of one folder")
        (folder / name).write_text(text)


if __name__ == "__main__":
    install(Path(sys.argv[1]), os.environ)
