"""Dynamic volumes of the one real node: a folder per claim, below the cluster's home.

The controller manager's own host-path provisioner makes folders that only root may write, and never grows a volume;
this one makes them writable for every user of a pod and grows what a claim asks to grow. Binding stays with Kubernetes:
a claim whose class names this provisioner gets a PersistentVolume with a claimRef. All access modes are accepted, since
all pods with content run on one machine.

Run as `python -m examples.local_cluster.provisioner HOME URL`.
"""

import shutil
import sys
from pathlib import Path

from examples.local_cluster import follow
from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.daemon import Daemon
from examples.local_cluster.home import REPOSITORY, Home

NAME = "deepseek-operator.io/local-folder"
CLASS = "local"
CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"


def daemon(home: Home, url: str) -> Daemon:
    """The provisioner as a process of the cluster."""
    argv = (sys.executable, "-m", "examples.local_cluster.provisioner", str(home.root), url)
    return Daemon("provisioner", argv, cwd=REPOSITORY)


def install(api: Api) -> None:
    """Make the default StorageClass."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": NAME,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    }
    api.apply(f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}", storage_class)


def is_ours(claim: Manifest) -> bool:
    """Whether Kubernetes asked this provisioner for a volume that the claim does not have yet."""
    asked = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/storage-provisioner") == NAME
    return asked and not claim["spec"].get("volumeName") and "deletionTimestamp" not in claim["metadata"]


def volume_for(claim: Manifest, folder: Path) -> Manifest:
    """The PersistentVolume that a claim gets."""
    metadata, spec = claim["metadata"], claim["spec"]
    reference = {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": NAME},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def asks_for_more(claim: Manifest, volume: Manifest) -> bool:
    """Whether a bound claim requests another size than its volume has; the API server lets it only grow."""
    wanted = claim["spec"]["resources"]["requests"]["storage"]
    return bool(wanted != volume["spec"]["capacity"]["storage"])


def reconcile(api: Api, volumes: Path) -> None:
    """One pass over all claims and volumes: provision, grow, delete."""
    existing = {volume["metadata"]["name"]: volume for volume in api.get(VOLUMES)["items"] if _provisioned(volume)}
    for claim in api.get(CLAIMS)["items"]:
        volume = existing.get(claim["spec"].get("volumeName", ""))
        if is_ours(claim):
            _provision(api, claim, volumes / claim["metadata"]["uid"])
        elif volume and asks_for_more(claim, volume):
            _grow(api, claim, volume)
    for volume in existing.values():
        if volume["status"].get("phase") == "Released":
            _delete(api, volume, volumes)


def _provisioned(volume: Manifest) -> bool:
    return bool(volume["metadata"].get("annotations", {}).get("pv.kubernetes.io/provisioned-by") == NAME)


def _provision(api: Api, claim: Manifest, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    try:
        api.create(VOLUMES, volume_for(claim, folder))
    except ApiError as error:
        if error.code != 409:
            raise


def _grow(api: Api, claim: Manifest, volume: Manifest) -> None:
    size = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
    path = f"/api/v1/namespaces/{claim['metadata']['namespace']}/persistentvolumeclaims/{claim['metadata']['name']}"
    api.patch(f"{VOLUMES}/{volume['metadata']['name']}", {"spec": {"capacity": size}})
    api.patch(f"{path}/status", {"status": {"capacity": size}})


def _delete(api: Api, volume: Manifest, volumes: Path) -> None:
    folder = Path(volume["spec"]["hostPath"]["path"])
    if volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
        if folder.parent == volumes:
            shutil.rmtree(folder, ignore_errors=True)
        api.delete(f"{VOLUMES}/{volume['metadata']['name']}")


def run(home: Home, url: str) -> None:
    """Reconcile claims and volumes, for ever."""
    api = Api(url, home.pki / "ca.crt", home.pki / "provisioner.crt", home.pki / "provisioner.key")
    follow.reconcile_for_ever(api, (CLAIMS, VOLUMES), lambda: reconcile(api, home.volumes))


if __name__ == "__main__":
    run(Home(Path(sys.argv[1])), sys.argv[2])
