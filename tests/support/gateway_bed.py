"""Envoy Gateway and its Envoy on the local cluster, by its own chart, and the Gateway that an administrator is shown.

The controller is built from its published module into the cache, Envoy comes from its wheel ($ENVOY, see `need_envoy` of
environment.sh); both become images without a registry, as the repository's own do.
"""

import json
import os
import platform
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from examples.local_cluster import backend, images, layers, programs
from examples.local_cluster.home import Home, default_root
from examples.local_cluster.oci import Image
from tests.support.gateway_api import ENVOY_GATEWAY, dialect, folder, standard
from tests.support.go_programs import ENVOY_GATEWAY as ENVOY_GATEWAY_PROGRAM
from tests.support.go_programs import built
from tests.support.kubectl import CommandFailed, Kubectl, until

SYSTEM, GATEWAYS = "envoy-gateway-system", "gateways"
CONTROLLER_IMAGE, PROXY_IMAGE = "example.com/envoy-gateway:dev", "example.com/envoy:dev"
EXAMPLES = Path(__file__).parents[2] / "examples/gateway"
ADMINISTRATOR, TOKENS = EXAMPLES / "administrator.yaml", EXAMPLES / "tokens.yaml"
PLAIN: dict[str, Any] = {
    "name": "http", "protocol": "HTTP", "port": 80,
    "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"gateway": "public"}}}},
}  # fmt: skip
"""Beside the listener that the administrator is shown: most tests need no TLS."""


def controller() -> Path:
    """Envoy Gateway's program, built where it is not there: five minutes of one core, once for a go.sum."""
    return built(ENVOY_GATEWAY_PROGRAM)


def envoy() -> Path:
    """Envoy's program in its wheel."""
    (found,) = Path(os.environ["ENVOY"]).glob("lib/python3.*/site-packages/envoy/_bin/envoy")
    return found


def load_images() -> None:
    """Both images, in the node's store."""
    chosen = backend.choose(Home(default_root()))
    for name, program in ((CONTROLLER_IMAGE, controller()), (PROXY_IMAGE, envoy())):
        inside = f"/usr/local/bin/{program.name}"
        own = (layers.base(), layers.files(program.name, [(program, inside)]))
        architecture = images.ARCHITECTURES.get(platform.machine(), platform.machine())
        chosen.load(Image(name, own, (inside,), f"{layers.UID}:{layers.UID}", images.ENVIRONMENT, architecture))


