"""The manifest for krew has every field that krew's documentation asks for, in its form, and refuses what krew would."""

import re
from hashlib import sha256
from typing import Any

import pytest
import yaml

from deepseek_operator.__main__ import main
from deepseek_operator.cli.krew import Archive, manifest

HASH = sha256(b"an archive").hexdigest()
HOMEPAGE = "https://example.com/plugin"
ARCHIVES = [
    Archive("linux/amd64", "https://example.com/linux.tar.gz", HASH),
    Archive("windows/amd64", "https://example.com/windows.zip", HASH),
    Archive("darwin/arm64", "https://example.com/darwin.tar.gz", HASH),
]


def made() -> dict[str, Any]:
    """As krew reads it."""
    found: dict[str, Any] = yaml.safe_load(manifest("0.1.0", HOMEPAGE, ARCHIVES))
    return found


def test_what_krew_requires_is_there() -> None:
    """As krew.sigs.k8s.io/docs/developer-guide/plugin-manifest has it: a name that is a file's, v and a semantic version."""
    told = made()
    assert told["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert told["kind"] == "Plugin"
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", told["metadata"]["name"])
    spec = told["spec"]
    assert spec.keys() == {"version", "homepage", "shortDescription", "description", "platforms"}
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert "kubectl" not in spec["shortDescription"]
    assert not spec["shortDescription"].endswith(".")


def test_each_platform_is_selected_by_system_and_machine_and_has_its_program() -> None:
    platforms = made()["spec"]["platforms"]
    assert all(one.keys() == {"selector", "uri", "sha256", "bin"} for one in platforms)
    assert [(one["selector"]["matchLabels"], one["bin"]) for one in platforms] == [
        ({"os": "darwin", "arch": "arm64"}, "kubectl-deepseek"),
        ({"os": "linux", "arch": "amd64"}, "kubectl-deepseek"),
        ({"os": "windows", "arch": "amd64"}, "kubectl-deepseek.exe"),
    ]
    assert {one["sha256"] for one in platforms} == {HASH}


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (("plan9/amd64", "https://example.com/a.zip", HASH), "write one of linux, darwin, windows"),
        (("linux", "https://example.com/a.zip", HASH), "and one of amd64, arm64"),
        (("linux/amd64", "http://example.com/a.zip", HASH), "write the https:// address"),
        (("linux/amd64", "https://example.com/a.whl", HASH), "of a .tar.gz or .zip"),
        (("linux/amd64", "https://example.com/a.zip", "0" * 63), "64 hexadecimal digits"),
    ],
)
def test_an_archive_that_krew_would_not_take_is_refused(
    archive: tuple[str, str, str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["krew", "--homepage", HOMEPAGE, "--archive", *archive]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


def test_a_platform_may_stand_once_and_the_homepage_is_an_address() -> None:
    with pytest.raises(ValueError, match="one --archive for each platform"):
        manifest("0.1.0", HOMEPAGE, [ARCHIVES[0], ARCHIVES[0]])
    with pytest.raises(ValueError, match="one --archive for each platform"):
        manifest("0.1.0", HOMEPAGE, [])
    with pytest.raises(ValueError, match="https://"):
        manifest("0.1.0", "example.com", ARCHIVES)


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    one = ARCHIVES[0]
    assert main(["krew", "--homepage", HOMEPAGE, "--archive", one.platform, one.uri, one.sha256]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["spec"]["platforms"] == [one.wire()]
