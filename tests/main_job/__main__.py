"""Tells the main job in a terminal. Exit code 0 means that everything it says did happen.

python -m tests.main_job [--keep-cluster-down]     (examples/run does this with everything installed)
"""

import argparse
import subprocess
import sys
from pathlib import Path

from tests.main_job import story
from tests.main_job.telling import Teller
from tests.support.kubectl import CommandFailed, NotReached


def main() -> int:
    """Runs the story; 1 when something that it promises did not happen."""
    parser = argparse.ArgumentParser(
        prog="examples/run", description="Train, lose a worker, resume, serve and scale on a real Kubernetes."
    )
    parser.add_argument("--out", type=Path, default=story.ROOT / "out" / "main-job", help="where the pictures go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    teller = Teller()
    try:
        story.tell(teller, arguments.out)
    except (CommandFailed, NotReached, AssertionError, subprocess.SubprocessError) as error:
        print(f"\nfailed after {teller.seconds:.0f} s: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
