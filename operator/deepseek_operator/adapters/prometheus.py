"""Prometheus through its client library, which is synchronous: in a bounded pool of threads, with its own time limit.

Prometheus writes NaN as the string "NaN"; that and an empty result mean that there is no data, never zero. The library
reads whatever comes for as long as it comes: what carries it bounds size and time of an answer.
"""

import asyncio
import math
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from deepseek_operator.core.seen import Answer, NoData, Sample, Signal, Unavailable
from deepseek_operator.domain.policy.analysis import Reading

LIMIT_BYTES = 1_048_576
"""One number has a few hundred bytes, a list of them that was asked for by mistake some more."""
MOST_SERIES = 1_000
"""Of one answer. An analysis is of a few; many are a query that was not thought through."""
TENANT_HEADER = "X-Scope-OrgID"
"""Of Grafana Mimir and Cortex."""
_THREADS = 8
_REASON_LENGTH = 256
NOT_CONFIGURED = Unavailable("no Prometheus address is configured (DEEPSEEK_OPERATOR_PROMETHEUS_URL)")


@dataclass(frozen=True)
class Manner:
    """How a server is asked.

    Attributes:
        authorities: in PEM, whose certificates are believed beside those that the image trusts; empty for none.
        credentials: folder with the file `token`, which is shown as a bearer's, or `username` and `password`; None: nobody
            asks who we are.
        tenant: whose series are asked for, of a server that has those of several; empty where it doesn't.
    """

    authorities: str = ""
    credentials: str | None = None
    tenant: str = ""


PLAINLY = Manner()


class Prometheus:
    """`ports.Signals` and `ports.Series` on one Prometheus server.

    Attributes:
        url: its address; None: every read is Unavailable, and says that no address was configured.
        timeout_s: time limit of one query; a thread can't be cancelled, so the library has the limit as well.
        manner: how it is asked.
    """

    def __init__(self, url: str | None, timeout_s: float = 5.0, manner: Manner = PLAINLY) -> None:
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="prometheus")
        self._client = _connected(url, timeout_s, manner) if url else None
        self._unavailable = None if url else NOT_CONFIGURED

    @property
    def unavailable(self) -> Unavailable | None:
        return self._unavailable

    async def read(self, query: str, at: datetime) -> Signal:
        answer = await self._answered(query, at)
        return answer if isinstance(answer, Unavailable) else signal_of(answer)

    async def read_all(self, query: str, at: datetime) -> Answer:
        answer = await self._answered(query, at)
        return answer if isinstance(answer, Unavailable) else series_of(answer, at)

    async def _answered(self, query: str, at: datetime) -> object:
        """An instant query's `result` as it came, or that it did not."""
        if self._client is None:
            return NOT_CONFIGURED
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s * 2):
                answer = await loop.run_in_executor(self._pool, self._ask, query, at)
        except NoConnection as error:
            self._unavailable = _failed(error)
            return self._unavailable
        # All else is of one query: others may be answered.
        except TimeoutError:
            return Unavailable(f"Prometheus did not answer within {self._timeout_s * 2:g} s")
        except RecursionError:
            return Unavailable("Prometheus: the answer is nested too deeply")
        except (RequestException, HTTPError, PrometheusApiClientException, ValueError, KeyError, TypeError) as error:
            return _failed(error)
        self._unavailable = None
        return answer

    def close(self) -> None:
        """Lets the threads go; a query that is under way ends by its own time limit."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, query: str, at: datetime) -> object:
        assert self._client is not None
        return self._client.custom_query(query, params={"time": at.timestamp()})


class _Bounded(HTTPAdapter):
    """Reads each answer whole, up to `LIMIT_BYTES` and `timeout_s`: the library's own limit is that of one read."""

    def __init__(self, timeout_s: float, authorities: str) -> None:
        self._timeout_s = timeout_s
        self._tls = _believing(authorities) if authorities else None
        super().__init__(max_retries=Retry(total=0, redirect=0))

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """With the authorities beside those that the library believes by itself."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **pool_kwargs)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """The same where the environment names a proxy."""
        return super().proxy_manager_for(proxy, ssl_context=self._tls, **proxy_kwargs)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        ends_at = time.monotonic() + self._timeout_s
        response = super().send(request, *args, **{**kwargs, "stream": True})
        content = bytearray()
        with response.raw as raw:
            while part := raw.read1(16_384):
                content += part
                if len(content) > LIMIT_BYTES:
                    raise RequestException(f"the answer has more than {LIMIT_BYTES} bytes")
                if time.monotonic() > ends_at:
                    raise RequestException(f"the answer takes more than {self._timeout_s:g} s")
        response.raw = BytesIO(content)
        return response


def _believing(authorities: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=authorities)
    return context


class _Shown(AuthBase):
    """What shows who we are, as its files have it at each query: whoever renews them restarts nobody."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if token := self._entry("token"):
            request.headers["Authorization"] = f"Bearer {token}"
            return request
        if (name := self._entry("username")) and (password := self._entry("password")):
            return HTTPBasicAuth(name.encode(), password.encode())(request)
        raise RequestException(f"{self._folder} has no entry token, and none username with password beside it")

    def _entry(self, name: str) -> str:
        """Empty where there is none. Raises RequestException, which never has what it should be in it."""
        try:
            text = (self._folder / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError):
            text = "\n"
        if not text.isprintable() or (name == "token" and not text.isascii()):
            raise RequestException(f"the entry {name} in {self._folder} can't be read, or is no line of text")
        return text


