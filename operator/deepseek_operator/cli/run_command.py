"""The commands `watch`, `promote`, `pause`, `resume`, `rollback` and `follow`: one resource, by your kubeconfig."""

import asyncio
from argparse import Namespace
from datetime import UTC, datetime

from deepseek_operator.adapters.api_server import ApiServer, path_of
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.core.kinds import Kinds, Runs
from deepseek_operator.core.resources import Manifest, Resource

LOOK_SECONDS = 2


async def answer(options: Namespace, kinds: Kinds) -> int:
    """The exit status.

    Raises:
        ValueError: there is no such resource, run or revision.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    namespace = options.namespace or namespace_of(options.kubeconfig)
    resource, runs = next((entry.resource, entry.runs) for entry in kinds if entry.runs is not None)
    async with api_server(options.kubeconfig) as server:
        if options.verb == "watch":
            return await _watch(server, resource, runs, namespace, options)
        found = await _read(server, resource, namespace, options.name)
        token = str(int(datetime.now(UTC).timestamp()))
        key, value = runs.annotation(options.verb, found, getattr(options, "revision", None), token)
        await server.merge(resource, namespace, options.name, {"metadata": {"annotations": {key: value}}})
        print(f"{options.name}: {key}={value}" if value is not None else f"{options.name}: {key} is gone")
    return 0


async def _watch(server: ApiServer, resource: Resource, runs: Runs, namespace: str, options: Namespace) -> int:
    """Prints where it stands at every change, until the run is over."""
    last = ""
    while True:
        found = await _read(server, resource, namespace, options.name)
        if (now := runs.picture(found)) != last:
            print(f"{datetime.now(UTC):%H:%M:%S} {now}", end="", flush=True)
            last = now
        if (over := runs.exit_status(found)) is not None or options.once:
            return over or 0
        await asyncio.sleep(LOOK_SECONDS)


async def _read(server: ApiServer, resource: Resource, namespace: str, name: str) -> Manifest:
    found = await server.request("get", "GET", path_of(resource, namespace, name), resource=resource.plural)
    if found is None:
        raise ValueError(f"there is no {resource.kind} {name} in {namespace}")
    return found
