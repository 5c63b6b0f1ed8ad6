"""What is freed goes back to the system, also behind a piece that was larger."""

import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import re
from deepseek_operator.controller.memory import give_freed_memory_back

def resident_mb():
    return int(re.findall(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[0]) / 1000

give_freed_memory_back()
large = bytearray(b"x" * 16_000_000)
del large
before = resident_mb()
pieces = [bytearray(b"x" * 256_000) for _ in range(100)]
between = [bytearray(1_000) for _ in range(100)]
del pieces
print(resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's allocator")
def test_what_was_freed_is_not_kept_because_something_larger_was_freed_before() -> None:
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=here, capture_output=True, text=True, check=True, timeout=60
    )
    assert float(ran.stdout) < 5
