"""Where a cluster keeps its files, and on which addresses it listens.

Everything that `up` writes lies below one folder; what is shared by all clusters (built programs, image layers) lies in
the cache folder beside it and outlives them.
"""

import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from json import dumps, loads
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# The same place as in tests/support/environment.sh.
CACHE = Path(
    os.environ.get("DEEPSEEK_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/deepseek-operator"
).expanduser()

# Below the kernel's ephemeral range (32768) and the NodePort range (30000), so that nothing takes them between choice and use.
PORTS = range(20000, 30000)


def default_root() -> Path:
    """The folder of the cluster that a command without `--home` means."""
    return Path(os.environ.get("DEEPSEEK_CLUSTER_HOME", CACHE / "cluster")).expanduser().resolve()


@dataclass(frozen=True)
class Home:
    """The paths of one cluster."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def run(self) -> Path:
        """Records of the processes that were started, one file each."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def config(self) -> Path:
        """Configuration files written for the programs."""
        return self.root / "config"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit" / "audit.jsonl"

    @property
    def volumes(self) -> Path:
        """Content of the dynamically provisioned volumes."""
        return self.root / "volumes"

    @property
    def containerd(self) -> Path:
        """containerd's content store and snapshots; kept by `down`, so that images need not be imported again."""
        return self.root / "containerd"

    def write(self, name: str, text: str) -> Path:
        """Write a configuration file atomically and return its path."""
        path = self.config / name
        replace_text(path, text)
        return path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home alone: two `up`s, or an `up` and a `down`, wait for each other."""
        with locked(self.root / "lock"):
            yield

    def port(self, name: str, preferred: int | None = None) -> int:
        """The recorded port of a part; chosen once, so that a restarted part is found where it was."""
        path = self.root / "ports.json"
        ports: dict[str, int] = loads(path.read_text()) if path.exists() else {}
        if name not in ports:
            ports[name] = _free_port(preferred, set(ports.values()))
            replace_text(path, dumps(ports, indent=2, sort_keys=True))
        return ports[name]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file alone among all processes; the system frees it when its holder ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        flock(file, LOCK_EX)
        yield


def replace_text(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)


def _free_port(preferred: int | None, taken: set[int]) -> int:
    candidates = ([preferred] if preferred else []) + random.SystemRandom().sample(PORTS, 200)
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise RuntimeError(f"no free TCP port in {PORTS.start}-{PORTS.stop - 1}")


def is_free(port: int) -> bool:
    """True when nothing listens on the TCP port, on any address."""
    with socket.socket() as probe:
        # A port whose last connections only linger is free; one that somebody listens on is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
