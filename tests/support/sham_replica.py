"""A replica that answers OpenAI's protocol in a time that is a known function of what is in flight."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class ShamReplica:
    """What it does, and what it was asked.

    Attributes:
        first_s: seconds until the first token, of how many are in flight.
        takes_ignore_eos: whether it knows that word; others are refused (400).
        others: requests of others, which its metrics count.
        breaks_off: ends its answers without saying so.
        refuse: a status in place of an answer, of how many are in flight; 0 for none.
    """

    first_s: Callable[[int], float] = lambda streams: 0.02
    takes_ignore_eos: bool = True
    others: int = 0
    breaks_off: bool = False
    refuse: Callable[[int], int] = lambda streams: 0
    in_flight: int = 0
    most: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        self.keys.add(request.headers.get("Authorization"))
        if "ignore_eos" in body and not self.takes_ignore_eos:
            return web.json_response({"error": {"message": "unknown field ignore_eos"}}, status=400)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            if status := self.refuse(self.in_flight):
                return web.json_response({"error": {"message": "full"}}, status=status)
            await asyncio.sleep(self.first_s(self.in_flight))
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for _ in range(tokens := min(body["max_tokens"], 4)):
                await _send(response, {"choices": [{"index": 0, "text": "a"}]})
            if self.breaks_off:
                return response
            await _send(response, {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": tokens}})
            await response.write(b"data: [DONE]\n\n")
            return response
        finally:
            self.in_flight -= 1

    async def metrics(self, request: web.Request) -> web.Response:
        lines = (
            "# TYPE vllm:num_requests_running gauge",
            f'vllm:num_requests_running{{model_name="sham"}} {float(self.in_flight + self.others)}',
            'vllm:num_requests_waiting{model_name="sham"} 0.0',
        )
        return web.Response(text="\n".join(lines) + "\n")

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "sham"}]})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Its address, while it runs."""
        application = web.Application()
        application.router.add_post("/v1/completions", self.complete)
        application.router.add_get("/v1/models", self.models)
        application.router.add_get("/metrics", self.metrics)
        async with TestServer(application) as server:
            yield str(server.make_url("/")).rstrip("/")


async def _send(response: web.StreamResponse, document: dict[str, Any]) -> None:
    await response.write(f"data: {json.dumps(document)}\n\n".encode())
