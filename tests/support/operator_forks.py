"""`python -m tests.support.operator_forks`: the operator again and again, as forks of a process that has imported it.

Each line of standard input is a life: a JSON object of its environment and its log. Two lines answer it, the fork's
process id at once and its exit code at its end, by which -9 is SIGKILL.
"""

import json
import os
import sys

import deepseek_operator.adapters.credentials
import deepseek_operator.controller.handlers
from deepseek_operator.__main__ import main

PRELOADED = (deepseek_operator.adapters.credentials, deepseek_operator.controller.handlers)
"""What `run` imports once it is called."""


def live(environment: dict[str, str], log: str) -> int:
    """In the fork."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for file, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(file, number)
    os.environ.clear()
    os.environ.update(environment)
    return main(["run"])


if __name__ == "__main__":
    for line in sys.stdin:
        told = json.loads(line)
        if (pid := os.fork()) == 0:
            os._exit(live(told["environment"], told["log"]))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
