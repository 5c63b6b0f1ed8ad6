"""The tree keeps the shape that everything else relies on."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_operator_folder_never_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_top_level_holds_only_what_is_named() -> None:
    documents = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"}
    expected = {
        "pyproject.toml",
        "requirements.lock",
        *documents,
        "operator",
        "crds",
        "charts",
        "tests",
        "examples",
        "docs",
        "out",
    }
    names = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert names <= expected, sorted(names - expected)
