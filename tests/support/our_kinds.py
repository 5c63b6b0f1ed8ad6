"""An API server that serves our definitions; what else runs beside it is for the caller to say. There is no node."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from deepseek_operator.api.crd import documents
from deepseek_operator.kinds.registry import KINDS
from examples.local_cluster import control_plane
from examples.local_cluster.api import Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def serving_our_kinds(
    home: Path,
    parts: frozenset[str] = frozenset(),
    admission: tuple[str, ...] = (),
    definitions: Sequence[Manifest] | None = None,
    audit: Manifest = control_plane.AUDIT_POLICY,
) -> Iterator[Cluster]:
    """etcd, kube-apiserver and `parts` in `home`, our CustomResourceDefinitions served; ends with the iteration.

    `definitions` are served in the place of this tree's.
    """
    try:
        cluster = control_plane.start(home, parts=parts, admission=admission, audit=audit)
        for document in documents(KINDS.definitions) if definitions is None else definitions:
            name, spec = document["metadata"]["name"], document["spec"]
            cluster.api.apply(f"{DEFINITIONS}/{name}", document)
            served = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            wait_for(f"{name} is served", partial(cluster.api.is_served, served), timeout_s=30)
        yield cluster
    finally:
        control_plane.stop(home)
