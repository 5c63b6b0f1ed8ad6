"""A test can't pass because of where the shell that started it looks for modules."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHOWS = "import os, tests.conftest; print(os.environ.get('PYTHONPATH'))"


def test_processes_of_tests_do_not_inherit_a_path_of_modules() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "operator")))}
    told = subprocess.run([sys.executable, "-c", SHOWS], cwd="/", env=environment, capture_output=True, check=True)
    assert told.stdout == b"None\n"
