"""The pages that `tests/run docs` has made: what a browser shows is what was written, and nothing comes from elsewhere."""

import os
import re
from pathlib import Path

import pytest

SITE = Path(os.environ.get("DOCS_SITE", "/nonexistent"))
PAGES = sorted(path for path in SITE.rglob("*.html") if path.name != "404.html")
pytestmark = pytest.mark.skipif(not PAGES, reason="tests/run docs makes the pages first")


def _article(page: Path) -> str:
    """What is read, without code."""
    text = page.read_text()
    article = text[text.index("<article") : text.index("</article>")]
    return re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", article)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(SITE).as_posix())
def test_no_markup_is_left_in_the_text(page: Path) -> None:
    """MkDocs wants a blank line where forges do without: a list or a table that is none shows its dashes."""
    text = _article(page)
    assert re.findall(r"(?m)^(?:<p>)?(?:[-*] |\d+\. |\|).{0,80}", text) == []
    assert re.findall(r"\[[^\]]{1,60}\]\([^)]{1,80}\)|```.{0,40}|(?m:^#+ .*)", text) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(SITE).as_posix())
def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    loaded = re.findall(r'<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)="?(https?:[^" >]+)', page.read_text())
    assert loaded == []


def test_there_is_a_page_for_each_document() -> None:
    root = Path(__file__).parents[2]
    written = {path.relative_to(root).with_suffix(".html") for path in (root / "docs").rglob("*.md")}
    assert written <= {page.relative_to(SITE) for page in PAGES}
