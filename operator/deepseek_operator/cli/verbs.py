"""The commands `watch`, `suspend`, `resume`, `promote`, `pause`, `rollback` and `follow`: one object, by your kubeconfig."""

import asyncio
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.adapters.api_server import MERGE_PATCH, path_of
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.shown.naming import Wanted, full_name, kinds_of, wanted
from deepseek_operator.core.kinds import Entry, Kinds
from deepseek_operator.core.resources import Manifest

LOOK_SECONDS = 2


async def answer(options: Namespace, kinds: Kinds) -> int:
    """The exit status.

    Raises:
        ValueError: there is no such object, run or revision.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    async with api_server(options) as server:
        reader = Reader(server, namespace_of(options))
        if options.verb == "watch":
            return await _watch(reader, wanted(options.name, kinds_of(kinds)), options.once)
        entry, found = await reader.find(wanted(options.name, kinds_of(kinds)))
        token = str(int(datetime.now(UTC).timestamp()))
        for change in changes(entry, found, options.verb, getattr(options, "revision", None), token):
            place = path_of(entry.resource, found["metadata"]["namespace"], found["metadata"]["name"])
            await server.request(
                "patch",
                "PATCH",
                place,
                resource=entry.resource.plural,
                query={"fieldValidation": "Strict"},
                body=change,
                content_type=MERGE_PATCH,
            )
            print(f"{full_name(entry, found)}: {_told(change)}")
    return 0


def changes(entry: Entry, found: Manifest, verb: str, revision: str | None, token: str) -> list[dict[str, Any]]:
    """Merge patches that a verb writes.

    Raises:
        ValueError: there is nothing to do, no run, or no such revision; or the kind knows no versions that are tried.
    """
    if verb == "suspend":
        if found["spec"].get("suspend"):
            raise ValueError(f"{full_name(entry, found)} is suspended already")
        return [{"spec": {"suspend": True}}]
    if verb == "resume":
        return _let_go_on(entry, found, token)
    if entry.runs is None:
        raise ValueError(f"{full_name(entry, found)} has no versions that are tried: {verb} is not for it")
    return [_annotated(*entry.runs.annotation(verb, found, revision, token))]


def _let_go_on(entry: Entry, found: Manifest, token: str) -> list[dict[str, Any]]:
    """Whatever holds it: spec.suspend, a paused run, or both."""
    made: list[dict[str, Any]] = []
    if found["spec"].get("suspend"):
        made.append({"spec": {"suspend": False}})
    if entry.runs is not None:
        key, value = entry.runs.annotation("resume", found, None, token)
        if key in (found["metadata"].get("annotations") or {}):
            made.append(_annotated(key, value))
    if not made:
        raise ValueError(f"{full_name(entry, found)} is neither suspended nor paused")
    return made


def _annotated(key: str, value: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {key: value}}}


def _told(change: Manifest) -> str:
    if "spec" in change:
        return f"suspend is {'true' if change['spec']['suspend'] else 'false'}"
    ((key, value),) = change["metadata"]["annotations"].items()
    return f"{key}={value}" if value is not None else f"{key} is gone"


async def _watch(reader: Reader, wish: Wanted, once: bool) -> int:
    """Prints where it stands at every change, until it is over."""
    last = ""
    while True:
        entry, found = await reader.find(wish)
        assert entry.told is not None
        if (now := entry.told.picture(found)) != last:
            print(f"{datetime.now(UTC):%H:%M:%S} {now}", end="", flush=True)
            last = now
        if (over := entry.told.exit_status(found)) is not None or once:
            return over or 0
        await asyncio.sleep(LOOK_SECONDS)
