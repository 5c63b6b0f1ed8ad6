"""How many threads a process computes with: what the pod asks for, never what the node happens to have.

The number decides how sums are split, hence the last bits of a loss: it must not change when a pod
moves to a larger node. The operator writes the cores that were asked for as DEEPSEEK_CPUS; without them a CPU limit
counts, and without that it is one, as with torchrun. OMP_NUM_THREADS overrides it.
"""

from collections.abc import Mapping
from pathlib import Path

CPUS_VARIABLE = "DEEPSEEK_CPUS"

# cgroup v2: "<quota> <period>" in microseconds, or "max <period>" without a limit.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def threads_per_process(processes: int, environment: Mapping[str, str], cpu_max: Path = CPU_MAX) -> int:
    """Threads for each of the container's processes, at least one."""
    asked = environment.get(CPUS_VARIABLE, "")
    return max(1, (int(asked) if asked.isdecimal() else _limit(cpu_max)) // processes)


def _limit(cpu_max: Path) -> int:
    try:
        quota, period = cpu_max.read_text().split()
        return 1 if quota == "max" else int(int(quota) / int(period))
    except (OSError, ValueError):
        return 1
