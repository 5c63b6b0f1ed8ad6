"""An API that is not there, comes, goes and breaks under a running operator, which stays ready and goes on meanwhile.

A kind of the tests keeps a Board of such an API. The rights are those that the list of kinds asks for.
"""

import asyncio
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from deepseek_operator.adapters.credentials import load
from deepseek_operator.api.crd import documents
from deepseek_operator.controller.app import App
from deepseek_operator.controller.settings import Settings
from examples.local_cluster import kubeconfig
from examples.local_cluster.api import Api, ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from tests.support.canonical import COLLECTIONS
from tests.support.fault_proxy import Asked, FaultProxy
from tests.support.kubectl import until
from tests.support.our_kinds import DEFINITIONS
from tests.support.posters import BOARD, NO_BOARDS, POSTER, WITH_POSTERS, a_poster

pytestmark = pytest.mark.timeout(400)
INTERVAL_S = 2.0
LIMIT_S = 90.0
NAME = f"{BOARD.plural}.{BOARD.group}"
POSTERS = f"{POSTER.plural}.{POSTER.group}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TRAINING: Manifest = {
    "model": {"custom": {"model_type": "deepseek_v3"}},
    "datasets": [{"source": {"uri": "builtin://uppercase"}}],
    "hyperparameters": {"maxSteps": 100},
}
ANYTHING: Manifest = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
WEBHOOK: Manifest = {
    "strategy": "Webhook",
    "webhook": {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"service": {"namespace": "gone", "name": "board-controller"}},
    },
}


def definition(*versions: str, **spec: Any) -> Manifest:
    """Of Boards, the last version being the stored one."""
    names = {"kind": BOARD.kind, "plural": BOARD.plural, "singular": "board", "listKind": "BoardList"}
    served = [
        {
            "name": version,
            "served": True,
            "storage": version == versions[-1],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": ANYTHING}}},
        }
        for version in versions
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {"group": BOARD.group, "names": names, "scope": "Namespaced", "versions": served, **spec},
    }


@dataclass
class Scene:
    """One namespace, and an operator of it in a thread of its own behind a proxy that counts.

    Attributes:
        unready: what the probe said whenever it was not `ok` after it first had been.
    """

    api: Api
    namespace: str
    proxy: FaultProxy
    app: App
    unready: list[str] = field(default_factory=list)

    def install(self, *versions: str, **spec: Any) -> None:
        self.api.apply(f"{DEFINITIONS}/{NAME}", definition(*versions or ("v1",), **spec))

    def uninstall(self) -> None:
        self.api.delete(f"{DEFINITIONS}/{NAME}")

    def wait_uninstalled(self) -> None:
        until("no definition", lambda: not self.api.exists(f"{DEFINITIONS}/{NAME}"), timeout_s=LIMIT_S, every_s=0.05)

    def put(self, name: str, **spec: Any) -> None:
        self.api.create(self.path(POSTER.api_version, POSTER.plural), a_poster(name, self.namespace, **spec))

    def path(self, version: str, plural: str, name: str = "") -> str:
        return f"/apis/{version}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def board(self, name: str) -> str:
        return self.path(BOARD.api_version, BOARD.plural, f"{name}-poster")

    def shows(self, name: str) -> str:
        """The text on the poster's Board; empty: there is none."""
        try:
            return str(self.api.get(self.board(name))["spec"]["text"])
        except ApiError:
            return ""

    def ready(self, name: str) -> tuple[str, str]:
        """Reason and message of the condition Ready."""
        status = self.api.get(self.path(POSTER.api_version, POSTER.plural, name)).get("status", {})
        return next(((c["reason"], c.get("message", "")) for c in status.get("conditions", ())), ("", ""))

    def waits(self, name: str, words: str, reason: str = "WaitingForAPI") -> None:
        def is_told() -> bool:
            told = self.ready(name)
            return told[0] == reason and words in told[1]

        until(f"{name} waits: {words}", is_told, timeout_s=LIMIT_S, every_s=0.05)

    def is_shown(self, name: str) -> None:
        until(f"{name} is shown", lambda: self.ready(name) == ("Shown", ""), timeout_s=LIMIT_S, every_s=0.05)

    def asked(self) -> list[Asked]:
        """Requests for Boards, watches included."""
        return [asked for asked in self.proxy.asked if f"/{BOARD.plural}" in asked.path]

    def probe(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.app.ports[0]}/readyz", timeout=5) as answer:
                return str(answer.read().decode())
        except HTTPError as error:
            return error.read().decode()


