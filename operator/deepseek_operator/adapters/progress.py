"""Asks rank 0 of a training how far it is. What comes back is untrusted: bounded, checked, and only for display.

Only the pod's own IP is asked, on the one port of the contract, and none that is the operator's own or the node's
(loopback, link-local); redirects are not followed, cookies not kept; the answer may have at most 64 KiB, not compressed,
and take at most 2 seconds; every known key must have its type, unknown keys are dropped.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deepseek_operator.core.resources import Manifest
from deepseek_operator.core.seen import Unavailable

PORT = 8090
LIMIT_BYTES = 65_536
TIMEOUT_S = 2.0
_CONNECTIONS = 32

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_Text = Annotated[str, Field(max_length=256)]
_Step = Annotated[int, Field(ge=0, le=2**53)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Latest(_Part):
    step: _Step
    time: _Text | None = None
    bytes: _Step | None = None
    seconds: _Number | None = None
    blockedSeconds: _Number | None = None  # noqa: N815
    blockedShare: _Number | None = None  # noqa: N815


class _Best(_Part):
    step: _Step
    metric: _Text | None = None
    value: _Number | None = None


class _ResumedFrom(_Part):
    step: _Step


class _Prepared(_Part):
    digest: _Text | None = None
    read: _Step
    sequences: _Step | None = None
    tokens: _Step | None = None
    dropped: Annotated[dict[_Text, _Step], Field(max_length=32)] | None = None


class _Data(_Part):
    examples: _Step
    dropped: _Step | None = None
    cut: _Step | None = None
    longest: _Step | None = None
    prepared: _Prepared | None = None


class _EvaluationFailure(_Part):
    step: _Step
    message: Annotated[str, Field(max_length=1024)]


class _Rollbacks(_Part):
    count: _Step
    step: _Step | None = None
    to: _Step | None = None
    skipped: _Step | None = None


class _InPlaceRestarts(_Part):
    count: _Step
    step: _Step | None = None
    cause: Annotated[str, Field(max_length=4096)] | None = None


class _Straggler(_Part):
    rank: _Step
    factor: _Number
    node: _Text | None = None


class _Preflight(_Part):
    seconds: _Number
    collectiveMegabytesPerSecond: _Number | None = None  # noqa: N815
    writeMegabytesPerSecond: _Number | None = None  # noqa: N815
    readMegabytesPerSecond: _Number | None = None  # noqa: N815
    node: _Text | None = None


class _Fetch(_Part):
    done: _Step
    total: _Step
    bytesPerSecond: _Number | None = None  # noqa: N815
    etaSeconds: _Number | None = None  # noqa: N815


class _Progress(_Part):
    """The keys of the contract's `/progress`; absent or null means unknown."""

    formatVersion: Literal[1]  # noqa: N815
    trainingUID: _Text | None = None  # noqa: N815
    incarnation: _Text | None = None
    attempt: _Step | None = None
    state: Literal["Starting", "Preparing", "Training", "Saving", "Evaluating", "Stopping", "Complete"] | None = None
    step: _Step | None = None
    firstStep: _Step | None = None  # noqa: N815
    maxSteps: _Step | None = None  # noqa: N815
    epoch: _Number | None = None
    loss: _Number | None = None
    gradientNorm: _Number | None = None  # noqa: N815
    learningRate: _Number | None = None  # noqa: N815
    evalLoss: _Number | None = None  # noqa: N815
    accuracy: _Number | None = None
    metrics: Annotated[dict[_Text, _Number | None], Field(max_length=16)] | None = None
    evaluationFailure: _EvaluationFailure | None = None  # noqa: N815
    tokensPerSecond: _Number | None = None  # noqa: N815
    mfu: _Number | None = None
    expertImbalance: _Number | None = None  # noqa: N815
    hostMemoryBytes: _Number | None = None  # noqa: N815
    deviceMemoryBytes: _Number | None = None  # noqa: N815
    etaSeconds: _Number | None = None  # noqa: N815
    latest: _Latest | None = None
    best: _Best | None = None
    exports: Annotated[list[_Step], Field(max_length=128)] | None = None
    resumedFrom: _ResumedFrom | None = None  # noqa: N815
    data: _Data | None = None
    rollbacks: _Rollbacks | None = None
    inPlaceRestarts: _InPlaceRestarts | None = None  # noqa: N815
    straggler: _Straggler | None = None
    preflight: _Preflight | None = None
    fetch: _Fetch | None = None
    updatedAt: _Text | None = None  # noqa: N815


class HttpProgress:
    """`ports.Progress` over HTTP. Enter it before use. `port` and `is_asked` differ from the contract's in tests only."""

    def __init__(self, port: int = PORT, is_asked: Callable[[Address], bool] | None = None) -> None:
        self._port = port
        self._is_asked = is_asked or is_pods
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, force_close=True),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A few bytes of gzip may be gigabytes: nothing is unpacked, so that the limit counts what is held.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def pull(self, pod: Manifest) -> Mapping[str, object] | Unavailable:
        address = pod.get("status", {}).get("podIP")
        if not address:
            return Unavailable("the pod has no address yet")
        try:
            return _checked(await self._get(ipaddress.ip_address(address)))
        except TimeoutError:
            return Unavailable(f"no answer within {TIMEOUT_S:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Unavailable(f"{type(error).__name__}: {error}"[:256])

    async def _get(self, address: Address) -> bytes:
        if self._session is None:
            raise RuntimeError("the session is not open: enter HttpProgress first")
        if not self._is_asked(address):
            raise ValueError(f"{address} is no address of a pod")
        host = f"[{address}]" if address.version == 6 else str(address)
        async with self._session.get(f"http://{host}:{self._port}/progress", allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"HTTP status {response.status}")
            content = bytearray()
            async for chunk in response.content.iter_chunked(16_384):
                content += chunk
                if len(content) > LIMIT_BYTES:
                    raise ValueError(f"the answer has more than {LIMIT_BYTES} bytes")
            return bytes(content)


def is_pods(address: Address) -> bool:
    """False for what no pod has, and what only the node or this very process would answer."""
    plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped else address
    return not (plain.is_loopback or plain.is_link_local or plain.is_multicast or plain.is_unspecified)


def _checked(content: bytes) -> Mapping[str, object] | Unavailable:
    try:
        said: Any = json.loads(content, parse_constant=_refuse)
        return _Progress.model_validate(said).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        return Unavailable(f"{where}: {first['msg']}"[:256])
    except (ValueError, RecursionError) as error:
        return Unavailable(f"the answer is not JSON: {error}"[:256])


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")
