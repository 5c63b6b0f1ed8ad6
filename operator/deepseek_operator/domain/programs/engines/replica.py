"""What the commands of all engines say alike: devices, one HTTP port, how it is watched and how long it may drain."""

from deepseek_operator.domain.programs.engines.probes import grace_seconds, startup_probe
from deepseek_operator.domain.programs.engines.request import PORT, EngineRequest
from deepseek_operator.domain.values.command import Command, Metrics, Port, Probe, Probes, Variables


def replica(asked: EngineRequest, args: tuple[str, ...], env: Variables, published: Metrics) -> Command:
    """Return the command of a server that answers ``/health``; an engine replaces what is otherwise with it."""
    return Command(
        args=args,
        env=env,
        devices=asked.layout.gpus,
        devices_per_node=asked.devices_per_node,
        nodes=asked.nodes,
        ports=(Port("http", PORT),),
        probes=Probes(
            startup=startup_probe(asked, "/health"),
            liveness=Probe("/health", PORT, 10, 6),
            readiness=Probe("/health", PORT, 5, 2),
        ),
        metrics=published,
        termination_grace_seconds=grace_seconds(asked.drain_seconds),
    )
