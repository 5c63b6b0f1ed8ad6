"""The tutorial as a newcomer types it: every command of docs/tutorial.md, one after the other in one shell, at most ten."""

import os
import subprocess
from pathlib import Path

import pytest

from examples.local_cluster.home import CACHE
from tests.support.doc_blocks import all_blocks
from tests.support.tutorial import typed_lines

ROOT = Path(__file__).parents[2]
LIMIT_S = 1500
"""With warm caches it takes a few minutes; a quarter of an hour is promised, and this machine may be busy."""
CLEARED = "kubectl delete dst,dss,job,configmap,pvc answers --ignore-not-found --wait=true --timeout=60s"


@pytest.mark.timeout(LIMIT_S + 60)
def test_ten_commands_lead_from_a_file_to_a_curve_and_an_answer(tmp_path: Path) -> None:
    lines = typed_lines(block for block in all_blocks() if block.page == "docs/tutorial.md")
    told = [f'printf "== %s s: %s\\n" "$SECONDS" {number} >&2\n{line}' for number, line in enumerate(lines, start=1)]
    script = "\n".join(["set -euo pipefail", *told, 'printf "== %s s: all\\n" "$SECONDS" >&2', CLEARED])
    environment = {**os.environ, "HOME": str(tmp_path), "DEEPSEEK_CACHE": str(CACHE)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    print(done.stderr[-3000:])
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert "steps 1 to 200" in done.stdout, "the curve"
    assert "the black team" in done.stdout, "the answer"
