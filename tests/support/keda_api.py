"""The definitions of KEDA, as its module publishes them."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

import yaml

from examples.local_cluster.api import Manifest

MODULE = Path(__file__).with_name("keda")
KEDA = "github.com/kedacore/keda/v2"
SCALED_OBJECTS = "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects"


@cache
def definitions() -> tuple[Manifest, ...]:
    """All of them; the module is fetched first where it is not there."""
    command = ["go", "mod", "download", "-json", KEDA]
    told = subprocess.run(command, cwd=MODULE, env={**os.environ, "GOWORK": "off"}, check=True, capture_output=True)
    folder = Path(json.loads(told.stdout)["Dir"]) / "config/crd/bases"
    return tuple(yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml")))


def scaled_objects() -> list[Manifest]:
    """That of ScaledObjects alone."""
    return [one for one in definitions() if one["spec"]["names"]["kind"] == "ScaledObject"]
