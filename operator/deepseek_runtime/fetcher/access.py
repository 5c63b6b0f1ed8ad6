"""Which addresses of the web may be asked: those below an address that the administrator allows, wherever a server sends its readers.

An address is compared as it is asked: origin by origin, and path by whole steps. One that another program could read otherwise
(steps that lead upwards, slashes that are written in other ways, names of users) is refused, whatever it begins with.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from deepseek_runtime.fetcher.failures import NotAllowed, Unavailable

_ALLOWED = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:(?P<port>[1-9][0-9]{0,4}))?(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?")
_HOST = re.compile(r"[a-z0-9.:-]+")
_WRITTEN = re.compile(r"[\x21-\x7e]+")
_LAST_PORT = 65_535
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_DECODED = 4
"""Times that a path is decoded; one that is still another afterwards is nobody's file."""
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "168.63.129.16")))
"""Where clouds tell their machines who they are, beside the link-local addresses: of AWS by IPv6, Alibaba and Azure."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_allowable(prefix: str) -> bool:
    """Whether an administrator may write it; as the operator has it."""
    written = _ALLOWED.fullmatch(prefix)
    return written is not None and int(written["port"] or 1) <= _LAST_PORT


@dataclass(frozen=True)
class Access:
    """What `sources.web.allowed` says: addresses that an asked one is, or lies below."""

    allowed: Sequence[str]

    def admitted(self, address: str) -> URL:
        """The address as it is asked. Raises NotAllowed."""
        if (url := _parsed(address)) is None or not any(_is_below(url, prefix) for prefix in self.allowed):
            raise NotAllowed(
                f"{plain(address)} is not allowed: ask an administrator to add it, or a folder that it lies in, to "
                "sources.web.allowed in the chart's values"
            )
        return url

    def redirected(self, origin: URL, location: str) -> URL:
        """Where a server sends its reader. Raises NotAllowed, or Unavailable for what is no address."""
        try:
            target = str(origin.join(URL(location, encoded=True)))
        except ValueError as error:
            raise Unavailable(f"{origin.host} sends its readers to what is no address") from error
        try:
            return self.admitted(target if _WRITTEN.fullmatch(location) else "")
        except NotAllowed as error:
            raise NotAllowed(f"{origin.host} sends its readers elsewhere, and {error}") from error


NOWHERE = Access(())


class Guard(ThreadedResolver):
    """Names of hosts, but none that stands for an address of a cloud's metadata service: those may only be allowed as they
    are."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        """As the system has it. Raises NotAllowed."""
        found = await super().resolve(host, port, family)
        for one in found:
            if is_metadata(one["host"]):
                raise NotAllowed(
                    f"{host} is {one['host']}, an address of the node or its cloud, which no name may stand for"
                )
        return found


def is_metadata(address: str) -> bool:
    """Whether it is link-local, or one at which a cloud tells its machines who they are."""
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        within = ipaddress.IPv4Address(int(one) & 0xFFFFFFFF) if one in _NAT64 else one.ipv4_mapped
        if within is not None:
            return is_metadata(str(within))
    return one.is_link_local or one in _METADATA


def origin_of(url: URL) -> tuple[str, str, int]:
    """Whom it asks: a token for one is for no other."""
    return url.scheme, (url.raw_host or "").lower(), url.port or _DEFAULT_PORTS.get(url.scheme, 0)


def plain(address: str) -> str:
    """Without what may be a secret: a user's name, and what stands behind the path."""
    scheme, _, rest = address.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}" if rest else "an address that it names"
    return shown.encode("ascii", "replace").decode()[:300]


def _parsed(address: str) -> URL | None:
    """None for what is no address of a file, or one that programs read in several ways."""
    try:
        url = URL(address, encoded=True) if _WRITTEN.fullmatch(address) and "\\" not in address else None
        if url is None or url.scheme not in _DEFAULT_PORTS or "@" in url.raw_authority or not url.port:
            return None
    except ValueError:
        return None
    host = (url.raw_host or "").lower()
    return url if _HOST.fullmatch(host) and _is_straight(url.raw_path) else None


def _is_straight(path: str) -> bool:
    """Whether each step is one of the path as it is written, however often it is decoded."""
    for step in path.split("/"):
        seen = step
        for _ in range(_MOST_DECODED):
            # What follows a semicolon is for some servers no part of the step.
            if {"/", "\\"} & set(seen) or seen.partition(";")[0] in (".", ".."):
                return False
            if (decoded := unquote(seen)) == seen:
                break
            seen = decoded
        else:
            return False
    return True


def _is_below(url: URL, prefix: str) -> bool:
    allowed = URL(prefix, encoded=True)
    steps = [step for step in allowed.raw_path.split("/") if step]
    asked = url.raw_path.removeprefix("/").split("/")
    return origin_of(url) == origin_of(allowed) and asked[: len(steps)] == steps
