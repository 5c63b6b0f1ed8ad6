"""Golden files: what was rendered once and read by a person. ``pytest tests/golden --update-golden`` writes them anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", default=False, help="write golden files instead of comparing"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with the golden file of a relative name, or write that file."""
    update = request.config.getoption("--update-golden", default=False)

    def check(name: str, text: str) -> None:
        file = FOLDER / name
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        assert file.exists(), f"no golden file {name}: run pytest tests/golden --update-golden and read what it writes"
        assert text == file.read_text()

    return check