def _connected(url: str, timeout_s: float, manner: Manner) -> PrometheusConnect:
    session = Session()
    session.max_redirects = 0  # What was configured is asked, and nobody whom it names.
    session.auth = _Shown(manner.credentials) if manner.credentials else None
    headers = {"Accept-Encoding": "identity", **({TENANT_HEADER: manner.tenant} if manner.tenant else {})}
    client = PrometheusConnect(url=url, session=session, timeout=timeout_s, headers=headers)
    bounded = _Bounded(timeout_s, manner.authorities)
    for prefix in (url, "http://", "https://"):
        session.mount(prefix, bounded)
    return client


def _failed(error: Exception) -> Unavailable:
    return Unavailable(f"Prometheus: {_cause(error)}"[:_REASON_LENGTH])


def _cause(error: BaseException) -> str:
    """The innermost error: those around it carry addresses of objects and the query, another text each time."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}"


def signal_of(result: Any) -> Signal:
    """The signal that an instant query's `result` means: a vector of one sample, or a scalar."""
    if result == []:
        return NoData()
    match result:
        case [{"value": [at, value]}]:
            return _sample(at, value)
        case [(int() | float()) as at, str() as value]:
            return _sample(at, value)
        case [{"value": _}, *_]:
            return Unavailable(f"the query yields {len(result)} series, one was expected")
        case _:
            return Unavailable("the query's answer has an unknown form")


def series_of(result: Any, at: datetime) -> Answer:
    """The values that an instant query's `result` has: of a vector's samples, or of a scalar."""
    match result:
        case [(int() | float()), str() as value]:
            return _reading((value,), at)
        case list() if len(result) > MOST_SERIES:
            return Unavailable(f"the query yields {len(result)} series, at most {MOST_SERIES} are read: aggregate them")
        case list():
            try:
                return _reading(tuple(sample["value"][1] for sample in result), at)
            except (TypeError, KeyError, IndexError):
                return Unavailable("the query's answer has an unknown form: write one that yields an instant vector")
        case _:
            return Unavailable("the query's answer has an unknown form: write one that yields an instant vector")


def _reading(values: tuple[Any, ...], at: datetime) -> Answer:
    try:
        return Reading(tuple(float(value) for value in values), at)
    except (TypeError, ValueError, OverflowError):
        return Unavailable("the query's answer is not a number")


def _sample(at: Any, value: Any) -> Signal:
    try:
        number, moment = float(value), datetime.fromtimestamp(float(at), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return Unavailable("the query's answer is not a number")
    return Sample(number, moment) if math.isfinite(number) else NoData()
