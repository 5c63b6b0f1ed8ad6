"""A further kind is its entry: that of `tests.support.sham_kind` is added to the list, and nothing else is changed.
Definition, watches, mirror, passes, `plan`, the table of reasons, rights and the chart take it."""

from pathlib import Path

import pytest
import yaml

from deepseek_operator import __main__ as command
from deepseek_operator.adapters.admission import Refused, admit
from deepseek_operator.api.crd import documents
from deepseek_operator.cli.argocd import CONFIG_MAP, files
from deepseek_operator.cli.chart import kinds_file
from deepseek_operator.cli.handbook import reasons
from deepseek_operator.cli.planning import Document, planned
from deepseek_operator.controller.key import Key
from deepseek_operator.controller.mirror import Mirror
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.names import owner_labels
from deepseek_operator.kinds.registry import KINDS
from tests.support.sham_kind import ALL, NOTE, POD_TEMPLATE, note

CHART = Path(__file__).parents[3] / "charts" / "deepseek-operator"
WHAT = ("health", "actions")


def test_it_is_defined_like_its_neighbours() -> None:
    (document,) = [item for item in documents(ALL.definitions) if item["spec"]["names"]["kind"] == NOTE.kind]
    assert document["metadata"]["name"] == "deepseeknotes.deepseek-operator.io"
    assert isinstance(admit({**note(), "spec": {"text": "x" * 101}}, ALL.definitions), Refused)


def test_it_and_its_child_are_watched_and_the_rights_to_both_are_named() -> None:
    assert set(ALL.watched) - set(KINDS.watched) == {NOTE, POD_TEMPLATE}
    assert {resource: sorted(verbs) for resource, verbs in ALL.rights().items() if resource not in KINDS.rights()} == {
        (NOTE.group, "deepseeknotes"): ["get", "list", "watch"],
        (NOTE.group, "deepseeknotes/status"): ["update"],
        ("", "podtemplates"): ["create", "delete", "get", "list", "patch", "watch"],
    }


def test_a_change_of_it_or_of_its_child_wakes_it() -> None:
    mirror, key = Mirror(), Key(NOTE, "team", "n")
    assert mirror.observe(NOTE, note(uid="1", resourceVersion="1")) == {key}
    metadata = {"name": "n-note", "namespace": "team", "uid": "2", "resourceVersion": "2"}
    child = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {**metadata, "labels": owner_labels(NOTE, "n", "1")},
    }
    assert mirror.observe(POD_TEMPLATE, child) == {key}


async def test_it_is_planned_and_its_child_is_called_its_own() -> None:
    answer = await planned([Document(note(), "a file")], None, Configuration(), ALL)
    (rehearsal,) = answer.rehearsals
    assert (answer.is_made, [item["metadata"]["name"] for item in rehearsal.made]) == (True, ["n-note"])
    labels = rehearsal.made[0]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "deepseek-note"
    assert labels["deepseek-operator.io/note"] == "n"


def test_its_reasons_are_in_the_table() -> None:
    assert "| note | `Written` | Nothing to do. |" in reasons(ALL)


def test_the_chart_gives_the_rights_and_its_users_theirs() -> None:
    made = yaml.safe_load(kinds_file(ALL))
    rules = {
        (rule["apiGroups"][0], resource): rule["verbs"] for rule in made["rules"] for resource in rule["resources"]
    }
    assert {resource: set(verbs) for resource, verbs in rules.items()} == ALL.rights()
    assert made["kinds"][-1] == {
        "singular": "deepseeknote",
        "plural": "deepseeknotes",
        "word": "note",
        "hasScale": False,
        "isScaledByLoad": False,
        "metricsPort": "told",
    }


def test_argo_cd_judges_it_by_the_script_of_the_others() -> None:
    scripts = yaml.safe_load(files(ALL)[CONFIG_MAP])["data"]
    keys = {
        what: [f"resource.customizations.{what}.{owner.group}_{owner.kind}" for owner in ALL.owners] for what in WHAT
    }
    assert scripts.keys() == {*keys["health"], *keys["actions"]}
    assert len({scripts[key] for key in keys["health"]}) == 1
    offered = yaml.safe_load(scripts[keys["actions"][-1]])
    assert [one["name"] for one in offered["definitions"]] == ["suspend", "resume"]


def test_the_commands_write_it_and_tell_files_that_lack_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("values.yaml", "files/alerts.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((CHART / name).read_text())
    for generator in ("chart", "argocd"):
        assert command.main([generator, str(tmp_path)]) == command.main([generator, "--check", str(tmp_path)]) == 0
    monkeypatch.setattr(command, "KINDS", ALL)
    for generator in ("chart", "argocd"):
        assert command.main([generator, "--check", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert all(name in told for name in ("kinds.yaml", CONFIG_MAP, f"{NOTE.kind}/health.lua"))
    assert command.main(["chart", str(tmp_path)]) == command.main(["crds", "--out", str(tmp_path)]) == 0
    assert "deepseeknotes" in (tmp_path / "files" / "kinds.yaml").read_text()
    assert (tmp_path / "deepseek-operator.io_deepseeknotes.yaml").is_file()