@pytest.fixture
def scene(api_server: Cluster, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    with _running(api_server, namespace, tmp_path) as scene:
        yield scene


@contextmanager
def _running(cluster: Cluster, namespace: str, folder: Path, but_boards: bool = False) -> Iterator[Scene]:
    api = cluster.api
    (document,) = [item for item in documents(WITH_POSTERS.definitions) if item["metadata"]["name"] == POSTERS]
    api.apply(f"{DEFINITIONS}/{POSTERS}", document)
    served = f"/apis/{POSTER.api_version}/namespaces/{namespace}/{POSTER.plural}"
    until("posters are served", partial(api.is_served, served), timeout_s=LIMIT_S)
    proxy = FaultProxy(cluster.url, ssl.create_default_context(cafile=str(cluster.ca)), lambda: None).start()
    account = _account(api, namespace)
    grant(api, namespace, but_boards)
    file = kubeconfig.with_token(folder / "kubeconfig", proxy.url, cluster.ca, account, namespace)
    settings = Settings(
        namespace=namespace, watch_namespaces=(namespace,), bind_host="127.0.0.1", health_port=0, metrics_port=0,
        optional_interval_s=INTERVAL_S, audit_interval_s=5,
    )  # fmt: skip
    app = App(settings, load(str(file)), WITH_POSTERS)
    scene, ended = Scene(api, namespace, proxy, app), threading.Event()
    threads = [threading.Thread(target=_run, args=(app, ended)), threading.Thread(target=_probe, args=(scene, ended))]
    for thread in threads:
        thread.start()
    try:
        until("it is ready", lambda: app.ports and scene.probe() == "ok\n", timeout_s=LIMIT_S)
        scene.unready.clear()
        yield scene
        assert (app.failure, app.ending.is_set(), scene.unready) == (None, False, [])
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
        proxy.stop()
        _let_go(scene)
        scene.uninstall()
        scene.wait_uninstalled()


def _run(app: App, ended: threading.Event) -> None:
    async def main() -> None:
        await app.start()
        await asyncio.to_thread(ended.wait)
        await app.stop()

    asyncio.run(main())


def _probe(scene: Scene, ended: threading.Event) -> None:
    while not ended.wait(0.2):
        if scene.app.ports and (said := scene.probe()) != "ok\n":
            scene.unready.append(said)


def _let_go(scene: Scene) -> None:
    """Nothing of a test that failed keeps the definition from going."""
    path = scene.path(BOARD.api_version, BOARD.plural)
    for item in scene.api.get(path)["items"] if scene.api.is_served(path) else ():
        scene.api.patch(f"{path}/{item['metadata']['name']}", {"metadata": {"finalizers": None}})


def _account(api: Api, namespace: str) -> str:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    api.create(accounts, {"metadata": {"name": "operator"}})
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(api.create(f"{accounts}/operator/token", request)["status"]["token"])


def grant(api: Api, namespace: str, but_boards: bool = False) -> None:
    """What the list of kinds asks for, and the Lease and events of the process."""
    rights = {right: set(verbs) for right, verbs in WITH_POSTERS.rights().items()}
    rights.setdefault(("coordination.k8s.io", "leases"), set()).update(("get", "create", "update"))
    rights.setdefault(("", "events"), set()).update(("create", "patch", "list"))
    rules = [
        {"apiGroups": [group], "resources": [plural], "verbs": sorted(verbs)}
        for (group, plural), verbs in rights.items()
        if not (but_boards and group == BOARD.group)
    ]
    path = f"{RBAC}/namespaces/{namespace}"
    metadata = {"name": "operator"}
    head = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    api.apply(f"{path}/roles/operator", {**head, "kind": "Role", "metadata": metadata, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": namespace}
    binding = {**head, "kind": "RoleBinding", "metadata": metadata, "roleRef": reference, "subjects": [subject]}
    api.apply(f"{path}/rolebindings/operator", binding)


def timed(what: str, wait: Callable[[], None]) -> None:
    began = time.monotonic()
    wait()
    print(f"{what}: {time.monotonic() - began:.2f} s")


def test_an_api_that_is_missing_is_told_and_one_that_comes_is_used_as_often_as_it_comes(scene: Scene) -> None:
    scene.put("p")
    scene.put("plain", board=False)
    scene.waits("p", NO_BOARDS)
    scene.is_shown("plain")
    training = {"apiVersion": POSTER.api_version, "kind": "DeepSeekTraining", "metadata": {"name": "t"}}
    scene.api.create(COLLECTIONS["DeepSeekTraining"].format(scene.namespace), {**training, "spec": TRAINING})
    until(
        "the other kinds go on",
        lambda: scene.api.get(COLLECTIONS["Job"].format(scene.namespace))["items"],
        timeout_s=LIMIT_S,
    )
    before = len(scene.asked())
    time.sleep(10)
    asked = len(scene.asked()) - before
    print(f"requests in 10 s at an interval of {INTERVAL_S:.0f} s: {asked}")
    assert asked <= 10 / (INTERVAL_S / 2) + 1
    for number in range(3):
        scene.install()
        timed("from definition to child", lambda: until("", lambda: scene.shows("p"), timeout_s=LIMIT_S, every_s=0.05))
        scene.is_shown("p")
        scene.api.patch(scene.board("p"), {"spec": {"text": "a stranger's"}})
        until("it is put right", lambda: scene.shows("p") == "hello", timeout_s=LIMIT_S)
        before = len(scene.asked())
        scene.uninstall()
        timed("from removal to condition", partial(scene.waits, "p", ""))
        scene.wait_uninstalled()
        scene.waits("p", NO_BOARDS)
        time.sleep(number * 3 * INTERVAL_S)
        print(f"requests for it from its removal on: {len(scene.asked()) - before}")


def test_an_api_that_is_served_in_another_version_only_is_missing(scene: Scene) -> None:
    scene.install("v1alpha1")
    scene.put("p")
    scene.waits("p", NO_BOARDS)
    time.sleep(2 * INTERVAL_S)
    scene.waits("p", NO_BOARDS)
    scene.install("v1alpha1", "v1")
    scene.is_shown("p")


def test_a_definition_that_can_not_go_for_somebody_s_finalizer_is_told_in_the_server_s_words(scene: Scene) -> None:
    scene.install()
    scene.put("p")
    scene.is_shown("p")
    scene.api.patch(scene.board("p"), {"metadata": {"finalizers": ["example.com/stuck"]}})
    scene.uninstall()
    until(
        "it is going", lambda: "Terminating" in str(scene.api.get(f"{DEFINITIONS}/{NAME}")["status"]), timeout_s=LIMIT_S
    )
    scene.put("q")
    scene.waits("q", "not allowed while custom resource definition is terminating", "Forbidden")
    print("told:", scene.ready("q"))
    before = len(scene.asked())
    time.sleep(10)
    writes = [asked for asked in scene.asked()[before:] if asked.verb != "GET"]
    assert len(writes) <= 2
    scene.api.patch(scene.board("p"), {"metadata": {"finalizers": None}})
    scene.wait_uninstalled()
    scene.waits("q", NO_BOARDS)
    scene.waits("p", NO_BOARDS)
    scene.install()
    scene.is_shown("p")
    scene.is_shown("q")


@pytest.mark.parametrize("ends", ["there", "missing"])
def test_a_definition_that_comes_and_goes_twenty_times_leaves_what_its_last_state_asks_for(
    scene: Scene, ends: str
) -> None:
    scene.put("p")
    for number in range(20):
        scene.install()
        time.sleep(0.25 * (number % 4))
        scene.uninstall()
        scene.wait_uninstalled()
    if ends == "there":
        scene.install()
        # Its condition may be yet that of the time before the last that it went.
        until("it is put there", lambda: scene.shows("p") == "hello", timeout_s=LIMIT_S, every_s=0.05)
        scene.is_shown("p")
    else:
        scene.waits("p", NO_BOARDS)


def test_a_definition_that_goes_while_a_write_is_on_its_way_is_missing_and_no_fault_of_the_spec(scene: Scene) -> None:
    gone: list[str] = []

    def answer(asked: Asked) -> None:
        if not gone and asked.verb == "PATCH" and f"/{BOARD.plural}" in asked.path:
            gone.append(asked.path)
            scene.uninstall()
            scene.wait_uninstalled()

    scene.proxy.answer = answer
    scene.put("p")
    scene.install()
    until("a write was on its way", lambda: gone, timeout_s=LIMIT_S)
    scene.waits("p", NO_BOARDS)
    scene.install()
    scene.is_shown("p")


def test_an_api_whose_conversion_is_broken_is_told_in_the_server_s_words(scene: Scene) -> None:
    scene.install("v1", "v2")
    path = scene.path(f"{BOARD.group}/v2", BOARD.plural)
    until("v2 is served", partial(scene.api.is_served, path), timeout_s=LIMIT_S)
    scene.api.create(path, {"apiVersion": f"{BOARD.group}/v2", "kind": BOARD.kind, "metadata": {"name": "other"}})
    scene.install("v1", "v2", conversion=WEBHOOK)
    scene.put("p")
    scene.waits("p", "conversion webhook")
    print("told:", scene.ready("p"))
    scene.install("v1", "v2", conversion={"strategy": "None"})
    scene.is_shown("p")


def test_a_right_that_is_lacking_is_told_in_the_server_s_words(
    api_server: Cluster, namespace: str, tmp_path: Path
) -> None:
    with _running(api_server, namespace, tmp_path, but_boards=True) as scene:
        scene.install()
        scene.put("p")
        scene.put("plain", board=False)
        scene.is_shown("plain")
        scene.waits("p", 'cannot list resource "boards"')
        print("told:", scene.ready("p"))
        grant(scene.api, namespace)
        scene.is_shown("p")
