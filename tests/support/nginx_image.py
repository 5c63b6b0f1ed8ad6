"""nginx with njs as an image on the local cluster, as the official one has them: $NGINX (see `need_nginx`) on our base."""

import os
import platform
from pathlib import Path

from examples.local_cluster import backend, images, layers
from examples.local_cluster.home import Home, default_root
from examples.local_cluster.oci import Image

NGINX_IMAGE = "example.com/nginx:dev"


def load_nginx() -> None:
    """Puts it into the node's store."""
    # Debian 13's own C library comes along, which runs what the base has of Debian 12 as well.
    own = (layers.base(), layers.files("nginx", [(Path(os.environ["NGINX"], "usr"), "/usr")]))
    architecture = images.ARCHITECTURES.get(platform.machine(), platform.machine())
    user = f"{layers.UID}:{layers.UID}"
    backend.choose(Home(default_root())).load(Image(NGINX_IMAGE, own, (), user, images.ENVIRONMENT, architecture))
