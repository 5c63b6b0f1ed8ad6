"""gRPC by the gateway, from the manifests that the operator renders to the engine: keys, scopes, methods, weights, limits, the log."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local_cluster.progress import wait_for
from tests.support.called import Called, serving
from tests.support.gate import config_map, entry
from tests.support.translation import statuses

SERVICE = "/inference.GRPCInferenceService"
INFER, STREAM = f"{SERVICE}/ModelInfer", f"{SERVICE}/ModelStreamInfer"
OK, UNKNOWN, INVALID, DENIED, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = 0, 2, 3, 7, 12, 14, 16
KEYS = {
    "alice": entry("sk-ds-alice", "chat"),
    "bob": entry("sk-ds-bob", "other"),
    "carol": entry("sk-ds-carol", "deepseek-r1-distill-llama-70b"),
    "old": entry("sk-ds-old", "chat", expires="2020-01-01T00:00:00Z"),
}


def by(key: str | None = "sk-ds-alice", method: str = INFER, **metadata: str) -> dict[str, Any]:
    """A call with that key."""
    shown = {"authorization": f"Bearer {key}"} if key is not None else {}
    return {
        "method": method,
        "metadata": {**shown, **{name.replace("_", "-"): value for name, value in metadata.items()}},
    }


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    made = Called(tmp_path_factory.mktemp("called"), serving())
    (new,) = [name for name, part in made.revisions.items() if part == 1]
    pinned = {
        "pinned": entry("sk-ds-pinned", "chat", revision=new),
        "lost": entry("sk-ds-lost", "chat", revision="gone"),
    }
    made.config_maps.append(config_map("keys", {**KEYS, **pinned}))
    with made.running():
        wait_for("a call is answered", lambda: made.call(by())[0]["status"] == OK, timeout_s=30)
        yield made


def test_envoy_gateway_takes_all_that_the_operator_writes(bed: Called) -> None:
    for kind in ("httpRoutes", "grpcRoutes", "backendTrafficPolicies", "securityPolicies", "envoyExtensionPolicies"):
        told = statuses(bed.found, kind)
        assert told
        assert {status for _, status in told} == {"True"}, kind


def test_whoever_has_a_key_for_the_serving_or_its_model_is_let_in(bed: Called) -> None:
    """And the engine sees who it is, and no key."""
    for key, client in (("sk-ds-alice", "alice"), ("sk-ds-carol", "carol")):
        (found,) = bed.call(by(key))
        assert found["status"] == OK
        (answer,) = found["answers"]
        said = {name: value for name, value in answer["metadata"].items() if name.startswith("x-deepseek")}
        said.pop("x-deepseek-counted")  # Written behind the gate, by the administrator's tokens.yaml.
        assert said == {"x-deepseek-client": client, "x-deepseek-model": "chat", "x-deepseek-route": "team/chat"}
        assert not {"authorization", "x-api-key"} & answer["metadata"].keys()
    assert bed.call({"method": INFER, "metadata": {"x-api-key": "sk-ds-alice"}})[0]["status"] == OK


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (None, UNAUTHENTICATED),
        ("sk-ds-guessed", UNAUTHENTICATED),
        ("sk-ds-old", UNAUTHENTICATED),
        ("sk-ds-bob", DENIED),
        ("sk-ds-lost", INVALID),
    ],
)
def test_nobody_else_is_and_each_is_told_why_in_words(bed: Called, key: str | None, status: int) -> None:
    for found in bed.call(by(key), by(key, STREAM)):
        assert (found["status"], found["answers"]) == (status, [])
        assert found["words"]
        assert "{" not in found["words"]


@pytest.mark.parametrize(
    "method",
    [
        f"{SERVICE}/RepositoryIndex",
        f"{SERVICE}/RepositoryModelLoad",
        f"{SERVICE}/RepositoryModelUnload",
        f"{SERVICE}/SystemSharedMemoryRegister",
        f"{SERVICE}/CudaSharedMemoryRegister",
        f"{SERVICE}/TraceSetting",
        f"{SERVICE}/LogSettings",
        f"{SERVICE}/ModelInfer/../RepositoryModelUnload",
        f"{SERVICE}Other/ModelInfer",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
def test_what_manages_the_server_is_not_reached_by_anybody(bed: Called, method: str) -> None:
    for found in bed.call(by(method=method), by(None, method)):
        assert (found["status"], found["answers"]) == (UNIMPLEMENTED, [])


def test_each_method_that_clients_may_call_is_answered(bed: Called) -> None:
    methods = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
    found = bed.call(*(by(method=f"{SERVICE}/{method}") for method in methods))
    assert [one["status"] for one in found] == [OK] * len(methods)


def test_a_stream_is_held_up_in_neither_direction(bed: Called) -> None:
    """Its client sends each message once the one before is answered, and ends it last."""
    messages = ["one", "two", "x" * 100_000, "four"]
    (found,) = bed.call({**by(method=STREAM), "messages": messages})
    assert found["status"] == OK
    assert [answer["message"] for answer in found["answers"]] == messages


def test_calls_are_split_by_the_weights_of_the_canary(bed: Called) -> None:
    assert sorted(bed.revisions.values()) == [1, 3]
    found = bed.call(*[by()] * 400)
    assert {one["status"] for one in found} == {OK}
    answered = Counter(one["answers"][0]["name"] for one in found)
    new = next(f"chat-serve-{name}" for name, part in bed.revisions.items() if part == 1)
    assert answered.keys() == bed.ports.keys()
    assert 50 < answered[new] < 150


def test_a_pinned_key_is_answered_by_its_revision_alone(bed: Called) -> None:
    new = next(name for name, part in bed.revisions.items() if part == 1)
    found = bed.call(*[by("sk-ds-pinned")] * 40)
    assert {one["answers"][0]["name"] for one in found} == {f"chat-serve-{new}"}


def test_what_the_gate_alone_may_say_is_taken_from_whoever_else_says_it(bed: Called) -> None:
    new = next(name for name, part in bed.revisions.items() if part == 1)
    spoofed = {
        "x_deepseek_client": "root",
        "x_deepseek_route": f"team/chat/{new}",
        "x_deepseek_revision": new,
        "x_deepseek_limits": "gold",
        "x_deepseek_jwt_sub": "root",
        "x_deepseek_jwt_scopes": "deepseek:*",
    }
    assert [one["status"] for one in bed.call(by(None, **spoofed), by("sk-ds-bob", **spoofed))] == [16, 7]
    found = bed.call(*[by(**spoofed)] * 60)
    assert len({one["answers"][0]["name"] for one in found}) == 2, "the route is the gate's"
    for one in found:
        told = one["answers"][0]["metadata"]
        assert told["x-deepseek-client"] == "alice"
        assert not {"x-deepseek-revision", "x-deepseek-limits", "x-deepseek-jwt-sub"} & told.keys()


def test_http_goes_on_beside_it_under_the_same_host_name(bed: Called) -> None:
    status, _, _ = bed.ask("/v1/chat/completions", {"model": "deepseek-r1-distill-llama-70b"}, "sk-ds-alice")
    assert status == 200
    assert bed.ask(INFER, b"", "sk-ds-guessed")[0] == 401
    assert bed.ask("/v2/models/m/infer", {}, "sk-ds-alice")[0] == 404


def test_the_log_has_client_model_revision_and_the_status_of_grpc(bed: Called) -> None:
    told, refused = f"{SERVICE}/ModelMetadata", f"{SERVICE}/ModelReady"
    before = len(bed.logged())

    def lines() -> list[dict[str, Any]]:
        return [line for line in bed.logged()[before:] if line["path"] in (told, refused, STREAM)]

    bed.call(by(method=told), by("sk-ds-bob", refused), {**by(method=STREAM), "messages": ["a secret"]})
    wait_for("all is logged", lambda: len(lines()) == 3, timeout_s=10)
    one, two, three = lines()
    assert [line["grpc"] for line in (one, two, three)] == ["OK", "PermissionDenied", "OK"]
    assert (one["client"], one["model"], one["path"], one["status"]) == ("alice", "chat", told, 200)
    assert one["revision"] in bed.ports
    assert (two["client"], two["revision"]) == (None, None)
    assert not [word for word in ("sk-ds", "a secret", "Bearer") if word in json.dumps([one, two, three])]


def test_requests_of_one_client_are_limited_and_no_others(tmp_path: Path) -> None:
    made = Called(tmp_path, serving(limits={"requestsPerMinute": 5}))
    made.config_maps.append(config_map("keys", {**KEYS}))
    with made.running():
        wait_for("a call is answered", lambda: made.call(by("sk-ds-carol"))[0]["status"] == OK, timeout_s=30)
        found = [one["status"] for one in made.call(*[by()] * 9)]
        assert found == [OK] * 5 + [UNAVAILABLE] * 4
        assert made.call(by("sk-ds-carol"))[0]["status"] == OK


def test_where_everybody_is_let_in_the_methods_are_the_same(tmp_path: Path) -> None:
    made = Called(tmp_path, serving(auth=None))
    with made.running():
        wait_for("a call is answered", lambda: made.call(by(None))[0]["status"] == OK, timeout_s=30)
        assert made.call(by(None, f"{SERVICE}/RepositoryModelUnload"))[0]["status"] == UNIMPLEMENTED


def test_nobody_is_let_in_while_no_gate_answers(tmp_path: Path) -> None:
    made = Called(tmp_path, serving())
    made.config_maps.append(config_map("keys", KEYS))
    with made.running():
        wait_for("a call is answered", lambda: made.call(by())[0]["status"] == OK, timeout_s=30)
        process = made.gate.process
        assert process is not None
        process.kill()
        process.wait(30)
        assert made.call(by())[0] == {"status": UNKNOWN, "words": "", "answers": []}
