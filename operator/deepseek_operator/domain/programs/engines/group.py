"""What the pods of a replica over several nodes say to each other beside what their engine does.

A worker has no server: whether its replica is whole it learns from the leader, whose `/health` fails once an engine lost
part of itself. Both words below run in the worker's container, by the Python that its engine runs on, and end by
themselves.
"""

from deepseek_operator.domain.programs.engines.request import PORT, EngineRequest
from deepseek_operator.domain.values.command import Probe, Probes

LEADER_VARIABLE = "LWS_LEADER_ADDRESS"
LIVENESS_PERIOD_SECONDS = 30
SILENCE_SECONDS = 120
"""A leader that answers nobody for so long is dead or cut off. Its own liveness probe finds the first sooner; the second,
only its workers can tell."""
TIMEOUT_SECONDS = 10


def leader_answers() -> tuple[str, ...]:
    """Succeeds while the leader's engine is healthy."""
    url = f"'http://' + os.environ['{LEADER_VARIABLE}'] + ':{PORT}/health'"
    return ("python3", "-c", f"import os, urllib.request as u; u.urlopen({url}, timeout={TIMEOUT_SECONDS - 2})")


def until_leader_is_gone(most_s: int) -> tuple[str, ...]:
    """Ends once the leader's pod has ended, which its name tells, or after ``most_s`` seconds."""
    script = (
        "import os, socket, time\n"
        f"end = time.monotonic() + {most_s}\n"
        "while time.monotonic() < end:\n"
        f"    try: socket.getaddrinfo(os.environ['{LEADER_VARIABLE}'], None)\n"
        "    except OSError: break\n"
        "    time.sleep(1)"
    )
    return ("python3", "-c", script)


def worker_probes(asked: EngineRequest, startup: Probe) -> Probes:
    """Those of a worker that listens to nobody: it has started once its leader is healthy, and is given up when it hears
    nothing from there for two minutes longer than a leader that is ending may take. ``startup`` is the leader's."""
    silence_s = SILENCE_SECONDS + asked.drain_seconds
    return Probes(
        startup=Probe(None, PORT, startup.period_seconds, startup.failure_threshold, TIMEOUT_SECONDS, leader_answers()),
        liveness=Probe(
            None,
            PORT,
            LIVENESS_PERIOD_SECONDS,
            -(-silence_s // LIVENESS_PERIOD_SECONDS),
            TIMEOUT_SECONDS,
            leader_answers(),
        ),
        readiness=None,
    )
