"""The tree keeps the shape that everything else relies on."""

import os
import re
import subprocess
import sys
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


def test_the_local_cluster_knows_neither_the_tests_nor_the_operator() -> None:
    """It is what its users start: the tests are one of them, and the operator is installed on it like on any other."""
    texts = {path.name: path.read_text() for path in (ROOT / "examples" / "local_cluster").glob("*.py")}
    assert len(texts) > 20
    forbidden = re.compile(r"(?m)^\s*(?:from|import) (?:tests|deepseek_operator|deepseek_runtime)\b")
    assert not {name for name, text in texts.items() if forbidden.search(text)}


SHARED_TABLES = ("test_every_field", "test_bad_inputs")
"""Rows of one test that a real API server is asked about as well: they stand beside what fails without them."""


def test_what_tests_share_is_not_imported_from_another_test() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in (ROOT / "tests").rglob("*.py")
        for module in re.findall(r"(?m)^\s*from (tests\.\S*\.test_\w+) import", path.read_text())
        if not module.endswith(SHARED_TABLES)
    }
    assert not found, "write it into tests/support, or beside the tests of its layer"


def test_what_is_asked_of_the_real_vllm_needs_none_of_the_operators_own_packages() -> None:
    """Those tests run in the environment of trainer and engine, which lacks what only the operator imports."""
    lacking = ("orjson", "kopf", "kubernetes", "aiohttp")
    command = f"import sys; sys.modules.update(dict.fromkeys({lacking!r})); import tests.vllm.rendered"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
