"""What is known stays known while the API server is away, and lets nobody in before it was there."""

import pytest

from deepseek_gate.cluster import Forbidden, Unread
from deepseek_gate.keys import digest_of
from deepseek_gate.knowledge import ConfigMap
from deepseek_gate.reader import Reader
from tests.support.gate import KEY, config_map, entry, models_map


class Source:
    """Tells what the test says, by namespace."""

    def __init__(self, **told: list[ConfigMap] | Unread) -> None:
        self.told = told

    async def list_config_maps(self, namespace: str) -> list[ConfigMap]:
        answer = self.told[namespace]
        if isinstance(answer, Unread):
            raise answer
        return answer


def clock() -> float:
    return 100.0


async def test_it_keeps_what_it_knows_while_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(team=[config_map("keys", {"alice": entry(KEY, "chat")}), models_map()])
    reader = Reader(source, ["team"], clock)
    await reader.read("team")
    source.told["team"] = Unread("away")
    for _ in range(3):
        await reader.read("team")
    known = reader.of("team")
    assert known is not None
    assert digest_of(KEY) in known.keys
    assert reader.is_ready
    assert [record.message for record in caplog.records].count("namespace team: away") == 1


async def test_an_entry_that_goes_is_known_no_more() -> None:
    source = Source(team=[config_map("keys", {"alice": entry(KEY, "chat")})])
    reader = Reader(source, ["team"], clock)
    await reader.read("team")
    source.told["team"] = []
    await reader.read("team")
    known = reader.of("team")
    assert known is not None
    assert not known.keys


async def test_it_is_ready_once_each_namespace_has_answered_and_one_could_be_read() -> None:
    source = Source(a=Unread("away"), b=[])
    reader = Reader(source, ["a", "b"], clock)
    assert not reader.is_ready
    await reader.read("b")
    await reader.read("a")
    assert not reader.is_ready
    source.told["a"] = Forbidden("the API server answers 403")
    await reader.read("a")
    assert reader.is_ready
    assert reader.of("a") is None


async def test_where_all_is_forbidden_it_is_never_ready() -> None:
    reader = Reader(Source(a=Forbidden("no")), ["a"], clock)
    await reader.read("a")
    assert not reader.is_ready


async def test_no_value_of_an_entry_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "sk-ds-pasted-by-mistake"
    reader = Reader(Source(team=[config_map("keys", {"alice": secret})]), ["team"], clock)
    await reader.read("team")
    assert "the entry alice is no JSON" in caplog.text
    assert secret not in caplog.text
