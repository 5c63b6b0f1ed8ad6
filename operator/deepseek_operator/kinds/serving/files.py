"""How the files of an engine's command come into its pod, and what scrapes it learns where its metrics are.

Texts are annotations of the pod, which the kubelet writes as files (the downward API): they are part of the template that a
revision keeps, need no object beside it, and no container before the engine's. Annotations may have 256 KiB together.
"""

from pathlib import PurePosixPath
from typing import Any

from deepseek_operator.api.resource import GROUP
from deepseek_operator.domain.programs.engines.request import FILES
from deepseek_operator.domain.values.command import Command

USUAL_PATH = "/metrics"
SCRAPE_PATH = "prometheus.io/path"
"""The annotation by which scrapes find metrics that are not at the usual path; the chart's PodMonitor reads it."""
_VOLUME = "engine-files"


def annotations(built: Command | None) -> dict[str, str]:
    """Those of the pod: the text of each file, and the path of the metrics where it is not the usual one."""
    if built is None:
        return {}
    texts = {_key(number): text for number, text in enumerate(built.files.values())}
    elsewhere = built.metrics is not None and built.metrics.path != USUAL_PATH
    return {**texts, **({SCRAPE_PATH: built.metrics.path} if elsewhere and built.metrics is not None else {})}


def files_volume(built: Command | None) -> list[dict[str, Any]]:
    """The volume that has them, if there are any."""
    if built is None or not built.files:
        return []
    items = [
        {"path": str(PurePosixPath(path).relative_to(FILES)), "fieldRef": {"fieldPath": f"metadata.annotations['{_key(number)}']"}}
        for number, path in enumerate(built.files)
    ]  # fmt: skip
    return [{"name": _VOLUME, "downwardAPI": {"items": items}}]


def files_mount(built: Command | None) -> list[dict[str, Any]]:
    """Where the engine's container finds them."""
    return [{"name": _VOLUME, "mountPath": FILES, "readOnly": True}] if built is not None and built.files else []


def _key(number: int) -> str:
    return f"{GROUP}/file-{number}"
