"""Calls by gRPC: whether one goes on, whereto, and what gRPC calls what is refused."""

from typing import Any

import pytest

from deepseek_gate.answers import Allowed, Denied
from deepseek_gate.decision import CALLS, permit_call, unknown_call
from deepseek_gate.keys import Key
from deepseek_gate.knowledge import Knowledge, known
from tests.support.gate import models_map

SERVICE = "/inference.GRPCInferenceService"


def knows(**entries: Any) -> Knowledge:
    """Models by their names, all of serving `chat` unless they say otherwise."""
    return known([models_map({"models": {name: {"serving": "chat", **one} for name, one in entries.items()}})])


KNOWN = knows(r1={"revisions": {"a": {}, "b": {}}, "ways": "keys"}, other={"serving": "other"})


def key(*servings: str, revision: str | None = None) -> Key:
    return Key("alice", frozenset(servings), None, revision)


def permit(key: Key, known: Knowledge = KNOWN, serving: str = "chat", ways: str = "keys") -> Allowed | Denied:
    return permit_call(key, serving, known, "team", ways)


@pytest.mark.parametrize("scope", ["*", "chat", "r1"])
def test_a_call_is_for_the_serving_that_the_policy_names(scope: str) -> None:
    headers = {"x-deepseek-client": "alice", "x-deepseek-model": "chat", "x-deepseek-route": "team/chat"}
    assert permit(key(scope)) == Allowed(headers, "chat")


def test_a_pin_chooses_the_route_of_its_revision_and_one_to_what_is_gone_is_told() -> None:
    answer = permit(key("chat", revision="b"))
    assert isinstance(answer, Allowed)
    assert (answer.headers["x-deepseek-route"], answer.headers["x-deepseek-revision"]) == ("team/chat/b", "b")
    gone = permit(key("chat", revision="c"))
    assert isinstance(gone, Denied)
    assert (gone.status, gone.grpc_status) == (400, 3)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (permit(key("other")), 7),
        (permit(key("chat"), serving="gone"), 5),
        (permit(key("chat"), ways="jwt.1"), 5),
        (permit(key("chat"), Knowledge()), 5),
        (permit(key("chat"), knows(r1={"counted": True})), 7),
        (unknown_call("POST", f"{SERVICE}/RepositoryModelLoad"), 12),
        (unknown_call("GET", f"{SERVICE}/ModelInfer"), 12),
        (Denied(401, "no_key", ""), 16),
        (Denied(429, "not_ready", ""), 14),
        (Denied(418, "new", ""), 2),
    ],
)
def test_what_is_refused_has_its_name_in_grpc(answer: Allowed | Denied | None, status: int) -> None:
    assert isinstance(answer, Denied)
    assert answer.grpc_status == status


def test_whose_messages_may_name_two_models_needs_a_key_for_both() -> None:
    """Nobody reads them."""
    both = knows(old={}, new={})
    refused = permit(key("old"), both)
    assert isinstance(refused, Denied)
    assert refused.status == 403
    for scopes in (("old", "new"), ("chat",), ("*",)):
        assert isinstance(permit(key(*scopes), both), Allowed)


@pytest.mark.parametrize(
    "method",
    [
        "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryRegister", "TraceSetting",
        "CudaSharedMemoryRegister", "LogSettings", "ModelConfig", "ModelStatistics", "modelinfer", "ModelInfer/", "",
    ],
)  # fmt: skip
def test_what_manages_the_server_is_no_call_of_a_clients(method: str) -> None:
    assert unknown_call("POST", f"{SERVICE}/{method}") is not None
    assert unknown_call("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo") is not None


def test_inference_and_what_tells_of_the_model_are() -> None:
    assert {path.rpartition("/")[2] for path in CALLS} == {
        "ModelInfer", "ModelStreamInfer", "ModelReady", "ModelMetadata", "ServerLive", "ServerReady", "ServerMetadata",
    }  # fmt: skip
    assert not [path for path in CALLS if unknown_call("POST", path)]
