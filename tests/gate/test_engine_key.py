"""An engine's key behind the gateway: what the operator renders, as Envoy Gateway translates it, in a real Envoy with the gate."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.resources import CONFIG_MAP, HTTP_ROUTE_FILTER
from tests.support.envoy import Bed, keys_of
from tests.support.gate import KEY
from tests.support.gateways import GATE, PUBLIC, takes
from tests.support.metered import Places, manifests
from tests.support.serving_life import SERVICE, ServingLife
from tests.support.servings import NAMESPACE
from tests.support.translation import Manifest, static, statuses, translated

CHAT = "/v1/chat/completions"
HOST = "chat.example.com"
OLD, NEW = "sk-of-the-old-engine", "sk-of-the-new-engine"
pytestmark = pytest.mark.timeout(300)


def secret(name: str, **entries: str) -> Manifest:
    data = {entry: base64.b64encode(value.encode()).decode() for entry, value in entries.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


def whole(name: str, key: str) -> Manifest:
    """As docs/serving.md says."""
    return secret(name, key=key, credential=f"Bearer {key}")


class Keyed(Bed):
    """A serving whose engine asks for a key, in the midst of a change from one to another."""

    host = HOST

    def __init__(self, folder: Path, *secrets: Manifest) -> None:
        super().__init__(folder, "keys", ())
        parent = {**PUBLIC["parentRef"], "sectionName": "http"}
        gateway = {"parentRef": parent, "hostnames": [HOST], "auth": {"apiKeys": True}}
        engine = {"apiKey": {"name": "old", "key": "key"}}
        self.life = ServingLife(configuration=Configuration(gate=GATE), gateway=gateway, engine=engine, replicas=2)
        self.life.run()
        for _ in range(2):
            takes(self.life)
        self.life.edit(engine={"apiKey": {"name": "new", "key": "key"}})
        self.life.run(room=3, rounds=1)
        takes(self.life)
        self.config_maps += [keys_of(), self.life.stored(CONFIG_MAP, SERVICE)]
        self.credentials = {
            one["metadata"]["name"]: base64.b64decode(one["data"].get("credential", "")).decode() for one in secrets
        }
        self.found = translated([*manifests(self.life, is_counted=False), *secrets], folder)

    def ask(
        self, path: str, body: Any = None, key: str | None = None, method: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        return super().ask(path, body, key, method, **{"Host": self.host, **headers})

    def configured(self, behind: int) -> Mapping[str, Any]:
        credentials = {
            f"{NAMESPACE}/{one['metadata']['name']}": self.credentials[
                one["spec"]["credentialInjection"]["credential"]["valueRef"]["name"]
            ]
            for one in self.life.cluster.all(HTTP_ROUTE_FILTER, NAMESPACE)
        }
        return static(self.found, self.port, Places({GATE.name: self.gate.port}, behind), credentials=credentials)

    def shown(self, key: str | None = KEY, **headers: str) -> tuple[int, list[str], str]:
        """Of 40 requests the status, what the engines were shown, and all that the last of them got."""
        answers = [self.ask(CHAT, {"model": "chat"}, key, **headers) for _ in range(40)]
        (status,) = {one[0] for one in answers}
        content = [one[2].decode() for one in answers]
        seen = {json.loads(one)["headers"].get("authorization", "") for one in content} if status == 200 else set()
        return status, sorted(seen), content[-1]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("keyed")
    yield from Keyed(folder, whole("old", OLD), whole("new", NEW)).run()


def test_envoy_gateway_takes_all_that_the_operator_writes(bed: Keyed) -> None:
    assert {status for _, status in statuses(bed.found, "httpRoutes")} == {"True"}


def test_each_revision_is_asked_with_its_own_key_and_never_with_a_clients(bed: Keyed) -> None:
    for asked in ({"key": KEY}, {"key": None, "x_api_key": KEY}):
        status, seen, content = bed.shown(**asked)
        assert (status, seen) == (200, [f"Bearer {NEW}", f"Bearer {OLD}"])
        assert KEY not in content


def test_whoever_the_gate_does_not_know_does_not_get_in_by_the_engines_key(bed: Keyed) -> None:
    assert bed.shown(NEW)[0] == 401
    assert bed.shown(None)[0] == 401


def test_neither_a_log_nor_the_gate_has_the_engines_key(bed: Keyed) -> None:
    assert bed.shown()[0] == 200
    logs = bed.gate.log.read_text() + bed.log.read_text()
    assert OLD not in logs
    assert NEW not in logs


def test_a_secret_without_the_entry_closes_the_route_and_says_what_it_lacks(tmp_path: Path) -> None:
    made = Keyed(tmp_path, secret("old", key=OLD), whole("new", NEW))
    told = json.dumps(made.found["httpRoutes"][0]["status"])
    assert ("ResolvedRefs", "False") in statuses(made.found, "httpRoutes")
    assert "credential key credential not found in secret" in told
    assert OLD not in told
