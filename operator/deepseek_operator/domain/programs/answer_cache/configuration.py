"""What nginx is told before one revision: `nginx.conf` beside this file, filled in.

`answers.js` beside this file decides which answers may be kept; here is where they lie and for how long, and that all
others pass as they come. nginx 1.22 or newer with njs 0.8 or newer understands it, as the official image has them.
https://nginx.org/en/docs/http/ngx_http_proxy_module.html, https://nginx.org/en/docs/http/ngx_http_js_module.html
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

RESULT_HEADER = "X-DeepSeek-Cache"
"""Of an answer: HIT, MISS, EXPIRED (kept, but too old) or BYPASS (never to be kept)."""

PORT = 8080
HEALTH_PORT = 8081
"""Where `/ready` and `/metrics` are."""

FOLDER = "/etc/deepseek-cache"
"""Where the configuration is mounted."""
CONFIGURATION = "nginx.conf"
SCRIPT = "answers.js"

MEMORY = "/cache"
"""The folder of the answers. Held in memory: nothing that a client said or was told is written to a disk."""
HEADROOM = 64 * 1024 * 1024
"""Bytes beside the answers that may be kept: nginx drops the oldest a moment after there are too many. With none left,
answers would break off."""

MIN_USES = 2
"""Questions after which an answer is kept: what is asked once would only drive out what is asked again."""

_CONNECT_SECONDS = 5
_LONGER_IDLE_SECONDS = 3600
"""Beyond the longest request. Envoy ends a connection that was idle for an hour."""
_NAMES = "16m"
"""Memory for the names of about 128,000 answers."""


@dataclass(frozen=True)
class Cached:
    """One revision that gets a cache.

    Attributes:
        revision: its name, a part of the name of each answer.
        service: host name of its replicas; nginx looks it up once, when it starts.
        port: of the replicas' Service.
        tries: connections to try until one is there.
        max_body_size: bytes of a request's body; larger ones are answered with 413.
        ttl_s: seconds that an answer is kept.
        max_size: bytes of all answers.
        request_s: seconds that replicas may be silent within a request.
    """

    revision: str
    service: str
    port: int
    tries: int
    max_body_size: int
    ttl_s: int
    max_size: int
    request_s: int


@cache
def script() -> str:
    """`answers.js`."""
    return (files(__package__) / SCRIPT).read_text(encoding="utf-8")


class _Template(Template):
    """Written with `%{…}`: nginx has variables of its own that begin with `$`."""

    delimiter = "%"


@cache
def _template() -> _Template:
    return _Template((files(__package__) / CONFIGURATION).read_text(encoding="utf-8"))


def configuration(cached: Cached) -> str:
    """`nginx.conf`, filled in."""
    return _template().substitute(
        revision=cached.revision,
        servers=f"server {cached.service}:{cached.port} max_fails=0; " * cached.tries,
        max_body_size=cached.max_body_size,
        ttl_s=cached.ttl_s,
        max_size=cached.max_size,
        request_s=cached.request_s,
        idle_s=cached.request_s + _LONGER_IDLE_SECONDS,
        connect_s=_CONNECT_SECONDS,
        names=_NAMES,
        min_uses=MIN_USES,
        port=PORT,
        health_port=HEALTH_PORT,
        folder=FOLDER,
        memory=MEMORY,
        result=RESULT_HEADER,
    )
