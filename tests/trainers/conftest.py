"""A cluster, for those that run on one, and what is learnt, for all."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import bed, kubectl, pytest_runtest_makereport
from tests.trainers.installed import a_model

__all__ = ["bed", "kubectl", "pytest_runtest_makereport"]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2 with a tokenizer in DeepSeek's form, named by the class that their transformers read right."""
    return a_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty-four short chats."""
    file = tmp_path_factory.mktemp("data") / "chats.jsonl"
    turns = [(f"what is {n} plus one?", f"it is {n + 1}.") for n in range(64)]
    lines = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in turns]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
