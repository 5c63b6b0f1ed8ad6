"""An image of vLLM's build for CPUs, as a user has one: the runtime's torch, and before it what `tests/run vllm` installs."""

import os
import shutil
from pathlib import Path

from tests.support import bed as beds

IMAGE = "example.com/vllm-cpu:dev"
SITE = "/opt/vllm/site-packages"
KNOWN = "/opt/vllm/cache"
"""What vLLM keeps of the classes of models that it has looked at, which takes a process of half a minute each."""
PATH_FILE = f"import sys; sys.path.insert(0, '{SITE}'); sys.modules['torchao'] = None\n"
"""First of all that Python finds; torchao is the runtime's, which it does not know."""
LIBRARY = "usr/lib/x86_64-linux-gnu/libnuma.so.1"
"""What its kernels are linked with, and Debian's smallest system has not."""


def load(folder: Path) -> str:
    """Makes the image, gives it to the cluster and returns its name; `folder` is for the small files."""
    venv, numa = Path(os.environ["VLLM"]), Path(os.environ["NUMA"])
    (site,) = venv.glob("lib/python3.*/site-packages")
    program = (venv / "bin" / "vllm").read_text().splitlines()
    (folder / "vllm.pth").write_text(PATH_FILE)
    (folder / "vllm").write_text("\n".join(["#!/usr/bin/python3", *program[1:]]) + "\n")
    (folder / "vllm").chmod(0o755)
    files = {
        site: SITE,
        folder / "vllm.pth": "/usr/local/lib/python3.11/dist-packages/vllm.pth",
        folder / "vllm": "/usr/local/bin/vllm",
        numa / LIBRARY: f"/{LIBRARY}",
        **_known(folder),
    }
    added = [word for path, inside in files.items() for word in ("--file", f"{path}={inside}")]
    beds.tests_cluster("images", "--add", IMAGE, "--from", "runtime", *added)
    return IMAGE


def _known(folder: Path) -> dict[Path, str]:
    """What earlier runs on this machine have learnt of models, readable for the image's user; nothing on a new one."""
    learnt = Path(os.environ["VLLM_CACHE_ROOT"]) / "modelinfos"
    if not learnt.is_dir():
        return {}
    (folder / "known").mkdir()
    for path in learnt.glob("*.json"):
        shutil.copyfile(path, folder / "known" / path.name)
        (folder / "known" / path.name).chmod(0o644)
    return {folder / "known": f"{KNOWN}/modelinfos"}
