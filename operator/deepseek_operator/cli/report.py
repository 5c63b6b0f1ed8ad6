"""The command `report`: all that a bug report needs, as one archive, without secrets and without what anybody said."""

import asyncio
import io
import platform
import sys
import tarfile
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from deepseek_operator import __version__
from deepseek_operator.adapters.api_server import path_of
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.shown import redaction, story
from deepseek_operator.cli.shown.naming import full_name, kinds_of, wanted
from deepseek_operator.core.kinds import Kinds
from deepseek_operator.core.resources import POD, Manifest, uid_of
from deepseek_operator.ports.cluster import ClusterError

LOG_LINES = 5000
"""Of each container, the last ones: enough for its end, little enough to be sent."""
LOG_BYTES = 8 * 1024 * 1024
_SILENCE_S = 30.0


async def answer(options: Namespace, kinds: Kinds) -> int:
    """Writes the archive. The exit status.

    Raises:
        ValueError: there is no such object; says what to write.
        ClusterError, OSError, ConfigException: there is no way to the cluster, it refuses, or the file can't be written.
    """
    now = datetime.now(UTC)
    async with api_server(options) as server:
        reader = Reader(server, namespace_of(options))
        entry, manifest = await reader.find(wanted(options.name, kinds_of(kinds)))
        mine = await reader.belonging(entry, manifest)
        namespace = str(manifest["metadata"]["namespace"])
        events = await reader.warnings(namespace, frozenset({uid_of(manifest), *map(uid_of, mine.objects)}))
        told = story.story(entry, manifest, mine.objects, events.objects, (*mine.unread, *events.unread))
        files = {
            "status.txt": redaction.text(story.text(told, now)),
            "object.yaml": _yaml(redaction.manifest(manifest)),
            "children.yaml": "---\n".join(_yaml(redaction.manifest(one)) for one in mine.objects),
            "warnings.yaml": "---\n".join(_yaml(redaction.manifest(one)) for one in events.objects),
            "versions.txt": await _versions(reader),
        }
        pods = [one for one in mine.objects if one["kind"] == POD.kind]
        for index, pod in enumerate(pods, 1):
            print(f"logs of pod {index} of {len(pods)}: {pod['metadata']['name']}", file=sys.stderr)
            async for name, text in _logs(reader, namespace, pod):
                files[name] = text
    files["README.txt"] = _about(full_name(entry, manifest), namespace, now, files)
    path = Path(options.out or f"{manifest['metadata']['name']}-report-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    try:
        _write(path, files, now)
    except FileExistsError as error:
        raise ValueError(f"{path} is there already: name another file by --out") from error
    print(path)
    return 0


async def _logs(reader: Reader, namespace: str, pod: Manifest) -> AsyncIterator[tuple[str, str]]:
    """Of each container, and of its start before where there was one: name of a file, and its text."""
    status = pod.get("status") or {}
    states = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    name = pod["metadata"]["name"]
    for one in states:
        for previous in (False, True) if one.get("restartCount") else (False,):
            file = f"logs/{name}.{one['name']}{'.previous' if previous else ''}.log"
            try:
                lines = await log(reader, namespace, name, str(one["name"]), previous=previous)
            except ClusterError as error:
                yield file, f"it could not be read: {redaction.text(str(error))}\n"
                continue
            yield file, "".join(f"{line}\n" for line in redaction.log(lines))


async def log(
    reader: Reader, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int | None = LOG_LINES
) -> list[str]:
    """The last lines of a container's log, at most LOG_BYTES of them. Raises ClusterError: it can't be read."""
    query = {"container": container, "previous": str(previous).lower(), "limitBytes": str(LOG_BYTES)}
    query |= {"tailLines": str(lines)} if lines is not None else {}
    found: list[bytes] = []
    async with reader.server.stream(
        f"{path_of(POD, namespace, pod)}/log", query, _SILENCE_S, headers_s=_SILENCE_S
    ) as chunks:
        if chunks is None:
            return []
        async for chunk in chunks:
            found.append(chunk)
    return b"".join(found).decode(errors="replace").splitlines()


async def _versions(reader: Reader) -> str:
    asked, groups = await asyncio.gather(
        reader.server.request("get", "GET", "/version", resource="version"),
        reader.server.request("get", "GET", "/apis", resource="apis"),
    )
    served = sorted(str(one["name"]) for one in (groups or {}).get("groups") or ())
    lines = (
        f"plugin {__version__}, Python {platform.python_version()}",
        f"Kubernetes {(asked or {}).get('gitVersion', '?')}",
        f"API groups: {', '.join(served)}",
    )
    return "".join(f"{line}\n" for line in lines)


def _about(name: str, namespace: str, now: datetime, files: Mapping[str, str]) -> str:
    lines = (
        f"Report on {name} in {namespace}, {now:%Y-%m-%dT%H:%M:%SZ}.",
        "",
        *(
            f"{file}  {len(text.encode())} bytes, {text.count(redaction.LEFT_OUT)} left out"
            for file, text in files.items()
        ),
        "",
        f"{redaction.LEFT_OUT} stands for what may be a secret, or what a user or a model said: values of environment variables,",
        "data of ConfigMaps, credentials wherever they stand, and lines of logs that may quote a prompt or an answer. Secrets are",
        "not read. Names of objects, nodes, images and claims are in it: look through it before you send it to anybody.",
    )
    return "".join(f"{line}\n" for line in lines)


def _write(path: Path, files: Mapping[str, str], now: datetime) -> None:
    """An archive that nobody else may read, and that never takes another file's place."""
    with path.open("xb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
        path.chmod(0o600)
        for name, text in sorted(files.items()):
            content = text.encode()
            about = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
            about.size, about.mtime, about.mode = len(content), int(now.timestamp()), 0o600
            archive.addfile(about, io.BytesIO(content))


def _yaml(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True))
