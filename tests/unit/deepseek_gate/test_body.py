"""Which model a body asks for: any reader finds the same one, or the body is refused."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepseek_gate.answers import Denied
from deepseek_gate.body import MOST_VALUES, Asked, asked_of

JSON = "application/json"
TEXTS = st.text(st.characters(codec="utf-8"))
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=80)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS | st.just("model") | st.just('"model"'),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS | st.just("model"), inner),
    max_leaves=20,
)
ASKED = '{"model": "chat", "messages": []}'
REFUSED = {
    "nothing": (b"", 400),
    "white space": (b" \r\n", 400),
    "no JSON": (b"model=chat", 400),
    "a part of JSON": (ASKED[:-1].encode(), 400),
    "two values": (ASKED.encode() * 2, 400),
    "a list": (b'[{"model": "chat"}]', 400),
    "a text": (b'"model"', 400),
    "null": (b"null", 400),
    "no model": (b"{}", 400),
    "a model elsewhere": (b'{"metadata": {"model": "chat"}}', 400),
    "a model that is null": (b'{"model": null}', 400),
    "a model that is a number": (b'{"model": 1}', 400),
    "a model that is a list": (b'{"model": ["chat"]}', 400),
    "a model that is an object": (b'{"model": {"id": "chat"}}', 400),
    "an empty model": (b'{"model": ""}', 400),
    "a long model": (b'{"model": "' + b"a" * 257 + b'"}', 400),
    "a model with NUL": (b'{"model": "chat\\u0000"}', 400),
    "a model with a line end": (b'{"model": "chat\\r\\nx-deepseek-client: root"}', 400),
    "a raw NUL": (b'{"model": "chat\x00"}', 400),
    "NUL behind it": (ASKED.encode() + b"\x00", 400),
    "half a surrogate": (b'{"model": "\\ud800"}', 400),
    "a mark of byte order": (b"\xef\xbb\xbf" + ASKED.encode(), 400),
    "UTF-16": (ASKED.encode("utf-16"), 400),
    "Latin-1": ('{"model": "é"}'.encode("latin-1"), 400),
    "NaN": (b'{"model": "chat", "temperature": NaN}', 400),
    "model twice": (b'{"model": "chat", "model": "r1"}', 400),
    "model twice, once escaped": (b'{"model": "chat", "m\\u006fdel": "r1"}', 400),
    "model twice, once in capitals of an escape": (b'{"model": "chat", "mode\\u006C": "r1"}', 400),
    "model twice, far apart": (b'{"model": "chat", "a": {"model": 1}, "model": "chat"}', 400),
    "deep lists": (b'{"model": "chat", "a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", 400),
    "lists that never end": (b"[" * 1_000, 400),
    "many values": (b'{"model": "chat", "a": [' + b"0," * MOST_VALUES + b"0]}", 413),
    "many lists": (b'{"model": "chat", "a": [' + b"[]," * MOST_VALUES + b"0]}", 413),
}
TAKEN = {
    "as OpenAI's library sends it": ASKED.encode(),
    "with the word as a value": b'{"model": "chat", "role": "model"}',
    "with a model in a tool": b'{"model": "chat", "tools": [{"model": "r1"}]}',
    "with an escaped model in a tool": b'{"model": "chat", "tools": [{"m\\u006fdel": "r1"}]}',
    "with escapes": b'{"\\u006dodel": "chat"}',
    "with the word in a text": json.dumps({"model": "chat", "prompt": '{"model": "r1", "model": "r2"}'}).encode(),
}


def model_of(body: bytes, content_type: str, content_encoding: str) -> str | Denied:
    asked = asked_of(body, content_type, content_encoding)
    return asked.model if isinstance(asked, Asked) else asked


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED)
def test_a_hostile_body_is_refused(body: bytes, status: int) -> None:
    answer = model_of(body, JSON, "")
    assert isinstance(answer, Denied)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_a_sound_body_tells_its_model(body: bytes) -> None:
    assert model_of(body, JSON, "") == "chat"


@pytest.mark.parametrize(
    "content_type", ["", JSON, "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_is_taken_as_clients_name_it(content_type: str) -> None:
    assert model_of(ASKED.encode(), content_type, "identity") == "chat"


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain", ""),
        ("multipart/form-data; boundary=x", ""),
        ("application/x-www-form-urlencoded", ""),
        ("application/json, text/plain", ""),
        ("application/json; charset=utf-16", ""),
        ("application/json; charset=utf-7", ""),
        ("json", ""),
        (JSON, "gzip"),
        (JSON, "identity, gzip"),
    ],
)
def test_other_bodies_are_refused_with_words(content_type: str, encoding: str) -> None:
    answer = model_of(ASKED.encode(), content_type, encoding)
    assert isinstance(answer, Denied)
    assert answer.status == 415
    assert "Send the body" in answer.message


@given(name=NAMES, more=st.dictionaries(TEXTS, VALUES), is_ascii=st.booleans())
def test_the_model_of_any_json_is_found(name: str, more: dict[str, Any], is_ascii: bool) -> None:
    body = json.dumps({**more, "model": name}, ensure_ascii=is_ascii).encode()
    assert model_of(body, JSON, "") == name


@given(body=st.binary() | st.text().map(str.encode) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_other_reader_finds_the_same_model(body: bytes) -> None:
    answer = model_of(body, JSON, "")
    if isinstance(answer, str):
        assert json.loads(body)["model"] == answer


@given(first=NAMES, second=NAMES, more=st.dictionaries(TEXTS, VALUES), place=st.integers(0, 5))
def test_a_second_model_is_refused_wherever_it_hides(first: str, second: str, more: dict[str, Any], place: int) -> None:
    escaped = list("model")
    if place < len(escaped):
        escaped[place] = f"\\u{ord(escaped[place]):04x}"
    rest = json.dumps(more)[1:-1]
    body = "{" + ",".join(filter(None, (f'"{"".join(escaped)}": {json.dumps(second)}', rest)))
    body += f', "model": {json.dumps(first)}}}'
    assert isinstance(model_of(body.encode(), JSON, ""), Denied)


@example(content_type="\udd00", encoding="")
@given(content_type=st.text(st.characters(exclude_characters="\r\n")), encoding=st.text())
def test_no_header_is_an_exception(content_type: str, encoding: str) -> None:
    model_of(ASKED.encode(), content_type, encoding)


TOLD: dict[str, Any] = {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("more", "is_untold"),
    [
        ({}, False),
        ({"stream": False}, False),
        ({"stream": None}, False),
        ({"stream": True}, True),
        ({"stream": True, **TOLD}, False),
        ({"stream": True, "stream_options": None}, True),
        ({"stream": True, "stream_options": []}, True),
        ({"stream": True, "stream_options": {"include_usage": False}}, True),
        ({"stream": True, "stream_options": {"include_usage": "true"}}, True),
        ({"stream": True, "stream_options": {"include_usage": 1}}, True),
        # What engines may take for a wish to stream.
        ({"stream": 1}, True),
        ({"stream": "yes"}, True),
        ({"stream": "yes", **TOLD}, False),
    ],
)
def test_a_stream_tells_its_tokens_only_if_it_was_asked_to(more: dict[str, Any], is_untold: bool) -> None:
    body = json.dumps({"model": "chat", **more}).encode()
    assert asked_of(body, JSON, "") == Asked("chat", is_untold)
