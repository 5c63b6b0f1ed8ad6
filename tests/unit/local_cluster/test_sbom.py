"""What is in an image is read from its layers, as CycloneDX says it."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from examples.local_cluster import __main__ as command
from examples.local_cluster import images
from examples.local_cluster.oci import Image, Layer
from examples.local_cluster.sbom import bill

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u13
Description: C library
 of several lines

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
SITE = "usr/local/lib/python3.11/dist-packages"
ORJSON = "Metadata-Version: 2.4\nName: Orjson_x\nVersion: 3.13.0\nLicense-Expression: MIT OR Apache-2.0\n\nName: no\n"


def layer(folder: Path, number: int, files: Mapping[str, str]) -> Layer:
    path = folder / f"{number}.tar"
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return Layer(path, f"sha256:{number}", path.stat().st_size)


@pytest.fixture
def image(tmp_path: Path) -> Image:
    base = layer(tmp_path, 1, {"./var/lib/dpkg/status": STATUS, "./etc/METADATA": "Name: none\nVersion: 1\n"})
    return Image("x.io/operator:dev", (base, layer(tmp_path, 2, {f"{SITE}/orjson-3.dist-info/METADATA": ORJSON})))


def test_every_package_that_is_installed_is_named_by_its_url_and_no_other(image: Image) -> None:
    made = bill(image, "bookworm")
    assert [one["purl"] for one in made["components"]] == [
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?arch=amd64&distro=debian-bookworm",
        "pkg:pypi/orjson-x@3.13.0",
    ]
    assert made["components"][1]["licenses"] == [{"expression": "MIT OR Apache-2.0"}]
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["name"] == "x.io/operator"
    (dependency,) = made["dependencies"]
    assert dependency["dependsOn"] == [one["bom-ref"] for one in made["components"]]
    assert bill(image, "bookworm") == made


def test_the_command_writes_it(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(images.IMAGES, "operator", lambda: image)
    monkeypatch.chdir(tmp_path)
    assert command.main(["sbom", "operator"]) == 0
    assert json.loads((tmp_path / "operator.cdx.json").read_text()) == bill(image, "bookworm")
    assert "operator.cdx.json: 2 packages" in capsys.readouterr().out
