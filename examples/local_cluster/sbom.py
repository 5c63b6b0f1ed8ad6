"""What is in an image, as CycloneDX 1.6: Debian's packages and Python's, read from its layers and not from what was asked for.

https://cyclonedx.org/docs/1.6/json/ and https://github.com/package-url/purl-spec
"""

import re
import tarfile
from collections.abc import Iterator
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

from examples.local_cluster.oci import Image

_STATUS = "var/lib/dpkg/status"
_METADATA = re.compile(r"(^|/)[^/]+\.dist-info/METADATA$")


def bill(image: Image, suite: str) -> dict[str, Any]:
    """The document; equal content makes an equal one, so it has no time and no serial number.

    `suite`: of Debian, which the base layer is made of. A file of a lower layer that a higher one has as well counts as the
    higher one's.
    """
    found: dict[str, dict[str, Any]] = {}
    for layer in image.layers:
        with tarfile.open(layer.tar) as tar:
            for name, text in _texts(tar):
                for component in _debian(text, suite) if name == _STATUS else _python(text):
                    found[component["purl"]] = component
    name, _, tag = image.name.rpartition(":")
    described = {"type": "container", "bom-ref": image.name, "name": name, "version": tag}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": described},
        "components": [found[purl] for purl in sorted(found)],
        "dependencies": [{"ref": image.name, "dependsOn": sorted(found)}],
    }


def _texts(tar: tarfile.TarFile) -> Iterator[tuple[str, str]]:
    for member in tar:
        name = member.name.removeprefix("./").removeprefix("/")
        if member.isfile() and (name == _STATUS or _METADATA.search(name)) and (file := tar.extractfile(member)):
            yield name, file.read().decode(errors="replace")


def _debian(text: str, suite: str) -> Iterator[dict[str, Any]]:
    for paragraph in text.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph.strip() + "\n")
        if not (fields["Status"] or "").endswith(" installed"):
            continue
        where = f"arch={fields['Architecture']}&distro=debian-{suite}"
        yield _component(fields["Package"], fields["Version"], f"pkg:deb/debian/{{}}@{{}}?{where}")


def _python(text: str) -> Iterator[dict[str, Any]]:
    fields = HeaderParser().parsestr(text)
    name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
    made = _component(name, fields["Version"], "pkg:pypi/{}@{}")
    licence = fields["License-Expression"]
    yield {**made, "licenses": [{"expression": licence}]} if licence else made


def _component(name: str, version: str, form: str) -> dict[str, Any]:
    purl = form.format(quote(name, safe=""), quote(version, safe=""))
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
