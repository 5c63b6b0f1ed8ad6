"""Whether a request goes on, and whereto."""

import pytest

from deepseek_gate.answers import Allowed, Denied
from deepseek_gate.body import Asked
from deepseek_gate.decision import ASKING, headers_of, is_listing, names_of, removed, unknown_path
from deepseek_gate.decision import permit as permit_as_asked
from deepseek_gate.keys import Key
from deepseek_gate.knowledge import Knowledge, known
from tests.support.gate import models_map

KNOWN = known([models_map()])
CHAT = "/v1/chat/completions"


def permit(key: Key, name: str, known: Knowledge, ways: str = "keys") -> Allowed | Denied:
    return permit_as_asked(key, Asked(name), CHAT, known, "team", ways)


def key(*servings: str, revision: str | None = None, limits: str | None = None) -> Key:
    return Key("alice", frozenset(servings), None, revision, limits)


@pytest.mark.parametrize("scope", ["*", "chat", "deepseek-chat"])
def test_a_scope_is_a_serving_a_name_of_it_or_all(scope: str) -> None:
    headers = {"x-deepseek-client": "alice", "x-deepseek-model": "chat", "x-deepseek-route": "team/chat"}
    assert permit(key(scope), "deepseek-chat", KNOWN) == Allowed(headers, "chat")


def test_a_name_in_the_scope_opens_no_other_name() -> None:
    answer = permit(key("deepseek-chat"), "chat", KNOWN)
    assert isinstance(answer, Denied)
    assert (answer.status, answer.code) == (403, "insufficient_permissions")


def test_a_key_without_the_right_learns_no_more_than_that() -> None:
    answer = permit(key("r1"), "chat", KNOWN)
    assert isinstance(answer, Denied)
    assert answer.status == 403
    assert "chat" not in answer.body.decode()


def test_an_unknown_model_is_answered_with_the_names_that_the_key_may_use() -> None:
    answer = permit(key("chat"), "gpt-4o", KNOWN)
    assert isinstance(answer, Denied)
    assert (answer.status, answer.code, answer.param) == (404, "model_not_found", "model")
    assert "chat, deepseek-chat" in answer.message
    assert "reasoner" not in answer.message
    nothing = permit(key("gone"), "gpt-4o", KNOWN)
    assert isinstance(nothing, Denied)
    assert "none" in nothing.message


def test_pin_and_class_go_on_as_headers() -> None:
    answer = permit(key("chat", revision="chat-1", limits="gold"), "chat", KNOWN)
    assert answer == Allowed(
        {
            "x-deepseek-client": "alice",
            "x-deepseek-limits": "gold",
            "x-deepseek-model": "chat",
            "x-deepseek-revision": "chat-1",
            "x-deepseek-route": "team/chat/chat-1",
        },
        "chat",
    )


def test_a_pin_to_what_is_gone_is_told_and_not_passed_over() -> None:
    answer = permit(key("chat", revision="chat-0"), "chat", KNOWN)
    assert isinstance(answer, Denied)
    assert answer.status == 400
    assert "chat-0" in answer.message


def test_a_name_that_one_revision_alone_answers_to_goes_there_past_the_weights() -> None:
    entries = {"new": {"serving": "chat", "revisions": {"chat-2": {}}, "only": "chat-2"}}
    found = known([models_map({"models": entries})])
    assert not found.faults
    answer = permit(key("chat"), "new", found)
    assert isinstance(answer, Allowed)
    assert answer.headers == {
        "x-deepseek-client": "alice",
        "x-deepseek-model": "chat",
        "x-deepseek-route": "team/chat/chat-2",
    }
    assert "x-deepseek-revision" in removed(answer)
    pinned = permit(key("chat", revision="chat-1"), "new", found)
    assert isinstance(pinned, Denied)
    assert (pinned.status, "or not under this name" in pinned.message) == (400, True)


def test_names_are_those_of_the_scope() -> None:
    assert names_of(key("r1"), KNOWN, "keys") == ["reasoner"]
    assert names_of(key("*"), KNOWN, "jwt") == ["chat", "deepseek-chat", "reasoner"]
    assert headers_of(key("r1")) == {"x-deepseek-client": "alice"}


def test_a_model_is_known_only_where_the_gate_is_asked_in_the_ways_of_its_serving() -> None:
    """Servings that share a host name are asked about in the ways of one: another's tokens must not open them."""
    entries = {"a": {"serving": "a", "ways": "keys"}, "b": {"serving": "b", "ways": "jwt.1"}, "c": {"serving": "c"}}
    known_so = known([models_map({"models": entries})])
    for ways, names in (("keys", ["a", "c"]), ("jwt.1", ["b", "c"]), ("jwt.2", ["c"]), ("any.1", ["c"])):
        assert names_of(key("*"), known_so, ways) == names
        for name in "abc":
            answer = permit(key("*"), name, known_so, ways)
            assert isinstance(answer, Allowed) == (name in names)
            assert name in names or (isinstance(answer, Denied) and answer.status == 404)


def test_what_the_gate_does_not_say_is_taken_from_the_request_and_so_is_the_key() -> None:
    plain = permit(key("*"), "chat", KNOWN)
    pinned = permit(key("chat", revision="chat-1", limits="gold"), "chat", KNOWN)
    assert isinstance(plain, Allowed)
    assert isinstance(pinned, Allowed)
    claims = {"x-deepseek-jwt-sub", "x-deepseek-jwt-scopes", "x-deepseek-counted"}
    shown = {"authorization", "x-api-key"}
    assert set(removed(plain)) == {"x-deepseek-revision", "x-deepseek-limits", *claims, *shown}
    assert set(removed(pinned)) == claims | shown
    listing = Allowed(headers_of(key("*")))
    assert "x-deepseek-route" in removed(listing)
    assert not shown & set(removed(listing)), "the gate asks for the key once more"


COUNTING = known([models_map({"models": {"chat": {"serving": "chat", "counted": True}, "free": {"serving": "free"}}})])


@pytest.mark.parametrize("path", sorted(ASKING))
def test_a_stream_that_would_tell_no_tokens_is_refused_where_they_are_counted(path: str) -> None:
    def answer(name: str, is_untold: bool) -> Allowed | Denied:
        return permit_as_asked(key("*"), Asked(name, is_untold), path, COUNTING, "team", "keys")

    untold = answer("chat", True)
    if path.endswith("completions"):
        assert isinstance(untold, Denied)
        assert (untold.status, untold.param) == (400, "stream_options")
        assert '"stream_options": {"include_usage": true}' in untold.message
    else:
        assert isinstance(untold, Allowed), "streams of other APIs always tell them"
    assert isinstance(answer("chat", False), Allowed)
    assert isinstance(answer("free", True), Allowed)


def test_who_has_no_right_to_a_model_does_not_hear_that_its_tokens_are_counted() -> None:
    denied = permit_as_asked(key("free"), Asked("chat", True), CHAT, COUNTING, "team", "keys")
    assert isinstance(denied, Denied)
    assert denied.status == 403


@pytest.mark.parametrize("path", sorted(ASKING))
def test_engines_are_asked_by_post(path: str) -> None:
    assert unknown_path("POST", path) is None
    assert unknown_path("GET", path) is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load_lora_adapter"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/chat/../load_lora_adapter"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/v1/chat%2Fcompletions"),
        ("GET", "/metrics"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/chat"),
        ("POST", ""),
    ],
)
def test_what_is_no_question_for_an_engine_is_unknown(method: str, path: str) -> None:
    denied = unknown_path(method, path)
    assert denied is not None
    assert denied.status == 404
    assert not is_listing(method, path)
