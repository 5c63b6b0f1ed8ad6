"""How many threads a process should compute with: what the container may use, not what the machine has."""

import os


def threads_per_process(processes: int) -> int:
    """Threads that the pod's CPU limit (cgroup v2 cpu.max), or else the machine, has for each process."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            cores = min(cores, int(quota) / int(period))
    except (OSError, ValueError):
        pass
    return max(1, int(cores) // processes)
