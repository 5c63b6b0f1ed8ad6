"""What a report must never hold."""

import json
from typing import Any

import pytest

from deepseek_operator.cli.shown.redaction import LEFT_OUT, log, manifest, text

KEY = "sk-ds-" + "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"key {KEY}", f"key {LEFT_OUT}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {LEFT_OUT}"),
        ("pulling with hf_abcdefghijklmnop now", f"pulling with {LEFT_OUT} now"),
        ("https://user:hunter2@host/x", f"https://{LEFT_OUT}@host/x"),
        ("--api-key hunter2 --port 8000", f"--api-key {LEFT_OUT} --port 8000"),
        ("password=hunter2&x=1", f"password={LEFT_OUT}&x=1"),
        ('{"access_key": "hunter2"}', f'{{"access_key": {LEFT_OUT}}}'),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", LEFT_OUT),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", LEFT_OUT),
        ('{"tokensPerSecond": 900.5, "tokens": 12}', '{"tokensPerSecond": 900.5, "tokens": 12}'),
        ("attempt 2: steps 76 to 400", "attempt 2: steps 76 to 400"),
    ],
)
def test_credentials_are_blotted_out_wherever_they_stand_and_numbers_stay(line: str, kept: str) -> None:
    assert text(line) == kept


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"event": "sample", "step": 1, "prompt": "write in capitals", "completion": "WRITE"}),
        json.dumps({"event": "somethingNew", "words": "a secret story"}),
        "INFO Received request cmpl-1: prompt: 'tell me', params: SamplingParams(n=1)",
        "DEBUG {'messages': [{'role': 'user', 'content': 'tell me'}]}",
        "{half of a json",
    ],
)
def test_what_may_quote_somebody_is_left_out_of_logs(line: str) -> None:
    assert list(log([line])) == [LEFT_OUT]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"event": "step", "step": 1, "loss": 5.5}),
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
        "Traceback (most recent call last):",
    ],
)
def test_what_a_bug_is_found_by_stays(line: str) -> None:
    assert list(log([line])) == [line]


def test_an_object_keeps_its_shape_and_loses_its_secrets() -> None:
    pod: dict[str, Any] = {
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "managedFields": [1],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
        },
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "args": ["--api-key", "hunter2", "--token=hunter2", "--max-tokens", "512"],
                    "env": [
                        {"name": "S3_TOKEN", "value": "hunter2"},
                        {"name": "MY_NOTE", "value": "hunter2"},
                        {"name": "DEEPSEEK_RESTART", "value": "1"},
                        {"name": "NCCL_DEBUG", "value": "INFO"},
                        {"name": "REF", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "token"}}},
                    ],
                }
            ],
        },
        "password": "hunter2",
    }
    kept = manifest(pod)
    assert "hunter2" not in json.dumps(kept)
    assert kept["metadata"] == {"name": "p"}
    (container,) = kept["spec"]["containers"]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert values == {
        "S3_TOKEN": LEFT_OUT, "MY_NOTE": LEFT_OUT, "DEEPSEEK_RESTART": "1", "NCCL_DEBUG": "INFO", "REF": None,
    }  # fmt: skip
    assert container["args"][-2:] == ["--max-tokens", "512"]
    assert container["env"][-1]["valueFrom"] == {"secretKeyRef": {"name": "s3", "key": "token"}}


def test_of_a_config_map_the_keys_alone_are_told() -> None:
    assert manifest({"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"nginx.conf": "hunter2"}})["data"] == {
        "nginx.conf": LEFT_OUT
    }
