"""The command `bench`: makes the Job that loads one replica, shows each load, and says what follows; by your kubeconfig.

The Job is made with the user's rights and belongs to the object, whose deletion takes it along. An interrupt ends the load.
"""

import asyncio
import sys
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from deepseek_operator.adapters.api_server import path_of
from deepseek_operator.cli.connection import api_server, namespace_of
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.look import formed
from deepseek_operator.cli.shown import benched
from deepseek_operator.cli.shown.naming import full_name, kinds_of, wanted
from deepseek_operator.core.kinds import Benched, BenchWish, Entry, Kinds
from deepseek_operator.core.resources import GROUP, JOB, POD, Manifest, uid_of
from deepseek_operator.ports.cluster import Unreachable
from deepseek_operator.workloads.batch.job import ended, job_condition
from deepseek_operator.workloads.last_words import words
from deepseek_operator.workloads.obstacles import condition_of
from deepseek_operator.workloads.pod.state import terminated

LOOK_SECONDS = 2
UNANSWERED = 15
"""Looks in a row after which a bench that nobody can follow is ended."""
_JOB_NAME = "batch.kubernetes.io/job-name"


async def answer(options: Namespace, kinds: Kinds) -> int:
    """The exit status: 0 with a concurrency, 1 without.

    Raises:
        ValueError: there is no such object, it can't be measured as it is, or nobody agreed.
        ClusterError, OSError, ConfigException: there is no way to the cluster, or it refuses.
    """
    async with api_server(options) as server:
        reader = Reader(server, namespace_of(options))
        entry, found = await reader.find(wanted(options.name, kinds_of(kinds)))
        if entry.benched is None:
            raise ValueError(f"{full_name(entry, found)} answers no requests: bench is not for it")
        here = Reader(server, found["metadata"]["namespace"])
        jobs = await here.listed(JOB, f"{entry.benched.label}={uid_of(found)}")
        if options.last:
            job, log = await _last(here, entry, found, jobs)
        else:
            job, log = await _measured(here, entry, found, jobs, options)
    return _told(entry, found, job, log, options)


def wish_of(options: Namespace, token: str) -> BenchWish:
    """What the options ask for."""
    limits = {
        "TimeToFirstToken": options.first_token,
        "InterToken": options.inter_token,
        "EndToEnd": options.end_to_end,
    }
    return BenchWish(
        limits={name: limit for name, limit in limits.items() if limit is not None},
        quantile=options.quantile,
        model=options.model,
        prompt_words=options.prompt_words,
        answer_tokens=options.answer_tokens,
        most_streams=options.max_concurrency,
        load_s=options.load_seconds,
        among_others=options.among_others,
        image=options.image,
        token=token,
    )


async def _measured(
    reader: Reader, entry: Entry, found: Manifest, jobs: list[Manifest], options: Namespace
) -> tuple[Manifest, str]:
    """The Job of a new bench, and its log."""
    assert entry.benched is not None
    name = full_name(entry, found)
    if running := [one["metadata"]["name"] for one in jobs if not ended(one)]:
        raise ValueError(f"a bench of {name} runs already: wait for it, or end it by kubectl delete job {running[0]}")
    token = str(int(datetime.now(UTC).timestamp()))
    job = entry.benched.job(found, await reader.pods(found), wish_of(options, token))
    _agreed(f"bench loads {_replica(job)}, a replica of {name}, until it is too slow; whom it answers meanwhile will wait.", options.yes)  # fmt: skip
    place = path_of(JOB, reader.namespace)
    made = await reader.server.request(
        "create", "POST", place, resource=JOB.plural, query={"fieldValidation": "Strict"}, body=job
    )
    print(f"{job['metadata']['name']} is made; Ctrl-C ends it", file=sys.stderr, flush=True)
    try:
        return await _followed(reader, entry.benched, made or job)
    except (asyncio.CancelledError, Exception):
        await _ended(reader, job)
        raise


