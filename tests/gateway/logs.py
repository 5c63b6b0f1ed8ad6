"""All that was logged: by every container of the cluster, and by the cluster's own programs where they are this machine's."""

from collections.abc import Iterable, Iterator

from examples.local_cluster.home import Home, default_root
from tests.support.kubectl import CommandFailed, Kubectl


def everything(bed: Kubectl) -> dict[str, str]:
    """Logs by the name of who wrote them: `namespace/pod`, or a file."""
    return dict([*_pods(bed), *_programs()])


def who_wrote(words: Iterable[str], logs: dict[str, str]) -> list[str]:
    """Names of the logs that have one of the words; never the words, which may be keys."""
    sought = list(words)
    return sorted(name for name, text in logs.items() if any(word in text for word in sought))


def _pods(bed: Kubectl) -> Iterator[tuple[str, str]]:
    for pod in bed.json("get", "pods", "--all-namespaces")["items"]:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        command = ("logs", name, "--all-containers", "--tail=-1")
        for how, suffix in (((), ""), (("--previous",), " (before)")):
            try:
                yield f"{namespace}/{name}{suffix}", bed.within(namespace).run(*command, *how, timeout_s=120)
            except CommandFailed:
                continue  # It has gone, or never ran before.


def _programs() -> Iterator[tuple[str, str]]:
    root = Home(default_root()).root
    for folder in ("logs", "audit"):
        for path in sorted((root / folder).glob("*.log")):
            yield str(path.relative_to(root)), path.read_text(errors="replace")
