"""`deepseek-operator watch` and the verbs: what is printed of a run, and what is written into annotations."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deepseek_operator.__main__ import main
from deepseek_operator.api.base import Condition
from deepseek_operator.api.v1alpha1.serving.status import CanaryStatus, KeptRevision, ServingStatus
from deepseek_operator.cli.verbs import changes
from deepseek_operator.core.kinds import Entry
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving.story import annotation, exit_status, picture
from deepseek_operator.kinds.serving.verbs import PAUSE, PROMOTE, ROLLBACK

OLD, NEW = "1111111111", "2222222222"
READY = Condition(
    type="Ready", status="True", reason="Canary", message="it bakes", last_transition_time="2026-01-01T00:00:00Z"
)


def serving(phase: str = "Baking", **canary: object) -> dict[str, Any]:
    run = {"run": 1, "step": 2, "steps": 3, "weight": 50, "stable": OLD, "target": NEW, "entered_at": "t"}
    kept = [
        KeptRevision(name=NEW, model="tune@200", replicas=2, ready=1, weight=25),
        KeptRevision(name=OLD, model="tune@100", replicas=4, ready=4, weight=75),
    ]
    canary_status = CanaryStatus.model_validate({**run, "phase": phase, **canary})
    told = ServingStatus(phase="Canary", conditions=[READY], stable=OLD, revisions=kept, canary=canary_status)
    metadata = {"name": "chat", "namespace": "team"}
    return {"metadata": metadata, "spec": {}, "status": told.to_wire()}


NEW_ONE: dict[str, Any] = {"metadata": {"name": "chat"}}


def test_a_run_is_printed_with_its_step_and_its_revisions() -> None:
    analysis = {"metrics": [{"verdict": "Fail", "message": "ErrorRate 0.05, at most 0.01"}]}
    assert picture(serving(message="0 of 2 serve", analysis=analysis)).splitlines() == [
        "chat: Canary, it bakes",
        "  run 1: Baking since t, step 2 of 3 at 50 %",
        "  because 0 of 2 serve",
        "  Fail: ErrorRate 0.05, at most 0.01",
        "  REVISION     MODEL      READY   WEIGHT",
        "  2222222222   tune@200   1/2     25 %     tried",
        "  1111111111   tune@100   4/4     75 %     stable",
    ]


def test_one_that_was_never_observed_is_printed_too() -> None:
    assert "nothing was observed yet" in picture(NEW_ONE)


@pytest.mark.parametrize(("phase", "code"), [("Baking", None), ("Held", None), ("Completed", 0), ("RolledBack", 1)])
def test_watching_ends_with_the_run(phase: str, code: int | None) -> None:
    assert exit_status(serving(phase)) == code
    assert exit_status(NEW_ONE) == 0


@pytest.mark.parametrize(
    ("verb", "revision", "written"),
    [
        ("promote", None, (PROMOTE, f"{NEW}/7")),
        ("promote", NEW, (PROMOTE, f"{NEW}/7")),
        ("pause", None, (PAUSE, NEW)),
        ("resume", None, (PAUSE, None)),
        ("rollback", None, (ROLLBACK, f"{OLD}/7")),
        ("rollback", OLD, (ROLLBACK, f"{OLD}/7")),
        ("follow", None, (ROLLBACK, None)),
    ],
)
def test_a_verb_writes_an_annotation(verb: str, revision: str | None, written: tuple[str, str | None]) -> None:
    assert annotation(verb, serving(), revision, "7") == written


@pytest.mark.parametrize(
    ("verb", "revision", "words"),
    [("promote", OLD, f"is {NEW}"), ("pause", "x", f"is {NEW}"), ("rollback", "x", f"kept are: {NEW}, {OLD}")],
)
def test_a_verb_about_another_revision_is_refused_with_words(verb: str, revision: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        annotation(verb, serving(), revision, "7")


@pytest.mark.parametrize("verb", ["promote", "pause", "rollback"])
def test_without_a_run_a_revision_must_be_named(verb: str) -> None:
    with pytest.raises(ValueError, match="no canary run"):
        annotation(verb, NEW_ONE, None, "7")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A kubeconfig of a server that has the serving `chat` in `team`, and the patches that it got."""
    patches: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/apis/deepseek-operator.io/v1alpha1/namespaces/team/deepseekservings/chat":
                return self._say(200, serving("Completed"))
            if self.path.endswith("/chat") or self.path.endswith("/other"):
                return self._say(404, {})
            return self._say(200, {"metadata": {"resourceVersion": "1"}, "items": []})

        def do_PATCH(self) -> None:
            patches.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self._say(200, {})

        def _say(self, code: int, body: dict[str, Any]) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "current-context": "c",
        }
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config))
        yield str(file), patches
        server.shutdown()


def test_the_commands_read_and_write_the_serving(
    cluster: tuple[str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, patches = cluster
    assert main(["watch", "chat", "--kubeconfig", kubeconfig]) == 0
    assert "run 1: Completed" in capsys.readouterr().out
    assert main(["rollback", "chat", OLD, "--kubeconfig", kubeconfig]) == 0
    ((value,),) = [patch["metadata"]["annotations"].values() for patch in patches]
    assert value.startswith(f"{OLD}/")


@pytest.mark.parametrize("arguments", [["watch", "other"], ["rollback", "chat", "x"], ["promote", "chat", OLD]])
def test_what_is_not_there_is_refused(
    cluster: tuple[str, list[dict[str, Any]]], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, patches = cluster
    assert main([*arguments, "--kubeconfig", kubeconfig]) == 1
    assert patches == []
    assert capsys.readouterr().err


TRAINING, SERVING = KINDS


@pytest.mark.parametrize("entry", [TRAINING, SERVING])
def test_what_is_suspended_is_resumed(entry: Entry) -> None:
    assert changes(entry, thing(), "suspend", None, "7") == [{"spec": {"suspend": True}}]
    assert changes(entry, thing(suspend=True), "resume", None, "7") == [{"spec": {"suspend": False}}]


def test_resume_lets_go_on_whatever_holds_it() -> None:
    paused = {"metadata": {"annotations": {PAUSE: None}}}
    assert changes(SERVING, thing({PAUSE: NEW}), "resume", None, "7") == [paused]
    assert changes(SERVING, thing({PAUSE: NEW}, suspend=True), "resume", None, "7") == [
        {"spec": {"suspend": False}},
        paused,
    ]


@pytest.mark.parametrize(
    ("verb", "found", "words"),
    [
        ("resume", {}, "x is neither suspended nor paused"),
        ("suspend", {"suspend": True}, "x is suspended already"),
        ("promote", {}, "has no versions that are tried"),
    ],
)
def test_a_verb_that_changes_nothing_is_refused(verb: str, found: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changes(TRAINING, thing(**found), verb, None, "7")


def thing(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "annotations": annotations or {}}, "spec": spec}
