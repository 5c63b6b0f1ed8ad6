"""What the client of the API server makes of a 404 for a whole resource."""

from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.kube import KubeCluster
from deepseek_operator.core.resources import SERVICE, Resource
from deepseek_operator.ports.cluster import ClusterError, NotServed, Rejected
from tests.support.posters import BOARD, NO_BOARDS


class Nothing:
    """Answers every request with 404."""

    async def request(self, *_: object, **__: object) -> None:
        return None


CLUSTER = KubeCluster(cast(ApiServer, Nothing()), SystemClock(), "test")
ASKED: dict[str, Callable[[Resource], Awaitable[object]]] = {
    "create": lambda resource: CLUSTER.create(resource, "team", {"metadata": {"name": "x"}}),
    "apply": lambda resource: CLUSTER.apply(resource, "team", {"metadata": {"name": "x"}}),
    "list": lambda resource: CLUSTER.list_owned(resource, "team", "uid"),
    "audit": CLUSTER.list_metadata,
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
async def test_an_optional_resource_is_not_served_and_what_to_install_is_said(
    asked: Callable[[Resource], Awaitable[object]],
) -> None:
    with pytest.raises(NotServed) as told:
        await asked(BOARD)
    assert str(told.value) == NO_BOARDS


@pytest.mark.parametrize(
    ("verb", "expected"), [("create", Rejected), ("apply", Rejected), ("list", NotServed), ("audit", NotServed)]
)
async def test_of_what_every_cluster_has_it_is_the_namespace_that_a_write_lacks(
    verb: str, expected: type[ClusterError]
) -> None:
    with pytest.raises(expected):
        await ASKED[verb](SERVICE)
