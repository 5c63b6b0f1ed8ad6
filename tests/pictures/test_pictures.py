"""Makes the pictures of docs/pictures again: what `kubectl deepseek` shows of a training that a test leads through its life.

Plugin, terminal and browser are real, and what the operator decides is; the cluster that answers is the tests' own, and the
losses are made up. PICTURES names another folder to write to.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.pictures.browser import printed
from tests.pictures.terminal import Screen, picture
from tests.support.kubectl import until
from tests.support.ports import free_port
from tests.support.served_life import Served, serving
from tests.support.trainings import NAME, NAMESPACE, Life

ROOT = Path(__file__).parents[2]
TO = Path(os.environ.get("PICTURES", ROOT / "docs" / "pictures"))
PLUGIN = (sys.executable, "-m", "deepseek_operator.cli.kubectl")
LIMIT_S = 60.0
SEEN_S = 5.0
"""`watch` looks every two seconds: what it shall print stays as long as this."""


def losses(first: int, last: int) -> str:
    """A log whose losses fall as they do where a small model learns."""
    steps = range(first, last + 1)
    told = ({"event": "step", "step": step, "loss": round(0.02 + 5.4 * math.exp(-step / 60), 4)} for step in steps)
    return "".join(json.dumps(one) + "\n" for one in told)


def keep(name: str, drawn: str) -> None:
    """Writes a picture."""
    TO.mkdir(exist_ok=True)
    (TO / f"{name}.svg").write_text(drawn)


def environment_of(served: Served) -> dict[str, str]:
    """By which the plugin asks that cluster."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(served.kubeconfig)}


def terminal(served: Served, *arguments: str) -> Screen:
    """The plugin in a terminal of its own."""
    return Screen([*PLUGIN, *arguments], environment_of(served))


def shown(title: str, screen: Screen, *arguments: str) -> str:
    """The picture of that terminal, once the command has ended."""
    return picture(title, f"\x1b[32m$\x1b[0m kubectl deepseek {' '.join(arguments)}\n{screen.ended(LIMIT_S)}")


@contextmanager
def pages(served: Served) -> Iterator[str]:
    """The address of `kubectl deepseek ui`."""
    port = free_port()
    command = [*PLUGIN, "ui", "--port", str(port)]
    with subprocess.Popen(command, env=environment_of(served), stdout=subprocess.DEVNULL) as process:
        try:
            until("it listens", lambda: _answers(f"http://127.0.0.1:{port}"), timeout_s=LIMIT_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):
            return True
    except (URLError, OSError):
        return False


def test_the_pictures_are_made_again(tmp_path: Path) -> None:
    life = Life().begin()
    with serving(life, tmp_path / "kubeconfig") as served:
        watched = terminal(served, "watch", NAME)
        for change in (
            life.running,
            lambda: life.crash(rank=0, message="out of memory"),
            lambda: life.later(60).running(),
        ):
            time.sleep(SEEN_S)
            change()
        served.logs = {served.rank_0(1): losses(1, 87), served.rank_0(2): losses(76, 300)}
        plotted = shown("kubectl deepseek plot of a training", terminal(served, "plot", NAME), "plot", NAME)
        keep("plot", plotted)
        keep("status", shown("kubectl deepseek status of a training", terminal(served, "status", NAME), "status", NAME))
        with pages(served) as url:
            keep("ui", printed(f"{url}/{NAMESPACE}/training/{NAME}", "kubectl deepseek ui: a training", tmp_path))
        time.sleep(SEEN_S)
        life.complete(json.dumps({"formatVersion": 1, "result": "Complete", "step": 300, "exports": [300]}))
        keep("watch", shown("kubectl deepseek watch of a training", watched, "watch", NAME))
