"""Who is answered, where the engine has a key: whoever shows it as a Bearer, as OpenAI's libraries do.

Probes and Prometheus come without one, as they come to vLLM.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from deepseek_runtime.engine.answered import UNCOUNTED
from deepseek_runtime.engine.errors import error_response
from deepseek_runtime.engine.state import ENGINE

OPEN = UNCOUNTED
"""Paths that everybody may ask."""
_SCHEME = "bearer"


@web.middleware
async def guarded(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answers 401 to who shows another key or none. A key is never repeated, nor is how much of it was right."""
    key = request.app[ENGINE].key
    if not key or request.path in OPEN or _is_shown(key, request.headers.getall("Authorization", [])):
        return await handler(request)
    response = error_response(401, "send the engine's key as Authorization: Bearer KEY", "AuthenticationError")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _is_shown(key: str, shown: list[str]) -> bool:
    """Of digests, so that the time tells neither a character nor the length. Two headers are none."""
    scheme, _, said = (shown[0] if len(shown) == 1 else "").partition(" ")
    return hmac.compare_digest(_digest(said.strip()), _digest(key)) and scheme.lower() == _SCHEME


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()
