"""`deepseek-operator key`: what it writes the gate reads, and a key is told once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from deepseek_gate.keys import Key, digest_of
from deepseek_gate.knowledge import known
from deepseek_operator.__main__ import main
from deepseek_operator.cli import keys
from deepseek_operator.cli.keys import Wish

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_what_is_written_is_what_the_gate_reads() -> None:
    wish = Wish("alice", ("chat",), NOW + timedelta(days=90), "chat-1", "gold")
    key = keys.new_key()
    found = known([keys.config_map("team", {"alice": keys.entry(key, wish)})])
    assert not found.faults
    assert found.keys == {digest_of(key): Key("alice", frozenset({"chat"}), wish.expires, "chat-1", "gold")}


def test_keys_are_long_alike_and_never_the_same() -> None:
    made = {keys.new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("sk-ds-[0-9A-Za-z]{43}", key) for key in made)


def test_with_yaml_nothing_is_written_and_the_key_goes_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "new", "alice", "--serving", "chat", "--serving", "r1", "-n", "team", "-o", "yaml"]) == 0
    said = capsys.readouterr()
    found = known([yaml.safe_load(said.out)])
    (told,) = re.findall("sk-ds-[0-9A-Za-z]{43}", said.err)
    assert "sk-ds" not in said.out
    assert found.keys[digest_of(told)].servings == {"chat", "r1"}
    expires = found.keys[digest_of(told)].expires
    assert expires is not None
    assert timedelta(days=89) < expires - datetime.now(UTC) < timedelta(days=91)


@pytest.mark.parametrize(
    ("text", "lasting"),
    [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("30m", timedelta(minutes=30)), ("never", None)],
)
def test_a_time_is_written_with_its_unit(text: str, lasting: timedelta | None) -> None:
    assert keys.term(text) == lasting


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alice", "--expires", "90"], "write 90d"),
        (["alice", "--expires", "0d"], "write 90d"),
        (["a b"], "no name 'a b'"),
        (["alice", "--limits", "a\nb"], "no class of limits"),
        (["alice", "--serving", "r1", "--revision", "chat-1"], "one --serving alone"),
    ],
)
def test_what_the_gate_would_refuse_is_refused_before(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "new", *arguments, "--serving", "chat", "-o", "yaml"]) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
