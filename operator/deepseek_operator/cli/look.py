"""The commands `status`, `top` and `logs`: read, made to what is shown, and printed."""

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from deepseek_operator.adapters.api_server import path_of
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.shown import failing, story, tables
from deepseek_operator.cli.shown.naming import kinds_of, wanted
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.names import MANAGED_BY, MANAGER
from deepseek_operator.core.resources import POD, uid_of
from deepseek_operator.ports.cluster import Forbidden

SILENCE_S = 3600.0
"""How long a followed log may say nothing before the connection counts as broken."""
READ_S = 30.0


async def status(options: Namespace, kinds: Kinds) -> int:
    """Of one object, or of all. The exit status.

    Raises:
        ValueError: there is no such object; says what to write.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    now = datetime.now(UTC)
    async with api_server(options) as server:
        if options.name is None:
            place = None if options.all_namespaces else namespace_of(options)
            found = await Reader(server, place).every(kinds_of(kinds))
            rows = tables.overview(found, now)
            print(formed(options.output, rows) or tables.table(rows, with_namespace=place is None), end="")
            return 0
        reader = Reader(server, namespace_of(options))
        entry, manifest = await reader.find(wanted(options.name, kinds_of(kinds)))
        mine = await reader.belonging(entry, manifest)
        uids = frozenset({uid_of(manifest), *map(uid_of, mine.objects)})
        events = await reader.warnings(manifest["metadata"]["namespace"], uids)
        told = story.story(entry, manifest, mine.objects, events.objects, (*mine.unread, *events.unread))
        print(formed(options.output, told.plain()) or story.text(told, now), end="")
    return 0


async def top(options: Namespace, kinds: Kinds) -> int:
    """What runs and who holds devices. The exit status.

    Raises:
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    place = None if options.all_namespaces else namespace_of(options)
    async with api_server(options) as server:
        reader = Reader(server, place)
        found, pods = await asyncio.gather(reader.every(kinds_of(kinds)), reader.listed(POD, f"{MANAGED_BY}={MANAGER}"))
        unread: list[str] = []
        try:
            nodes = await reader.nodes()
        except Forbidden:
            nodes, unread = [], ["how many devices the nodes have is not shown: you may not list nodes"]
    told = tables.top(found, pods, nodes, unread)
    print(formed(options.output, told.plain()) or tables.text(told, with_namespace=place is None), end="")
    return 0


async def logs(options: Namespace, kinds: Kinds) -> int:
    """The log of the pod that failed first, to standard output; which one it is goes to standard error. The exit status.

    Raises:
        ValueError: there is no such object, or no pod to read.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    async with api_server(options) as server:
        reader = Reader(server, namespace_of(options))
        entry, manifest = await reader.find(wanted(options.name, kinds_of(kinds)))
        assert entry.told is not None
        namespace = manifest["metadata"]["namespace"]
        pods = await reader.pods(manifest)
        recorded = entry.told.failures(manifest)
        for line in failing.lost(pods, recorded):
            print(line, file=sys.stderr)
        if options.pod is not None:
            choice = failing.named(pods, options.pod)
        else:
            choice = failing.chosen(pods, recorded, options.attempt)
        previous = choice.previous or options.previous
        query = {"container": options.container or choice.container, "previous": str(previous).lower()}
        query |= {"tailLines": str(options.tail)} if options.tail is not None else {}
        follows = options.follow and not previous
        query |= {"follow": "true"} if follows else {}
        print(f"{choice.pod} ({query['container']}): {choice.because}", file=sys.stderr)
        path = f"{path_of(POD, namespace, choice.pod)}/log"
        silence = SILENCE_S if follows else READ_S
        async with server.stream(path, query, silence, headers_s=silence) as chunks:
            if chunks is None:
                before = "its container was not started before, or " if previous else ""
                raise ValueError(f"there is no such log: {before}the pod {choice.pod} is gone")
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
    return 0


def formed(output: str | None, told: Mapping[str, Any] | Sequence[Any]) -> str:
    """As JSON or YAML where that is asked for; else empty."""
    if output == "json":
        return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    return str(yaml.safe_dump(told, sort_keys=False, width=120, allow_unicode=True)) if output == "yaml" else ""