def _agreed(question: str, yes: bool) -> None:
    """Raises ValueError: nobody says yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ValueError(f"{question} Write --yes where nobody can be asked")
    print(f"{question} Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ValueError("nothing was done")


async def _ended(reader: Reader, job: Manifest) -> None:
    """Ends the load of a bench that nobody follows any more."""
    name = job["metadata"]["name"]
    body = {"propagationPolicy": "Background"}
    await reader.server.request(
        "delete", "DELETE", path_of(JOB, reader.namespace, name), resource=JOB.plural, body=body
    )
    print(f"{name} is ended", file=sys.stderr, flush=True)


async def _followed(reader: Reader, bench: Benched, job: Manifest) -> tuple[Manifest, str]:
    """Shows each load as it is over, until the Job is. A look that the API server does not answer is made again."""
    name, shown, waits, unanswered = str(job["metadata"]["name"]), 0, "", 0
    while True:
        try:
            read = await reader.server.request("get", "GET", path_of(JOB, reader.namespace, name), resource=JOB.plural)
            pod = await _pod(reader, name)
            log, unanswered = await _log(reader, pod, bench.container), 0
        except Unreachable:
            if (unanswered := unanswered + 1) == UNANSWERED:
                raise
            await asyncio.sleep(LOOK_SECONDS)
            continue
        if read is None:
            raise ValueError(f"{name} was deleted")
        if (now := _waits(pod, bench.container)) and now != waits:
            print(f"waits: {now}", file=sys.stderr, flush=True)
        waits = now
        for load in benched.documents(log, "load")[shown:]:
            print(benched.load_line(load), file=sys.stderr, flush=True)
            shown += 1
        if ended(read):
            return read, log
        await asyncio.sleep(LOOK_SECONDS)


async def _last(reader: Reader, entry: Entry, found: Manifest, jobs: list[Manifest]) -> tuple[Manifest, str]:
    assert entry.benched is not None
    over = [one for one in jobs if ended(one)]
    if not over:
        raise ValueError(f"no bench of {full_name(entry, found)} is kept that is over; they are for a day")
    job = max(over, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""))
    pod = await _pod(reader, job["metadata"]["name"])
    return job, await _log(reader, pod, entry.benched.container)


def _told(entry: Entry, found: Manifest, job: Manifest, log: str, options: Namespace) -> int:
    assert entry.benched is not None
    results = benched.documents(log, "result")
    if not results:
        why = job_condition(job, "Failed") or {}
        raise ValueError(f"{full_name(entry, found)} was not measured: {_last_line(log) or why.get('message') or 'its pod left no word'}")  # fmt: skip
    result = results[-1]
    is_found = isinstance(result.get("held"), dict)
    if options.output == "patch":
        print(benched.patch_text(found, entry.benched.patch(found, result, options.headroom), result), end="")
    elif options.output == "json":
        change = entry.benched.patch(found, result, options.headroom) if is_found else None
        print(formed("json", {"replica": _replica(job), "result": result, "patch": change}), end="")
    else:
        print(benched.text(full_name(entry, found), _replica(job), result, options.headroom), end="")
    return 0 if is_found else 1


async def _pod(reader: Reader, job: str) -> Manifest | None:
    return next(iter(await reader.listed(POD, f"{_JOB_NAME}={job}")), None)


async def _log(reader: Reader, pod: Manifest | None, container: str) -> str:
    """What the pod has said; empty while it has not begun."""
    if pod is None or (_waits(pod, container) and terminated(pod, container) is None):
        return ""
    path = f"{path_of(POD, reader.namespace, pod['metadata']['name'])}/log"
    async with reader.server.stream(path, {"container": container}, 30.0, headers_s=30.0) as chunks:
        log = b"".join([chunk async for chunk in chunks]) if chunks is not None else b""
    state = terminated(pod, container)
    return log.decode(errors="replace") + (f"\n{words(str(state.get('message') or ''))}\n" if state else "")


def _waits(pod: Manifest | None, container: str) -> str:
    """Why the pod's container has not begun; empty once it has."""
    if pod is None:
        return "its pod is yet to be made"
    statuses: list[dict[str, Any]] = (pod.get("status") or {}).get("containerStatuses") or []
    state = next((one.get("state") or {} for one in statuses if one.get("name") == container), {})
    if "running" in state or "terminated" in state:
        return ""
    waiting = state.get("waiting") or condition_of(pod, "PodScheduled")
    return (
        ": ".join(str(waiting[key]) for key in ("reason", "message") if waiting.get(key)) or "its pod is being started"
    )


def _replica(job: Manifest) -> str:
    return str((job["metadata"].get("annotations") or {}).get(f"{GROUP}/replica") or "its pod")


def _last_line(log: str) -> str:
    return next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "")
