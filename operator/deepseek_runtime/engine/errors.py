"""Failures in OpenAI's form: whose fault it is, and what to do."""

import traceback
from collections.abc import Awaitable, Callable

from aiohttp import web

from deepseek_runtime.contract import Invalid
from deepseek_runtime.engine.request import NoSuchModel
from deepseek_runtime.engine.scheduler import QueueFull
from deepseek_runtime.engine.state import ENGINE
from deepseek_runtime.reading import words

MAX_BODY_BYTES = 8 << 20
# A client that takes longer to send so much holds a place in the drain for nothing.
BODY_S = 60.0
RETRY_AFTER_S = "1"
_WORDS = 2000


@web.middleware
async def in_words(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Counts the answer as an open one until it is given."""
    engine = request.app[ENGINE]
    engine.open_answers += 1
    try:
        return await handler(request)
    except NoSuchModel as error:
        return error_response(404, str(error), "NotFoundError")
    except Invalid as error:
        # Nobody thought of it: it may be a mistake of ours that looks like the client's.
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return error_response(400, str(error), "BadRequestError")
    except web.RequestPayloadError as error:
        response = error_response(400, f"the body can't be read: {words(error)}", "BadRequestError")
        response.force_close()
        return response
    except TimeoutError:
        response = error_response(408, f"the body did not come within {BODY_S:.0f} s", "RequestTimeoutError")
        response.force_close()
        return response
    except web.HTTPRequestEntityTooLarge:
        return error_response(413, f"the body exceeds {MAX_BODY_BYTES >> 20} MiB", "RequestEntityTooLargeError")
    except QueueFull:
        response = error_response(429, "all places are taken, running and waiting; try again", "TooManyRequestsError")
        response.headers["Retry-After"] = RETRY_AFTER_S
        return response
    finally:
        engine.open_answers -= 1


def unavailable(message: str) -> web.Response:
    response = error_response(503, message, "ServiceUnavailableError")
    response.headers["Retry-After"] = RETRY_AFTER_S
    response.force_close()
    return response


def error_response(status: int, message: str, kind: str) -> web.Response:
    # What a client sent is quoted; it need not get megabytes of it back.
    told = {"message": message[:_WORDS], "type": kind, "code": status}
    return web.json_response({"error": told}, status=status)
