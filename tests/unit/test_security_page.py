"""docs/security.md lists what the policies are held to, and every pod that is rendered passes the standard that it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deepseek_operator.workloads.pod.reach import asked
from tests.support.flows import table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
REACH_THEIR_NODE = ("gaudi", "ascend")
"""Vendors whose profiles need `hostAccess`, as docs/trust.md says."""
RENDERED = sorted(
    path for folder in ("serving", "training", "vendors") for path in (ROOT / "tests/golden" / folder).glob("*.yaml")
)


def test_the_table_of_who_talks_to_whom_is_the_one_that_policies_are_held_to() -> None:
    shown = PAGE.partition("<!-- flows: begin -->\n")[2].partition("\n<!-- flows: end -->")[0]
    assert shown == table(), "write tests.support.flows.table() between its marks"


def _templates(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod's template of a document, however deep."""
    if isinstance(value, dict):
        if isinstance(spec := value.get("spec"), dict) and "containers" in spec:
            yield value
        for one in value.values():
            yield from _templates(one)
    elif isinstance(value, list):
        for one in value:
            yield from _templates(one)


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_rendered_pod_passes_the_restricted_standard_and_has_no_token(path: Path) -> None:
    templates = [one for document in yaml.safe_load_all(path.read_text()) for one in _templates(document)]
    assert templates
    for template in templates:
        assert template["spec"]["automountServiceAccountToken"] is False
        if not any(word in path.stem for word in REACH_THEIR_NODE):
            assert asked(template) == ()
            security = template["spec"]["securityContext"]
            assert security["runAsNonRoot"] is True
            assert security["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
                assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
