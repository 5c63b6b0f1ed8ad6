"""Makes the pictures of the dashboards again: the chart's files in Perses' own page, over a Prometheus that was told a made-up story."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pictures.live_browser import opened
from tests.pictures.told import scraped
from tests.support.pages import serving

ROOT = Path(__file__).parents[2]
TO = Path(os.environ.get("PICTURES", ROOT / "docs" / "pictures"))
FOLDER = ROOT / "charts" / "deepseek-operator" / "files" / "dashboards" / "perses"
WIDE = 1200
HIGH = {"fleet": 1830, "training": 2490, "serving": 1345, "operator": 1690}
"""In pixels, to the end of a row."""
COLOURS = 64
DRAWN = """(() => {
  const seen = [...document.querySelectorAll('[data-testid=panel]')].filter((one) => one.getBoundingClientRect().top < innerHeight - 50);
  return seen.length > 3 && seen.every((one) => one.querySelector('canvas') || one.innerText.trim().includes('\\n')) && !document.querySelector('[role=progressbar]');
})()"""
"""Each panel in view has a drawing, or more text than its title, and nothing is asked for any more."""
STILL_S = 3.0
"""How long lines and numbers move to their places."""
_HTML = "text/html; charset=utf-8"


@contextmanager
def pages(prometheus: str) -> Iterator[str]:
    """The address under which each dashboard has its page."""
    made = Path(os.environ["PERSES"])
    script, style = ((made / name).read_text() for name in ("page.js", "page.css"))

    def page(name: str) -> bytes:
        if name not in HIGH:
            return b""
        metadata = {"name": name, "project": "deepseek", "version": 0}
        dashboard = {
            "kind": "Dashboard",
            "metadata": metadata,
            "spec": json.loads((FOLDER / f"{name}.json").read_text()),
        }
        shown = json.dumps({"dashboard": dashboard, "prometheusUrl": prometheus})
        head = f'<!doctype html><html lang="en"><title>{name}</title><style>{style}</style><div id="root"></div>'
        return f"{head}<script>window.shown = {shown}</script><script>{script}</script></html>".encode()

    with serving(page, _HTML) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.timeout(1200)
def test_the_pictures_of_the_dashboards_are_made_again(tmp_path: Path) -> None:
    store = tmp_path / "prometheus"
    store.mkdir()
    with scraped(store) as prometheus, pages(prometheus.url) as address:
        for name, height in HIGH.items():
            folder = tmp_path / name
            folder.mkdir()
            with opened(f"{address}/{name}", folder, WIDE, height) as page:
                page.until(DRAWN)
                time.sleep(STILL_S)
                said = page.value("document.body.innerText")
                assert "No data" not in said, f"{name}: a panel is empty"
                assert not page.value("document.querySelectorAll('[role=alert]').length"), said
                page.picture().quantize(COLOURS).save(TO / f"dashboard-{name}.png", optimize=True)
