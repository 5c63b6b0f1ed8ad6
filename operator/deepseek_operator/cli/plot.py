"""The command `plot`: what an object has learnt over its steps, or how it did over time."""

import asyncio
import shutil
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import aiohttp

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.cli import drawing
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.look import formed
from deepseek_operator.cli.report import log
from deepseek_operator.cli.shown import curve, series
from deepseek_operator.cli.shown.failing import attempt_of, container_of
from deepseek_operator.cli.shown.naming import full_name, kinds_of, wanted
from deepseek_operator.core.kinds import Entry, Kinds
from deepseek_operator.core.resources import Manifest, labels_of
from deepseek_operator.ports.cluster import Rejected

_RANK = "batch.kubernetes.io/job-completion-index"
_POINTS = 240
"""Samples of a course: more than a terminal has columns."""
_PATIENCE_S = 30.0
_MINUTES = {"m": 1, "h": 60, "d": 1440}


async def answer(options: Namespace, kinds: Kinds) -> int:
    """Draws it. The exit status.

    Raises:
        ValueError: there is no such object, nothing is known of it, or an option is wrong.
        ClusterError, OSError, ConfigException: there is no way to the cluster, it refuses, or a file can't be read or written.
    """
    async with api_server(options) as server:
        reader = Reader(server, namespace_of(options))
        entry, manifest = await reader.find(wanted(options.name, kinds_of(kinds)))
        assert entry.told is not None
        told = await (_drawable if entry.told.lives is not None else _over_time)(reader, entry, manifest, options)
    if options.png is not None:
        drawing.as_png(told, options.png)
        print(options.png)
    elif options.output is not None:
        print(formed(options.output, told.plain()), end="")
        return 0
    else:
        width = options.width or shutil.get_terminal_size((100, 24)).columns
        print(drawing.in_characters(told, width, coloured=sys.stdout.isatty()), end="")
    for line in curve.summary(told) if isinstance(told, curve.Curve) else series.summary(told):
        print(line)
    return 0


async def learnt(
    reader: Reader, entry: Entry, manifest: Manifest, files: Sequence[tuple[int, Path]] = ()
) -> curve.Curve:
    """From files that were named, else from the logs of each attempt's rank 0, else from the status.

    Raises:
        ClusterError: pods or logs may not be read, or nothing answers.
        OSError: a file can't be read.
    """
    assert entry.told is not None
    assert entry.told.lives is not None
    lived = entry.told.lives(manifest)
    ended = {one.attempt: one.ended for one in lived}
    found = [curve.read(number, str(file), _lines(file), ended.get(number, "")) for number, file in files]
    named = {one.number for one in found}
    for pod in [pod for pod in await reader.pods(manifest) if labels_of(pod).get(_RANK) == "0"]:
        number = attempt_of(pod)
        if number not in named:
            found.append(curve.read(number, "log", await _log(reader, pod), ended.get(number, "")))
    return curve.curve(full_name(entry, manifest), lived, found)


async def _drawable(reader: Reader, entry: Entry, manifest: Manifest, options: Namespace) -> curve.Curve:
    """The same. Raises ValueError besides: nothing is known of it."""
    told = await learnt(reader, entry, manifest, options.file)
    if not any(one.points for one in told.attempts):
        raise ValueError("\n".join((f"{told.name} has no loss to draw yet", *told.notes)))
    return told


async def _log(reader: Reader, pod: Manifest) -> list[str]:
    """All lines of its log that are there; none where it has none yet. Raises ClusterError: it may not be read."""
    metadata = pod["metadata"]
    try:
        return await log(reader, metadata["namespace"], metadata["name"], container_of(pod), lines=None)
    except Rejected:  # A container that waits to start has no log.
        return []


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8", errors="replace").splitlines()


async def _over_time(reader: Reader, entry: Entry, manifest: Manifest, options: Namespace) -> series.Course:
    """By a Prometheus that scrapes the operator: nobody else remembers how many replicas there were."""
    assert entry.told is not None
    if options.prometheus is None:
        raise ValueError(
            "how replicas and load went is known to Prometheus alone: name one by --prometheus URL, or reach it through the "
            "API server by --prometheus NAMESPACE/SERVICE:PORT"
        )
    now, span = datetime.now(UTC).timestamp(), seconds(options.since)
    wish = entry.told.history(manifest)
    times = {"start": f"{now - span:.0f}", "end": f"{now:.0f}", "step": f"{max(span / _POINTS, 1):.0f}"}
    found: dict[str, list[series.Line]] = {}
    for heading, queries in wish.items():
        answers = await asyncio.gather(
            *(_ask(reader.server, options.prometheus, {"query": query, **times}) for query in queries.values())
        )
        lines = (series.line(name, one) for name, one in zip(queries, answers, strict=True))
        found[heading] = [one for one in lines if one is not None]
    told = series.course(full_name(entry, manifest), {head: list(queries) for head, queries in wish.items()}, found)
    if not told.panels:
        raise ValueError("\n".join((f"Prometheus has nothing of {told.name} in the last {options.since}", *told.notes)))
    return told


async def _ask(server: ApiServer, prometheus: str, query: Mapping[str, str]) -> object:
    """A range query's answer. Raises OSError, ClusterError: none came; ValueError: it was no JSON."""
    if "://" not in prometheus:
        namespace, _, service = prometheus.partition("/")
        if not namespace or not service:
            raise ValueError(f"no Prometheus {prometheus!r}: write http://HOST:PORT or NAMESPACE/SERVICE:PORT")
        path = f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service, safe=':')}/proxy/api/v1/query_range"
        found = await server.request("get", "GET", path, resource="services/proxy", query=query)
        if found is None:
            raise ValueError(f"there is no service {service} in {namespace}")
        return found
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{prometheus.rstrip('/')}/api/v1/query_range", params=query) as response,
        ):
            return await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise OSError(f"{prometheus} does not answer: {type(error).__name__} {error}".rstrip()) from error


def seconds(text: str) -> float:
    """How long `30m`, `6h` or `2d` is. Raises ValueError for other texts."""
    number, unit = text[:-1], text[-1:]
    if not number.isdecimal() or unit not in _MINUTES or int(number) == 0:
        raise ValueError(f"no time {text!r}: write 30m, 6h or 2d")
    return float(number) * _MINUTES[unit] * 60
