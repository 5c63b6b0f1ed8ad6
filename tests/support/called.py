"""gRPC through a gateway: what the operator renders of a serving, as Envoy Gateway translates it, in a real Envoy, with the real
gate, before a real gRPC server for each revision."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CONFIG_MAP, GRPC_ROUTE
from deepseek_operator.kinds.serving.routes import places_of
from tests.support.envoy import Bed
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.metered import Places, manifests
from tests.support.ports import free_port
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.translation import Manifest, static, translated

PEER = Path(__file__).with_name("grpc_peer.py")
HOST = "chat.example.com"
TRITON: dict[str, Any] = {
    "model": {"name": "deepseek-r1-distill-llama-70b", "source": {"uri": "pvc://models/m"}},
    "engine": {"type": "triton"},
    "accelerator": {"profile": "nvidia-h200-141"},
    "replicas": 2,
}
CANARY = {"strategy": "RollingUpdate", "canary": {"steps": [{"weight": 25, "bakeSeconds": 600}]}}
ENGINE_PORT = 8001


def serving(**gateway: Any) -> ServingLife:
    """One whose routes are open, with a quarter of the requests at a version that is tried."""
    parent = {**PUBLIC["parentRef"], "sectionName": "http"}
    asked = {"parentRef": parent, "hostnames": [HOST], "grpc": {}, "auth": {"apiKeys": True}, **gateway}
    spec = {name: value for name, value in asked.items() if value is not None}
    made = ServingLife(configuration=Configuration(gate=GATE), gateway=spec, rollout=CANARY, **TRITON)
    made.run()
    for _ in range(2):
        takes(made)
    made.edit(engine={"type": "triton", "maxModelLength": 8192})
    for _ in range(4):
        made.run(rounds=1)
        takes(made)
    return made


class Called(Bed):
    """A serving that answers gRPC behind Envoy Gateway's Envoy.

    Attributes:
        revisions: with the part of each.
    """

    host = HOST

    def __init__(self, folder: Path, life: ServingLife, more: Sequence[Manifest] = ()) -> None:
        super().__init__(folder, "keys", ())
        self.config_maps += life.cluster.all(CONFIG_MAP)
        gateway = life.look().owner.spec.gateway
        self.at_first = 401 if gateway is not None and gateway.auth is not None else 200
        self.revisions = dict(places_of(life.stored(GRPC_ROUTE, f"{SERVICE}-grpc")))
        self.found = translated([*manifests(life), *more], folder)
        self.ports = {f"{SERVICE}-{revision}": free_port() for revision in self.revisions}

    @contextmanager
    def running(self) -> Iterator["Called"]:
        """Until the end of the block."""
        with ExitStack() as stack:
            for name, port in self.ports.items():
                stack.enter_context(_peer(self._folder, port, name))
            yield from (self for _ in super().run())

    def configured(self, behind: int) -> Mapping[str, Any]:
        places = Places({GATE.name: self.gate.port}, behind)
        places.update({f"{name}:{ENGINE_PORT}": port for name, port in self.ports.items()})
        return static(self.found, self.port, places)

    def ask(
        self, path: str, body: Any = None, key: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        return super().ask(path, body, key, method, **{"Host": self.host, **headers})

    def call(self, *calls: Mapping[str, Any], port: int | None = None) -> list[dict[str, Any]]:
        """What came of each: `status`, `words` and `answers`."""
        line = [_python(), str(PEER), "call", str(port or self.port), self.host]
        done = subprocess.run(line, input=json.dumps(calls), capture_output=True, text=True, timeout=120, check=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found


def _python() -> str:
    return str(Path(os.environ["ENVOY"]) / "bin/python")


@contextmanager
def _peer(folder: Path, port: int, name: str) -> Iterator[None]:
    written = folder / f"{name}.log"
    with written.open("ab") as log:
        process = subprocess.Popen([_python(), str(PEER), "serve", str(port), name], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
