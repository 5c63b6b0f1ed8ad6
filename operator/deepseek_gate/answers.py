"""What a client is told: OpenAI's form of an error, so that its libraries raise what their users expect."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

_UNKNOWN, _UNIMPLEMENTED = 2, 12
_CALLED = {400: 3, 401: 16, 403: 7, 404: 5, 429: 14}


@dataclass(frozen=True)
class Allowed:
    """The request goes on, with these headers set. `serving`: whom it is for; None: nobody, as a list of models."""

    headers: Mapping[str, str]
    serving: str | None = None


@dataclass(frozen=True)
class Denied:
    """The client gets `status` and these words. `result` is what metrics call it; `headers` go with it.

    Asked for leave, no status is 5xx: Envoy (1.39.1) takes such an answer for a failure of the authorizer, and the client gets
    a bare 403.
    """

    status: int
    result: str
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def grpc_status(self) -> int:
        """What gRPC calls it (grpc/grpc, doc/statuscodes.md). Of the status alone Envoy makes INTERNAL of 400, and of a model that
        there is not, as of a method that there is not, UNIMPLEMENTED."""
        return _UNIMPLEMENTED if self.result == "unknown_path" else _CALLED.get(self.status, _UNKNOWN)

    @property
    def body(self) -> bytes:
        """The error as JSON."""
        kind = "authentication_error" if self.status == 401 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})


def unauthorized(message: str, result: str) -> Denied:
    """401, with the header that HTTP asks for (RFC 6750)."""
    challenge = {"WWW-Authenticate": 'Bearer realm="deepseek", error="invalid_token"'}
    return Denied(401, result, message, "invalid_api_key", headers=challenge)


def bad_request(message: str, param: str | None = None, code: str | None = None) -> Denied:
    """400."""
    return Denied(400, "bad_request", message, code, param)


def too_large(message: str) -> Denied:
    """413."""
    return Denied(413, "too_large", message, "request_too_large")
