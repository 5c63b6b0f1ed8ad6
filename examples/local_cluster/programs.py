"""Kubernetes' own programs, built from published Go modules.

`binaries/go.mod` and `go.sum` name every version; the built programs lie in a cache folder named by the hash of both, so
a changed version is a new folder and an unchanged one is never built again: comments and the module's own name count, and
are left alone. Only what a run needs is built.
"""

import os
import subprocess
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from examples.local_cluster.home import CACHE, locked
from examples.local_cluster.progress import step

MODULE = Path(__file__).with_name("binaries")
KUBERNETES_VERSION = "v1.36.3"

# In the order in which a cold cache is best filled: what starts first is built first.
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "coredns": "github.com/coredns/coredns",
    "helm": "helm.sh/helm/v4/cmd/helm",
}


def folder() -> Path:
    """The cache folder of this go.mod and go.sum."""
    content = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return CACHE / "bin" / sha256(content).hexdigest()[:16]


EXPECTED_S = {
    "etcd": 40,
    "kube-apiserver": 160,
    "kube-controller-manager": 50,
    "kube-scheduler": 5,
    "kubelet": 15,
    "kwok": 10,
    "kube-proxy": 5,
    "coredns": 50,
    "helm": 20,
}
"""Seconds of a build on two cores in the order of PACKAGES, with the download of its modules: measured once, cold."""


def ensure(*names: str) -> None:
    """Build what is missing, one by one, in the order of PACKAGES; of two callers one builds and the other waits.

    Raises:
        KeyError: a program that is not one of them.
    """
    wanted = {name: PACKAGES[name] for name in names}
    missing = [name for name in PACKAGES if name in wanted and not (folder() / name).exists()]
    for number, name in enumerate(missing, start=1):
        left = f"step {number} of {len(missing)}, about {_left(missing[number - 1 :])} left"
        with step(f"build {name} ({left})"), locked(folder() / f".{name}.lock"):
            if not (folder() / name).exists():
                _build(name)


def _left(names: Sequence[str]) -> str:
    """Expected time of the builds, on as many cores as there are."""
    seconds = sum(EXPECTED_S[name] for name in names) * 2 / max(1, os.cpu_count() or 2)
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def path(name: str) -> str:
    """Where a program lies once it is built; for daemons, whose `up` has ensured it. All others take `built`."""
    return str(folder() / name)


def built(name: str) -> str:
    """The program, built first if it is not there."""
    ensure(name)
    return path(name)


def build_command(name: str, output: Path) -> list[str]:
    """The exact build, so that two machines make the same program."""
    version = "k8s.io/component-base/version"
    major, minor = KUBERNETES_VERSION.removeprefix("v").split(".")[:2]
    stamps = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(["-s", "-w", *(f"-X {version}.{key}={value}" for key, value in stamps.items())])
    return ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o", str(output), PACKAGES[name]]


def _build(name: str) -> None:
    output = folder() / f".{name}.{os.getpid()}"
    try:
        subprocess.run(build_command(name, output), cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
        output.replace(folder() / name)
    finally:
        output.unlink(missing_ok=True)