def install(bed: Kubectl, scratch: Path, say: Callable[[str], None]) -> None:
    """Gateway API, Envoy Gateway and the Gateway `public` in namespace `gateways`, ready."""
    install_definitions(bed, [*standard(), *dialect()])
    load_images()
    say("the images of Envoy Gateway and Envoy are loaded")
    # One that an uninstallation left behind takes nothing new.
    if bed.run("get", "namespace", SYSTEM, "--ignore-not-found", "--output=jsonpath={.status.phase}") == "Terminating":
        bed.run("wait", "--for=delete", f"namespace/{SYSTEM}", "--timeout=300s", timeout_s=310)
    chart = _chart(scratch)
    command = [
        programs.built("helm"), f"--kubeconfig={bed.kubeconfig}", "upgrade", "--install", "eg", str(chart),
        f"--namespace={SYSTEM}", "--create-namespace", "--skip-crds", "--wait", "--timeout=240s",
        "--set", "crds.enabled=false", "--set", "topologyInjector.enabled=false",
        "--set", f"config.envoyGateway.provider.kubernetes.shutdownManager.image={CONTROLLER_IMAGE}",
        # There is one of it: a lease that a busy machine lets lapse would end it, and answer all routes with 500 until it is back.
        "--set", "config.envoyGateway.provider.kubernetes.leaderElection.disable=true",
        "--set", "deployment.envoyGateway.resources.requests.cpu=250m",
        "--set", "config.envoyGateway.extensionApis.enableLua=true",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise CommandFailed(f"helm: {done.stderr.strip()}")
    say("Envoy Gateway runs")
    bed.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": GATEWAYS}}))
    _certificate(bed, scratch)
    within = bed.within(GATEWAYS)
    for manifest in administrator():
        (within if "namespace" in manifest["metadata"] else bed).apply(json.dumps(manifest))
    within.run("wait", "--for=condition=Programmed", "gateway/public", "--timeout=180s", timeout_s=190)
    say("the Gateway is programmed")


def install_definitions(bed: Kubectl, definitions: list[dict[str, Any]]) -> None:
    """CustomResourceDefinitions, served."""
    for definition in definitions:
        bed.apply(json.dumps(definition))
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    bed.run("wait", "--for=condition=Established", *names, "--timeout=60s", timeout_s=70)


def uninstall(bed: Kubectl) -> None:
    """All of it, routes and policies of others included, since their definitions go."""
    bed.run("delete", "namespace", GATEWAYS, "--ignore-not-found", "--wait=true", timeout_s=180)
    helm = [
        programs.built("helm"),
        f"--kubeconfig={bed.kubeconfig}",
        "uninstall",
        "eg",
        f"--namespace={SYSTEM}",
        "--wait",
    ]
    subprocess.run(helm, capture_output=True, timeout=180, check=False)
    bed.run("delete", "namespace", SYSTEM, "--ignore-not-found", "--wait=false")  # Seen to take minutes when empty.
    remove_definitions(bed, [*standard(), *dialect()])


def remove_definitions(bed: Kubectl, definitions: list[dict[str, Any]]) -> None:
    """The definitions and all objects of them."""
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    bed.run("delete", *names, "--ignore-not-found", "--wait=true", timeout_s=120)


def administrator() -> list[dict[str, Any]]:
    """What the examples have, on a machine without load balancers, with images of ours and a listener without TLS beside."""
    texts = (ADMINISTRATOR.read_text(), TOKENS.read_text())
    manifests = [one for text in texts for one in yaml.safe_load_all(text) if one]
    by_kind = {one["kind"]: one for one in manifests}
    container = {"image": PROXY_IMAGE, "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}
    kubernetes = {"envoyDeployment": {"container": container}, "envoyService": {"type": "ClusterIP"}}
    by_kind["EnvoyProxy"]["spec"]["provider"] = {"type": "Kubernetes", "kubernetes": kubernetes}
    by_kind["Gateway"]["spec"]["listeners"].append(PLAIN)
    return manifests


def address(bed: Kubectl) -> str:
    """Where the Gateway answers; this machine is the node, so that it is reached from here."""

    def told() -> str:
        status = bed.within(GATEWAYS).json("get", "gateway", "public").get("status", {})
        return next((str(one["value"]) for one in status.get("addresses", ())), "")

    return str(until("the Gateway has an address", told, timeout_s=60))


def _chart(scratch: Path) -> Path:
    """Its chart, whose values the module has as a template."""
    chart = scratch / "gateway-helm"
    shutil.copytree(folder(ENVOY_GATEWAY) / "charts/gateway-helm", chart, copy_function=shutil.copyfile)
    for path in (chart, *chart.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    template = (chart / "values.tmpl.yaml").read_text()
    values = template.replace("${GatewayImage}", CONTROLLER_IMAGE).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (chart / "values.yaml").write_text(values)
    return chart


def _certificate(bed: Kubectl, scratch: Path) -> None:
    key, certificate = scratch / "tls.key", scratch / "tls.crt"
    subject = ["-subj", "/CN=chat.example.com", "-addext", "subjectAltName=DNS:*.example.com"]
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    command = ["openssl", "req", *options, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, check=True)
    within = bed.within(GATEWAYS)
    within.run("delete", "secret", "gateway-tls", "--ignore-not-found")
    within.run("create", "secret", "tls", "gateway-tls", f"--cert={certificate}", f"--key={key}")


def client_tls(most: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks at most that version, and takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, most
    return context
