"""Whoever has a key or a token is let in, and nobody else: the gate by the chart, Envoy by Envoy Gateway, all written by the
operator.

`chat` and `other` share a host name and believe in keys, `tokens` believes in tokens under another, `limited` counts. The
engine says what reached it. The last tests take the gate away, and look for keys and prompts in every log.
"""

import http.client
import json
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.keyring import close_gate, config_map, entry, new_key, open_gate
from tests.gateway.load import Answer, ask
from tests.gateway.logs import everything, who_wrote
from tests.support import bed as beds
from tests.support import gateway_bed
from tests.support.kubectl import Kubectl, until
from tests.support.release import NAMESPACE as SYSTEM
from tests.support.tokens import AUDIENCE, ISSUER, Provider

pytestmark = pytest.mark.timeout(600)

ENGINE = Path(__file__).with_name("echo_engine.py")
ENGINE_IMAGE = "deepseek-operator.io/echo-engine:dev"
LIMIT_S = 180.0
REVOKED_WITHIN_S = 5.0
CHAT = "/v1/chat/completions"
LLM, TOKENS, LIMITED, OPEN = "llm.example.com", "tokens.example.com", "limited.example.com", "open.example.com"
PROMPT = f"the secret of the company is {secrets.token_hex(8)}"
"""In every request; in no log."""
KEYS = {name: new_key() for name in ("alice", "bob", "carol", "pinned", "gone", "mallory")}
"""Of mallory nobody knows."""
WARM_S = 60.0


def serving(name: str, host: str, version: int = 0, **gateway: Any) -> str:
    engine = {
        "type": "custom", "image": ENGINE_IMAGE, "command": ["python3", "/app/echo_engine.py", "8000"],
        "env": [{"name": "LOG_LEVEL", "value": f"v{version}"}], "resources": {"cpu": "10m", "memory": "256Mi"},
    }  # fmt: skip
    routed = {"parentRef": {"name": "public", "namespace": "gateways"}, "hostnames": [host], **gateway}
    spec = {
        "model": {"source": {"uri": "pvc://models"}}, "engine": engine, "gateway": routed,
        "pod": {"terminationGracePeriodSeconds": 10},
    }  # fmt: skip
    head = {"apiVersion": "deepseek-operator.io/v1alpha1", "kind": "DeepSeekServing", "metadata": {"name": name}}
    return json.dumps({**head, "spec": spec})


def asked(model: str, **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}).encode()


def reached(answer: Answer) -> dict[str, str]:
    """Headers that came to the engine."""
    assert answer.status == 200, answer
    headers: dict[str, str] = json.loads(answer.body)["headers"]
    return headers


def condition(team: Kubectl, name: str, type_: str) -> tuple[str, str]:
    found = team.json("get", "deepseekserving", name)
    told = found.get("status", {})
    if told.get("observedGeneration") != found["metadata"]["generation"]:
        return "", ""
    said: dict[str, str] = next((one for one in told.get("conditions", ()) if one["type"] == type_), {})
    return said.get("status", ""), said.get("reason", "")


def is_behind_the_gateway(team: Kubectl, name: str) -> bool:
    return all(condition(team, name, type_)[0] == "True" for type_ in ("Ready", "RouteReady", "PolicyReady"))


