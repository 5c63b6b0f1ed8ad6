"""Debian packages that a real node needs, installed without starting a single service.

Nothing is installed when the programs are there already, whoever put them there.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from examples.local_cluster.progress import step

# A file of each package that a run uses, and the systemd unit that its installation would enable.
NODE = {
    "containerd": ("/usr/bin/containerd", "containerd.service"),
    "runc": ("/usr/sbin/runc", None),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", None),
    "nftables": ("/usr/sbin/nft", None),
    "conntrack": ("/usr/sbin/conntrack", None),
    "iproute2": ("/usr/sbin/ip", None),
    "prometheus": ("/usr/bin/prometheus", "prometheus.service"),
}
IMAGES = {"mmdebstrap": ("/usr/bin/mmdebstrap", None)}

POLICY = Path("/usr/sbin/policy-rc.d")


def ensure(packages: Mapping[str, tuple[str, str | None]]) -> None:
    """Install the packages of which a file is missing; RuntimeError where there is no apt."""
    missing = {name: unit for name, (file, unit) in packages.items() if not Path(file).exists()}
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise RuntimeError(f"please install: {', '.join(missing)} (this machine has no apt-get)")
    with step(f"install {', '.join(missing)}"), _no_service_starts():
        _apt("update")
        _apt("install", "-y", "--no-install-recommends", *missing)
    units = [unit for unit in missing.values() if unit]
    if units and shutil.which("systemctl"):
        subprocess.run(["systemctl", "disable", "--quiet", *units], check=False, capture_output=True)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Refuse service starts while packages are installed: policy-rc.d exits 101. One that exists is left alone."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", "-q", *arguments], env=environment, capture_output=True, text=True)
    # `update` fails as a whole if one source of many is unreachable; what matters is whether `install` finds its packages.
    if done.returncode and arguments[0] != "update":
        raise RuntimeError(f"apt-get {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
