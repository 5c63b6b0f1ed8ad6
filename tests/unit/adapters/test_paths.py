"""A name that somebody wrote where the operator reads one leads nowhere but to an object of that name."""

import asyncio
from typing import Any, cast

import pytest

from deepseek_operator.adapters.api_server import ApiServer, is_name, path_of
from deepseek_operator.adapters.kube import KubeCluster
from deepseek_operator.core.resources import CLAIM, JOB
from deepseek_operator.ports.cluster import Rejected
from tests.support.world import StoppedClock

HOSTILE = (
    *(
        "",
        ".",
        "..",
        "/",
        "a/b",
        "../secrets/a",
        "../../kube-system/persistentvolumeclaims/a",
        "..%2Fsecrets%2Fa",
        "a?b",
    ),
    *(
        "a#b",
        "a%2e",
        "a\nb",
        "a\x00",
        "A",
        "é",
        "a b",
        "-a",
        "a-",
        "a..b",
        "a.",
        ".a",
        "a" * 254,
        "a;b",
        "a&watch=true",
    ),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_none_can_have_is_asked_for_by_no_request(name: str) -> None:
    class Nobody:
        async def request(self, *_: object, **__: object) -> Any:
            raise AssertionError("it was asked for")

    cluster = KubeCluster(cast(ApiServer, Nobody()), StoppedClock(), "operator-0", ())
    assert asyncio.run(cluster.get(CLAIM, "team", name)) is None
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "team"}}
    for write in (cluster.apply(JOB, "team", manifest), cluster.delete(JOB, "team", name, "1", "Background")):
        with pytest.raises(Rejected):
            asyncio.run(write)


@pytest.mark.parametrize("name", ["a", "t-train-d57d19-1", "my.claim-2", "0", "a" * 253])
def test_a_name_is_the_last_part_of_its_path(name: str) -> None:
    assert is_name(name)
    assert path_of(CLAIM, "team", name) == f"/api/v1/namespaces/team/persistentvolumeclaims/{name}"
