"""Each picture that README and docs/ name is there, says in words what it shows, and is small: SVG that runs and loads nothing, or PNG."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDER = ROOT / "docs" / "pictures"
NAMED = [
    (page, words, page.parent / place)
    for page in PAGES
    for words, place in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text())
]
PICTURES = sorted(FOLDER.iterdir())
MOST_BYTES = 150_000
SVG = "{http://www.w3.org/2000/svg}"


def faults(text: str) -> Iterator[str]:
    """What an SVG has that may run, load or follow something, or lacks for whoever can't see it."""
    root = ElementTree.fromstring(text)
    if root.tag != f"{SVG}svg":
        yield "it is no SVG"
    if not (root.findtext(f"{SVG}title") or "").strip():
        yield "it has no title"
    for element in root.iter():
        name = element.tag.removeprefix(SVG)
        if name in ("script", "foreignObject", "image", "iframe", "a", "animate", "set"):
            yield f"<{name}>"
        for key, value in element.attrib.items():
            bare = key.rpartition("}")[2]
            if bare.startswith("on") or (bare in ("href", "src") and not value.startswith("#")):
                yield f"{bare}={value}"
            yield from _loaded(value)
        yield from _loaded(element.text or "" if name == "style" else "")
    if "<!" in text:
        yield "a declaration"


def _loaded(style: str) -> Iterator[str]:
    yield from re.findall(r"@import.*|url\((?!['\"]?#)[^)]*\)", style)


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_small_and_an_svg_runs_and_loads_nothing(picture: Path) -> None:
    assert picture.suffix in (".svg", ".png")
    assert picture.stat().st_size < MOST_BYTES
    if picture.suffix == ".svg":
        assert list(faults(picture.read_text())) == []
    else:
        assert picture.read_bytes().startswith(PNG)


def test_every_picture_that_is_named_is_there_and_none_is_left_over() -> None:
    assert {place.resolve() for _, _, place in NAMED} == {*PICTURES}


def test_every_picture_has_words_in_its_place() -> None:
    assert [place.name for _, words, place in NAMED if len(words.split()) < 5] == []


@pytest.mark.parametrize(
    "planted",
    [
        "<script>1</script>",
        '<rect onclick="1"/>',
        '<image href="https://example.com/x.png"/>',
        '<use href="https://example.com/x.svg#a"/>',
        "<style>@import 'https://example.com/x.css';</style>",
        "<style>@font-face { src: url('https://example.com/x.woff2') }</style>",
        '<rect fill="url(https://example.com/x.svg#a)"/>',
        "<foreignObject/>",
    ],
)
def test_what_may_run_or_load_is_seen(planted: str) -> None:
    harmless = '<svg xmlns="http://www.w3.org/2000/svg"><title>t</title><use href="#a"/><rect fill="url(#a)"/>{}</svg>'
    assert list(faults(harmless.format(""))) == []
    assert list(faults(harmless.format(planted)))
