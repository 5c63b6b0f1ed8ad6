"""How many threads a process computes with: what the container is granted, never what the node happens to have.

The number decides how sums are split, hence the last bits of a loss: it must not change when a pod
moves to a larger node. Without a CPU limit it is one, as with torchrun; OMP_NUM_THREADS overrides it.
"""

from pathlib import Path

# cgroup v2: "<quota> <period>" in microseconds, or "max <period>" without a limit.
CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def threads_per_process(processes: int, cpu_max: Path = CPU_MAX) -> int:
    """Threads for each of the container's processes, at least one."""
    try:
        quota, period = cpu_max.read_text().split()
        cores = 1.0 if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        cores = 1.0
    return max(1, int(cores) // processes)