class Client:
    """Asks the Gateway, by a key or a token."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(
        self, model: str | bytes, shown: str | None = None, host: str = LLM, path: str = CHAT, **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if shown is not None:
            sent["Authorization"] = f"Bearer {shown}"
        body = asked(model) if isinstance(model, str) else model
        return ask(self.address, host, path, body, sent)

    def listed(self, shown: str | None, host: str = LLM, name: str = "") -> Answer:
        sent = {"Authorization": f"Bearer {shown}"} if shown is not None else {}
        return ask(self.address, host, f"/v1/models{name}", None, sent)


def answers(client: Client, model: str, key: str, host: str) -> bool:
    return client.ask(model, key, host).status == 200


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def team(kubectl: Kubectl, gateways: Kubectl, provider: Provider, say: Callable[[str], None]) -> Iterator[Kubectl]:
    """Four servings that answer, and a gate that reads this namespace."""
    beds.tests_cluster("images", "--add", ENGINE_IMAGE, "--file", f"{ENGINE}=/app/echo_engine.py")
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    kubectl.apply(json.dumps(claim))
    kubectl.apply(config_map("token-keys", None, {"jwks": provider.jwks}))
    kubectl.apply(config_map("deepseek-keys", "keys", keys()))
    jwt = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": {"configMapName": "token-keys"}}
    by_key: dict[str, Any] = {"auth": {"apiKeys": True}}
    kubectl.apply(serving("chat", LLM, **by_key))
    until("it is told that no gate runs", lambda: condition(kubectl, "chat", "PolicyReady")[1] == "GateNotEnabled",
          timeout_s=LIMIT_S)  # fmt: skip
    # Another test's serving of this name may have had one, without keys.
    until("nothing leads to it", lambda: kubectl.get("httproute", "chat-serve") is None, timeout_s=LIMIT_S)
    open_gate(gateways, str(kubectl.namespace))
    say("the gate runs")
    kubectl.apply(serving("other", LLM, **by_key))
    kubectl.apply(serving("tokens", TOKENS, auth={"jwt": jwt, "apiKeys": True}))
    kubectl.apply(serving("limited", LIMITED, limits={"requestsPerMinute": 20, "concurrency": 4}, **by_key))
    kubectl.apply(serving("strict", LLM, auth={"jwt": jwt}))
    kubectl.apply(serving("open", OPEN))
    for name in ("chat", "other", "tokens", "limited", "strict", "open"):
        until(f"{name} is behind the gateway", partial(is_behind_the_gateway, kubectl, name), timeout_s=LIMIT_S)
        say(f"{name} is available")
    yield kubectl
    close_gate(gateways)


def keys() -> dict[str, str]:
    return {
        "alice": entry(KEYS["alice"], "chat", "limited"),
        "bob": entry(KEYS["bob"], "other", "limited"),
        "carol": entry(KEYS["carol"], "*"),
        "gone": entry(KEYS["gone"], "chat", revision="0000000000"),
    }


@pytest.fixture(scope="module")
def client(team: Kubectl) -> Client:
    found = Client(gateway_bed.address(team))
    for model, host, key in (("chat", LLM, "alice"), ("other", LLM, "bob"), ("limited", LIMITED, "carol")):
        until(f"{model} answers", partial(answers, found, model, KEYS[key], host), timeout_s=WARM_S)
    return found


def test_a_key_is_let_in_and_the_model_in_the_body_chooses_who_answers(client: Client) -> None:
    for model, key in (("chat", "alice"), ("other", "bob"), ("chat", "carol"), ("other", "carol")):
        headers = reached(client.ask(model, KEYS[key]))
        assert (headers["x-deepseek-client"], headers["x-deepseek-model"]) == (key, model)
        assert "authorization" not in headers
    headers = reached(ask(client.address, LLM, CHAT, asked("chat"), {"x-api-key": KEYS["alice"]}))
    assert "x-api-key" not in headers


def test_who_shows_nothing_or_what_nobody_knows_gets_401_and_another_s_model_403(client: Client) -> None:
    assert client.ask("chat").status == 401
    assert client.ask("chat", KEYS["mallory"]).status == 401
    assert json.loads(client.ask("chat", KEYS["mallory"]).body)["error"]["code"] == "invalid_api_key"
    assert client.ask("other", KEYS["alice"]).status == 403
    assert client.ask("gpt-4o", KEYS["alice"]).status == 404
    assert client.ask(b"{}", KEYS["alice"]).status == 400


def test_models_are_listed_for_whoever_asks(client: Client) -> None:
    def names(key: str) -> list[str]:
        return [one["id"] for one in json.loads(client.listed(KEYS[key]).body)["data"]]

    assert (names("alice"), names("bob"), names("carol")) == (
        ["chat", "limited"], ["limited", "other"], ["chat", "limited", "other"],
    )  # fmt: skip
    assert client.listed(None).status == 401
    assert client.listed(KEYS["alice"], name="/chat").status == 200
    assert client.listed(KEYS["alice"], name="/other").status == 404


def test_no_path_of_an_engine_but_those_for_clients_is_open(client: Client) -> None:
    for path in ("/v1/load_lora_adapter", "/v1/", "/metrics", "/unrouted", "/models/gateway-team/keys"):
        assert client.ask("chat", KEYS["alice"], path=path).status == 404, path


def test_a_revoked_key_is_worth_nothing_within_five_seconds(team: Kubectl, client: Client) -> None:
    name = f"dave-{secrets.token_hex(2)}"
    key = new_key()
    KEYS[name] = key
    patch = ("patch", "configmap", "deepseek-keys", "--type=merge", "-p")
    team.run(*patch, json.dumps({"data": {name: entry(key, "chat")}}))
    took_s = timed(lambda: client.ask("chat", key).status == 200)
    team.run(*patch, json.dumps({"data": {name: None}}))
    gone_s = timed(lambda: client.ask("chat", key).status == 401)
    print(f"a key counts after {took_s:.1f} s, and is worth nothing after {gone_s:.1f} s")
    for _ in range(20):
        assert client.ask("chat", key).status in (200, 401)
    until(
        "both gates know",
        lambda: {client.ask("chat", key).status for _ in range(8)} == {401},
        timeout_s=REVOKED_WITHIN_S,
    )


def timed(is_true: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not is_true():
        assert time.monotonic() - began < REVOKED_WITHIN_S
    return time.monotonic() - began


def test_what_only_the_gate_may_say_is_not_believed_of_a_client(client: Client) -> None:
    spoofed = {
        "x_deepseek_client": "root", "x_deepseek_model": "other", "x_deepseek_route": "gateway-team/other",
        "x_deepseek_revision": "x", "x_deepseek_limits": "gold", "x_deepseek_jwt_sub": "root",
        "x_deepseek_jwt_scopes": "deepseek:*", "x_deepseek_counted": "no",
    }  # fmt: skip
    headers = reached(client.ask("chat", KEYS["alice"], **spoofed))
    told = {name: value for name, value in headers.items() if name.startswith("x-deepseek")}
    assert told == {
        "x-deepseek-client": "alice", "x-deepseek-model": "chat", "x-deepseek-route": "gateway-team/chat",
        "x-deepseek-counted": "true",
    }  # fmt: skip
    assert client.ask("other", KEYS["alice"], **spoofed).status == 403
    assert client.ask("other", **spoofed).status == 401
    assert client.ask("tokens", host=TOKENS, **spoofed).status == 401
    assert client.listed(None).status == 401


def test_a_key_is_pinned_to_a_revision_that_runs_and_refused_for_one_that_does_not(
    team: Kubectl, client: Client
) -> None:
    revision = team.json("get", "deepseekserving", "chat")["status"]["stable"]
    team.run("patch", "configmap", "deepseek-keys", "--type=merge", "-p",
             json.dumps({"data": {"pinned": entry(KEYS["pinned"], "chat", revision=revision)}}))  # fmt: skip
    until("the pin is known", lambda: client.ask("chat", KEYS["pinned"]).status == 200, timeout_s=20)
    headers = reached(client.ask("chat", KEYS["pinned"]))
    assert headers["x-deepseek-route"] == f"gateway-team/chat/{revision}"
    assert client.ask("chat", KEYS["gone"]).status == 400


def test_servings_of_a_host_name_that_believe_in_something_else_are_not_found_there(
    team: Kubectl, client: Client, provider: Provider
) -> None:
    """`strict` believes in tokens alone; `chat` is the older one under the name, and asks for keys."""
    assert client.ask("strict", KEYS["carol"]).status == 404
    assert client.ask("strict", provider.token("bob", "deepseek:*")).status == 401
    assert client.ask("tokens", KEYS["carol"]).status == 404
    assert client.ask("limited", KEYS["carol"]).status == 404, "which answers under another name"


def test_a_token_is_let_in_by_its_scope_until_it_expires(client: Client, provider: Provider) -> None:
    def status(token: str | None, **headers: str) -> int:
        return client.ask("tokens", token, TOKENS, **headers).status

    good = provider.token("bob", "openid deepseek:tokens")
    until("the gateway has the provider's keys", lambda: status(good) == 200, timeout_s=WARM_S)
    headers = reached(client.ask("tokens", good, TOKENS))
    assert headers["x-deepseek-client"] == "jwt:bob"
    assert "authorization" not in headers
    assert "x-deepseek-jwt-scopes" not in headers
    assert status(provider.token("bob", "deepseek:*")) == 200
    assert status(provider.token("bob", "openid deepseek:other")) == 403
    assert status(provider.token("bob", "deepseek:*", exp=int(time.time()) - 120)) == 401
    assert status(provider.token("bob", "deepseek:*", iss="https://else.example.com")) == 401
    assert status(provider.token("bob", "deepseek:*", aud="else")) == 403
    assert status(Provider().token("bob", "deepseek:*")) == 401
    assert status(None) == 401
    assert status(None, x_deepseek_jwt_sub="bob", x_deepseek_jwt_scopes="deepseek:*") == 401


def test_beside_tokens_keys_are_shown_in_a_header_of_their_own(client: Client) -> None:
    assert client.ask("tokens", None, TOKENS, x_api_key=KEYS["carol"]).status == 200
    assert client.ask("tokens", None, TOKENS, x_api_key=KEYS["mallory"]).status == 401
    assert client.ask("tokens", KEYS["carol"], TOKENS).status == 401


def test_a_body_of_33_mib_is_answered_with_413_and_one_of_31_reaches_the_engine(client: Client, tmp_path: Path) -> None:
    def of(size: int) -> bytes:
        return asked("chat", more="a" * size)

    # By curl, which reads the answer also where the gateway stops reading the body.
    body = tmp_path / "body.json"
    body.write_bytes(of(33 * 1024 * 1024))
    where = [f"http://{LLM}{CHAT}", "--resolve", f"{LLM}:80:{client.address}", "--silent", "--output", "/dev/null"]
    sent = ["--header", "Content-Type: application/json", "--data-binary", f"@{body}", "--write-out", "%{http_code}"]
    done = subprocess.run(
        ["curl", *where, *sent, "--config", "-"], input=f'header = "Authorization: Bearer {KEYS["alice"]}"',
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "413"
    answer = client.ask(of(31 * 1024 * 1024), KEYS["alice"])
    assert answer.status == 200
    assert json.loads(answer.body)["bytes"] > 31 * 1024 * 1024


def test_a_client_beyond_its_requests_gets_429_while_others_pass(client: Client) -> None:
    def statuses(key: str, count: int) -> Counter[int]:
        return Counter(client.ask("limited", KEYS[key], LIMITED).status for _ in range(count))

    alice = statuses("alice", 40)
    assert alice.keys() == {200, 429}
    assert 18 <= alice[200] <= 22, alice
    assert statuses("bob", 10) == {200: 10}
    assert Counter(client.ask("limited", KEYS["mallory"], LIMITED).status for _ in range(5)) == {401: 5}


def test_requests_at_once_are_bounded(team: Kubectl, client: Client) -> None:
    with ThreadPoolExecutor(12) as clients:
        body = asked("limited", seconds=2)
        found = Counter(clients.map(lambda _: client.ask(body, KEYS["bob"], LIMITED).status, range(8)))
    print(f"eight at once where four may be: {dict(found)}")
    assert found.keys() <= {200, 503}
    assert found[503] >= 3
    assert found[200] >= 4


def test_an_answer_is_streamed_as_it_is_made(client: Client) -> None:
    connection = http.client.HTTPConnection(client.address, 80, timeout=30)
    headers = {"Host": LLM, "Authorization": f"Bearer {KEYS['alice']}", "Content-Type": "application/json"}
    connection.request("POST", CHAT, asked("chat", stream=True), headers)
    response = connection.getresponse()
    at_s = [time.monotonic() for line in response if line.startswith(b"data: ")]
    assert response.status == 200
    assert len(at_s) == 10
    gaps = sorted(later - earlier for earlier, later in pairwise(at_s))
    assert gaps[len(gaps) // 2] > 0.05, gaps


@pytest.mark.parametrize(("version", "told"), [("--http1.1", "1.1 200"), ("--http2", "2 200")])
def test_both_versions_of_http_are_served_over_tls_1_3(client: Client, version: str, told: str) -> None:
    assert curl(client, version, "--tlsv1.3") == (0, told)


def test_tls_1_2_is_refused(client: Client) -> None:
    status, told = curl(client, "--http1.1", "--tlsv1.2", "--tls-max", "1.2")
    assert (status, told) == (35, "0 000")


def curl(client: Client, *options: str) -> tuple[int, str]:
    """Exit status, and version and status of the answer; the key goes by standard input, not by the command line."""
    where = [f"https://{LLM}{CHAT}", "--resolve", f"{LLM}:443:{client.address}", "--insecure", "--silent"]
    what = ["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}", "--config", "-"]
    data = json.dumps(asked("chat").decode())
    lines = [
        f'header = "Authorization: Bearer {KEYS["alice"]}"',
        'header = "Content-Type: application/json"',
        f"data = {data}",
    ]
    done = subprocess.run(
        ["curl", *options, *where, *what],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_serving_that_let_everybody_in_lets_nobody_in_from_the_first_refusal_on(
    team: Kubectl, client: Client, say: Callable[[str], None]
) -> None:
    until("it is open", lambda: client.ask("open", host=OPEN).status == 200, timeout_s=WARM_S)
    team.apply(serving("open", OPEN, auth={"apiKeys": True}))
    unknown: list[int] = []
    began = time.monotonic()
    while time.monotonic() - began < 20:
        unknown.append(client.ask("open", host=OPEN).status)
        if client.ask("open", KEYS["carol"], OPEN).status == 200 and 401 in unknown:
            break
    first = next(number for number, status in enumerate(unknown) if status != 200)
    say(
        f"closed after {first} more answers, then {dict(Counter(unknown[first:]))}, with a key after {time.monotonic() - began:.1f} s"
    )
    assert 200 not in unknown[first:], unknown
    # 503: Envoy asks a gate of whose address it has not heard yet.
    assert set(unknown) <= {200, 401, 404, 503}, unknown
    assert client.ask("open", host=OPEN, x_deepseek_route="gateway-team/open").status == 401


def test_without_a_gate_nobody_is_let_in(team: Kubectl, client: Client, gateways: Kubectl) -> None:
    system = gateways.within(SYSTEM)
    system.run("scale", "deployment/deepseek-operator-gate", "--replicas=0")
    until("no gate answers", lambda: client.ask("chat", KEYS["alice"]).status == 503, timeout_s=60)
    assert client.ask("chat").status == 503
    system.run("scale", "deployment/deepseek-operator-gate", "--replicas=2")
    until("it answers again", lambda: client.ask("chat", KEYS["alice"]).status == 200, timeout_s=90)


def test_no_log_has_a_key_a_token_or_a_prompt(
    team: Kubectl, client: Client, gateways: Kubectl, provider: Provider
) -> None:
    """Last: all that was written so far, by proxies, Envoy Gateway, the gate, the operator and the engines, and by the cluster."""
    assert client.ask("chat", KEYS["alice"]).status == 200
    token = provider.token("bob", "deepseek:tokens")
    client.ask("tokens", token, TOKENS)
    time.sleep(2)  # Envoy writes its log in blocks.
    logs = everything(gateways)
    for namespace in (gateway_bed.SYSTEM, SYSTEM, str(team.namespace)):
        assert [name for name in logs if name.startswith(f"{namespace}/")]
    assert '"client":"alice"' in "".join(logs.values()).replace(" ", "")
    assert who_wrote((PROMPT, PROMPT[-16:], token, token.rpartition(".")[2], *KEYS.values()), logs) == []
