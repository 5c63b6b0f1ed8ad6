"""The page where KEDA asks how many replicas are wanted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.controller.signals import Wish
from deepseek_operator.controller.wanted import WantedPages
from deepseek_operator.core.configuration import Configuration, wanted_path


class Board:
    """Wishes of one serving, `team/chat`."""

    def __init__(self, replicas: int | None) -> None:
        self.replicas = replicas

    def wish(self, word: str, namespace: str, name: str) -> Wish | None:
        is_it = (word, namespace, name) == ("serving", "team", "chat")
        return Wish(self.replicas, datetime(2026, 1, 1, tzinfo=UTC)) if is_it and self.replicas is not None else None


@asynccontextmanager
async def asked(board: Board) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    pages = WantedPages(board, ["serving"])
    await pages.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield session, f"http://127.0.0.1:{pages.port}"
    finally:
        await pages.stop()


async def answer(board: Board, path: str) -> tuple[int, object]:
    async with asked(board) as (session, root), session.get(root + path) as response:
        return response.status, await response.json()


async def test_a_wish_is_told_as_a_number() -> None:
    assert await answer(Board(4), wanted_path(SERVING, "team", "chat")) == (200, {"replicas": 4})


@pytest.mark.parametrize(
    ("board", "path"),
    [(Board(None), "/wanted/serving/team/chat"), (Board(4), "/wanted/serving/other/chat")],
    ids=["no wish", "another namespace"],
)
async def test_no_wish_is_an_error_and_never_a_number(board: Board, path: str) -> None:
    status, body = await answer(board, path)
    assert status == 503
    assert body == {"error": "its signals do not say how many replicas they want"}


async def test_what_is_not_scaled_is_not_found() -> None:
    status, _ = await answer(Board(4), "/wanted/training/team/chat")
    assert status == 404


async def test_nothing_else_is_told_there() -> None:
    async with asked(Board(4)) as (session, root):
        for path in ("/", "/metrics", "/wanted/serving", "/wanted/serving/team", "/wanted/serving/team/chat/more"):
            async with session.get(root + path) as response:
                assert response.status == 404, path


def test_the_address_that_keda_is_given_is_that_page() -> None:
    url = Configuration(wanted_url="http://operator.ns.svc:8082").wanted_url_of(SERVING, "team", "chat")
    assert url == "http://operator.ns.svc:8082/wanted/serving/team/chat"
    assert Configuration().wanted_url_of(SERVING, "team", "chat") is None
