"""What a client asks is honoured or refused, never ignored."""

import json

import pytest
import torch

from deepseek_runtime.engine.request import INSTEAD, UNSUPPORTED, Asked, BadRequest, chat, completion
from deepseek_runtime.engine.sequence import Sampling, choose
from tests.runtime.bare_model import model

MODEL = model()
# One that changes the answer, for each parameter that has a value which does not.
USED = {
    "n": 2, "best_of": 2, "echo": True, "logprobs": 0, "top_logprobs": 3, "logit_bias": {"5": 1}, "suffix": "!",
    "presence_penalty": 0.5, "frequency_penalty": 0.5, "repetition_penalty": 1.1,
    "min_tokens": 4, "stop_token_ids": [7], "include_stop_str_in_output": True, "skip_special_tokens": False,
    "add_generation_prompt": False, "continue_final_message": True, "chat_template_kwargs": {"thinking": True},
    "functions": [{"name": "f"}], "tools": [{"type": "function"}], "tool_choice": "required",
    "parallel_tool_calls": "all", "modalities": ["audio"],
    "guided_json": {}, "guided_regex": "a", "guided_choice": ["a"], "guided_grammar": "root ::= \"a\"",
}  # fmt: skip


def asked(**fields: object) -> Asked:
    return completion(json.loads(json.dumps({"prompt": "ab", **fields})), MODEL)


def test_every_parameter_that_is_not_supported_is_refused_when_it_is_used() -> None:
    assert set(USED) == set(UNSUPPORTED)
    for parameter, value in USED.items():
        with pytest.raises(BadRequest, match=f"^{parameter} is not supported"):
            asked(**{parameter: value})
        for unused in (*UNSUPPORTED[parameter], None):
            assert asked(**{parameter: unused}) == asked()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"guided_choice": ["a"]}, "write structured_outputs"),
        ({"tool_choice": "required"}, "write auto or none; tools are for /v1/chat"),
        ({"n": 3}, "with another seed each"),
        ({"logprobs": 5}, "by vLLM or SGLang, which have it"),
        ({"stop_token_ids": [7]}, "write texts, as stop"),
        ({"min_tokens": 4}, "leave it out"),
    ],
)
def test_a_refusal_says_what_to_write(fields: dict[str, object], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        asked(**fields)
    assert INSTEAD.keys() <= UNSUPPORTED.keys()


def test_unknown_parameter_is_refused_and_what_a_client_says_of_itself_is_not() -> None:
    with pytest.raises(BadRequest, match="guided_nonsense is not supported"):
        asked(guided_nonsense="[0-9]+")
    assert asked(user="me", metadata={"run": "1"}, store=False) == asked()


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"max_completion_tokens": 5, "max_tokens": 9}, 5),
        ({"max_completion_tokens": None, "max_tokens": 9}, 9),
        ({"max_completion_tokens": 5, "max_tokens": None}, 5),
        ({"max_tokens": None}, 16),
        ({}, 16),
    ],
)
def test_answer_is_as_long_as_whichever_name_says(fields: dict[str, object], tokens: int) -> None:
    assert asked(**fields).sampling.max_tokens == tokens


def test_chat_may_be_as_long_as_the_model_allows() -> None:
    answer = chat({"messages": [{"role": "user", "content": "abc"}]}, MODEL)
    assert answer.sampling.max_tokens == 97


@pytest.mark.parametrize("template", ["{{ raise_exception('roles must alternate') }}", "{{ messages[7]['role'] + 1 }}"])
def test_messages_that_the_chat_template_refuses_are_the_clients_error(template: str) -> None:
    with pytest.raises(BadRequest, match="chat template refuses these messages"):
        chat({"messages": [{"role": "tool", "content": "abc"}]}, model(template))


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"stream": "true"}, "stream must be true or false"),
        ({"stream": 1}, "stream must be true or false"),
        ({"ignore_eos": "yes"}, "ignore_eos must be true or false"),
        ({"stream": True, "stream_options": ["usage"]}, "stream_options must be an object"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage must be true or false"),
    ],
)
def test_flag_that_is_none_says_what_to_write(fields: dict[str, object], advice: str) -> None:
    with pytest.raises(BadRequest, match=advice):
        asked(**fields)


@pytest.mark.parametrize("temperature", [0.0, 1e-50, 1e-39, 1e-4])
def test_the_colder_the_likelier(temperature: float) -> None:
    logits = torch.tensor([1.0, 80.0, -60.0])
    assert choose(logits, Sampling(1, temperature=temperature), torch.Generator().manual_seed(0)) == 1


CHANCES = torch.tensor([0.4, 0.3, 0.2, 0.06, 0.04])


def drawn(**sampling: float) -> set[int]:
    """Every token that comes up in many draws."""
    source = torch.Generator().manual_seed(0)
    how = Sampling(1, **sampling)  # type: ignore[arg-type]
    return {choose(CHANCES.log(), how, source) for _ in range(600)}


@pytest.mark.parametrize(
    ("sampling", "left"),
    [
        ({}, {0, 1, 2, 3, 4}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 99}, {0, 1, 2, 3, 4}),
        ({"min_p": 0.4}, {0, 1, 2}),
        ({"min_p": 1.0}, {0}),
        ({"top_p": 0.75}, {0, 1, 2}),
        ({"top_k": 3, "top_p": 0.75}, {0, 1}),
        ({"min_p": 0.4, "top_k": 2, "top_p": 0.5}, {0}),
    ],
)
def test_what_is_drawn_from_is_what_the_request_leaves(sampling: dict[str, float], left: set[int]) -> None:
    """Of three tokens that top_k leaves, two hold three quarters of the chance: 0.7 of 0.9."""
    assert drawn(**sampling) == left


def test_equal_tokens_stay_together() -> None:
    source = torch.Generator().manual_seed(0)
    assert {choose(torch.zeros(3), Sampling(1, top_k=1), source) for _ in range(100)} == {0, 1, 2}


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"top_k": 1.5}, "top_k must be a whole number"),
        ({"top_k": -2}, "top_k must be a whole number of at least -1"),
        ({"min_p": 1.5}, "min_p must lie between 0 and 1"),
        ({"min_p": "0.1"}, "min_p must be a number"),
    ],
)
def test_a_limit_that_is_none_is_refused(fields: dict[str, object], advice: str) -> None:
    with pytest.raises(BadRequest, match=advice):
        asked(**fields)


def test_minus_one_and_zero_leave_all_tokens() -> None:
    assert asked(top_k=-1, min_p=0) == asked(top_k=0) == asked()
