"""What is generated in README and docs/ is what the code says, links lead somewhere, and no page is left out of the README."""

import re
from pathlib import Path

import pytest

from deepseek_operator.__main__ import main, tables
from deepseek_operator.cli.handbook import with_tables
from deepseek_operator.kinds.training.reasons import ADVICE, Reason

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TOLD = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
PAGES = tables()
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_renewed_with_what_they_tell_of(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert with_tables(page, text, PAGES[page]) == text, "run: python3 -m deepseek_operator tables"


@pytest.mark.parametrize("page", PAGES)
def test_a_table_without_its_markers_is_told(page: str) -> None:
    for name in PAGES[page]:
        text = (ROOT / "docs" / page).read_text().replace(f"<!-- {name}: end -->", "")
        with pytest.raises(ValueError, match=f"{page}: the markers of the table of {name} are missing"):
            with_tables(page, text, PAGES[page])


def test_the_command_renews_them(tmp_path: Path) -> None:
    for page in PAGES:
        told = (ROOT / "docs" / page).read_text()
        (tmp_path / page).write_text(re.sub(r"(?m)^\| .*\n", "", told))
    main(["tables", str(tmp_path)])
    for page in PAGES:
        for table in PAGES[page].values():
            assert table in (tmp_path / page).read_text()


def test_every_training_reason_has_its_advice() -> None:
    assert set(ADVICE) == set(Reason)


def _anchors(page: Path) -> set[str]:
    """As forges make them of headings."""
    heads = re.findall(r"(?m)^#+ (.+)$", FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TOLD, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    missing = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", FENCED.sub("", page.read_text())):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            missing.append(link)
    assert missing == []


def test_the_readme_lists_every_page() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")}
    assert pages - set(re.findall(r"\]\((docs/[^)#]+)\)", README)) == set()


def test_the_navigation_of_the_pages_for_a_browser_has_every_page() -> None:
    """`tests/run docs` would tell as well, later."""
    navigation = (ROOT / ".docs" / "mkdocs.yml").read_text()
    pages = [page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "runbooks"]
    assert [page.as_posix() for page in pages if f"- {page.as_posix()}\n" not in navigation] == []


def test_every_command_that_the_readme_names_exists() -> None:
    for command in ("examples/run", "examples/cluster", "tests/run"):
        assert command in README
        assert (ROOT / command).stat().st_mode & 0o111, f"{command} is not executable"


def test_what_is_shown_of_sizing_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "sizing.md").read_text()
    shown = re.search(r"```console\n\$ deepseek-operator (size .+)\n((?:.+\n|\n)+?)```", page)
    assert shown
    main(shown[1].split())
    printed = capsys.readouterr().out.splitlines()
    quoted = [line for line in shown[2].splitlines() if line and line != "…"]
    assert [line for line in printed if line in quoted] == quoted
