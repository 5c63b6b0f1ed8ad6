"""What the last bench of a serving found: read off the last words of its Job's pod, and kept in status.

The Job is a person's, and goes after a day; what it found holds for the revision, the devices and the requests that it was
measured with. It is only ever told: no target follows from it but by a person's hand.
"""

from collections.abc import Iterator, Mapping
from math import isfinite

from deepseek_operator.api.base import parse_time
from deepseek_operator.api.v1alpha1.serving import DeepSeekServing
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.serving.status import BenchObjective, BenchStatus
from deepseek_operator.core.names import child_name
from deepseek_operator.core.ownership import job_uid_of
from deepseek_operator.core.resources import GROUP, JOB, POD, Manifest, annotations_of, uid_of
from deepseek_operator.core.seen import Seen
from deepseek_operator.domain.policy.capacity import Held, targets
from deepseek_operator.domain.programs.engines.loads import QUANTILES
from deepseek_operator.workloads.last_words import document
from deepseek_operator.workloads.pod.state import terminated

BENCHER = "bencher"
"""Its container, and the role of its pod."""
MEASURED = f"{GROUP}/bench-revision"
"""Annotation of the Job: the revision of the replica that is asked."""
MOST_STREAMS = 65536
"""What is told beyond it can't be a number of requests at a time."""
_NAME_LENGTH = 63


def is_bench(serving: str, job: str) -> bool:
    """Whether a Job of the serving of that name is a bench's, by its own name. Nobody but who made it ends it."""
    return job.startswith(bench_prefix(serving))


def bench_prefix(serving: str) -> str:
    """What the names of its benches begin with; those of exams and fetches never do."""
    return f"{child_name(SERVING, serving)}-bench-"


def bench_status(before: BenchStatus | None, seen: Seen[DeepSeekServing]) -> BenchStatus | None:
    """The newest result: the recorded one, or that of a Job whose pod has ended since. None: none was ever seen."""
    found = [*([before] if before is not None else []), *_found(seen)]
    return max(found, key=lambda one: one.at, default=None)


def _found(seen: Seen[DeepSeekServing]) -> Iterator[BenchStatus]:
    for job in seen.all(JOB):
        if not is_bench(seen.owner.metadata.name, str(job["metadata"]["name"])):
            continue
        for pod in seen.all(POD):
            if job_uid_of(pod) == uid_of(job) and (one := _result(job, pod)) is not None:
                yield one


def _result(job: Manifest, pod: Manifest) -> BenchStatus | None:
    """None: it goes on, it failed, it found no concurrency, or what it left can't be a bench's."""
    state = terminated(pod, BENCHER) or {}
    at, said = str(state.get("finishedAt") or ""), document(str(state.get("message") or "")) or {}
    told = said.get("metrics")
    metrics = told if isinstance(told, Mapping) else {}
    streams, quantile = _number(metrics.get("streams")), _number(metrics.get("quantile"))
    if state.get("exitCode") != 0 or parse_time(at) is None or streams is None or quantile is None:
        return None
    if not (1 <= streams <= MOST_STREAMS and streams == int(streams) and 0 < quantile < 1):
        return None
    limits = {name: limit for name in QUANTILES if (limit := _number(metrics.get(name))) is not None and limit > 0}
    requests, tokens = _number(metrics.get("requestsPerSecond")), _number(metrics.get("tokensPerSecond"))
    wanted = targets(Held(int(streams), requests, tokens))
    return BenchStatus(
        at=at,
        job=str(job["metadata"]["name"]),
        revision=annotations_of(job).get(MEASURED, "")[:_NAME_LENGTH],
        quantile=f"{quantile:g}",
        objectives=[BenchObjective(type=name, milliseconds=round(limit)) for name, limit in limits.items()],
        concurrency=int(streams),
        in_flight=wanted.in_flight,
        request_rate=wanted.request_rate,
        tokens_per_second=wanted.tokens_per_second,
    )


def told_of_bench(bench: BenchStatus) -> str:
    """In a sentence, for an event and a terminal."""
    limits = " and ".join(f"{one.milliseconds} ms of {one.type}" for one in bench.objectives)
    within = f" within {limits} at P{float(bench.quantile) * 100:g}" if limits else ""
    whose = f"a replica of revision {bench.revision}" if bench.revision else "one replica"
    return f"{whose} answers {bench.concurrency} requests at a time{within}; target of InFlight: {bench.in_flight}"


def _number(value: object) -> float | None:
    """A finite one, not below zero and of a size that a measurement may have."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1e9:
        return None
    return float(value) if isfinite(value) else None
