"""The pages of `ui`: what they show, over HTTP, and what they refuse."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import matplotlib.image
import pytest
from aiohttp import ClientSession, web

from deepseek_operator.cli.connection import api_server
from deepseek_operator.cli.finding import Reader
from deepseek_operator.cli.shown.page import STYLE, message, object_page, overview
from deepseek_operator.cli.shown.story import story
from deepseek_operator.cli.ui import HOST, application
from deepseek_operator.kinds.registry import KINDS
from tests.support.moments import START
from tests.support.served_life import Served, lines, serving
from tests.support.trainings import NAME, NAMESPACE, Life

PATH = f"/{NAMESPACE}/training/{NAME}"


class Pages:
    """The pages on a port of their own."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers."""
        url = f"http://{HOST}:{self.port}{path}"
        async with ClientSession() as session, session.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text(), dict(answer.headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A training whose first attempt crashed in its rank 0, and whose second runs."""
    life = Life().begin().running().crash(rank=0).later(60).running()
    with serving(life, tmp_path_factory.mktemp("served") / "kubeconfig") as served:
        served.logs = {served.rank_0(1): lines(1, 40), served.rank_0(2): lines(31, 90)}
        yield served


@pytest.fixture
async def pages(served: Served) -> AsyncIterator[Pages]:
    """Of that training."""
    async with api_server(Namespace(kubeconfig=str(served.kubeconfig), context=None)) as server:
        runner = web.AppRunner(application(Reader(server, NAMESPACE), KINDS))
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        yield Pages(runner.addresses[0][1])
        await runner.cleanup()


async def test_all_objects_are_listed_each_with_its_page(pages: Pages) -> None:
    status, text, _ = await pages.get("/")
    assert status == 200
    assert f'<a href="{PATH}">training/{NAME}</a>' in text
    assert (await pages.get(PATH))[0] == 200


async def test_a_training_shows_its_loss_with_restarts_in_a_drawing_and_in_words(pages: Pages) -> None:
    _, text, _ = await pages.get(PATH)
    assert text.count("<path d=") == 2
    assert "restart: " in text
    assert "attempt 2: steps 31 to 90, loss 16.13 to 5.556, under way (from the log)" in text
    assert "✔ Pod/" in text


def test_what_others_wrote_into_the_cluster_is_no_html() -> None:
    script = "<script>boom()</script>"
    condition = {"type": "Ready", "status": "False", "reason": script, "message": script, "lastTransitionTime": "t"}
    pod = {"kind": "Pod", "metadata": {"name": script, "uid": "p"}, "status": {"phase": script}}
    event = {"involvedObject": {"kind": script, "name": script}, "reason": script, "message": script}
    manifest: dict[str, Any] = {
        "metadata": {"name": script, "namespace": script, "uid": "u"},
        "spec": {},
        "status": {"phase": script, "conditions": [condition]},
    }
    for entry in KINDS:
        text = object_page(story(entry, manifest, [pod], [event], [script]), START, None, [{script: script}])
        text += overview([{"NAMESPACE": script, "NAME": f"{entry.word}/{script}", "MESSAGE": script}], script)
        text += message(script, script)
        assert "&lt;script&gt;" in text
        assert "<script" not in text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""])
async def test_a_name_that_was_made_to_point_here_is_refused(pages: Pages, host: str) -> None:
    status, text, _ = await pages.get(PATH, Host=host.format(port=pages.port))
    assert status in (400, 421)
    assert "Pod/" not in text


async def test_localhost_is_this_host(pages: Pages) -> None:
    assert (await pages.get("/", Host=f"localhost:{pages.port}"))[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_written(pages: Pages, method: str) -> None:
    assert (await pages.get(PATH, method))[0] == 405


@pytest.mark.parametrize(
    ("path", "words"),
    [("/team/training/other", "there is no DeepSeekTraining other"), ("/team/job/x", "no kind"), ("/x", "")],
)
async def test_what_is_not_there_is_a_page_that_says_so(pages: Pages, path: str, words: str) -> None:
    status, text, _ = await pages.get(path)
    assert status == 404
    assert words in text


@pytest.mark.parametrize("path", ["/", PATH, "/style.css", "/x"])
async def test_nothing_runs_and_nothing_is_loaded_from_elsewhere(pages: Pages, path: str) -> None:
    _, text, headers = await pages.get(path)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert headers["Cache-Control"] == "no-store"
    assert not re.search(r"https?://|<script|<iframe|\son\w+=", text)


async def test_pages_have_a_title_a_language_headings_in_order_and_labels(pages: Pages) -> None:
    for path in ("/", PATH):
        _, text, _ = await pages.get(path)
        assert '<html lang="en">' in text
        assert len(re.findall(r"<title>[^<]+</title>", text)) == 1
        assert text.count("<h1>") == 1
        assert text.index("<h1>") < text.find("<h2>") or "<h2>" not in text
        assert 'href="#main">Skip to the content' in text
        assert text.count("<th ") == text.count('<th scope="col">')
        for region in re.findall(r'role="region"[^>]*', text):
            assert "aria-label=" in region
            assert 'tabindex="0"' in region, "what scrolls can be reached by keys"
        for image in re.findall(r"<svg[^>]*", text):
            assert 'role="img" aria-label="' in image


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, as WCAG 2.2 has it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(("name", "least"), [("ink", 7.0), ("soft", 4.5), ("mark", 4.5), ("rule", 3.0)])
def test_colours_can_be_read(theme: int, name: str, least: float) -> None:
    colours = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", STYLE)[theme]
    paper = re.findall(r"--paper: (#[0-9a-f]{6})", STYLE)[theme]
    dark, light = sorted((luminance(colours), luminance(paper)))
    assert (light + 0.05) / (dark + 0.05) >= least


def test_a_serving_shows_its_revisions_and_their_weights() -> None:
    serving_kind = list(KINDS)[1]
    revisions = [
        {"name": "2222222222", "model": "tune@200", "replicas": 2, "ready": 1, "weight": 25},
        {"name": "1111111111", "model": "tune@100", "replicas": 4, "ready": 4, "weight": 75},
    ]
    manifest: dict[str, Any] = {
        "metadata": {"name": "chat", "namespace": "team", "uid": "u"},
        "spec": {},
        "status": {"stable": "1111111111", "revisions": revisions},
    }
    assert serving_kind.told is not None
    told = story(serving_kind, manifest, (), ())
    text = object_page(told, START, None, serving_kind.told.revisions(manifest))
    assert "<td>2222222222</td><td>tune@200</td><td>1/2</td><td>25 %</td>" in text
    assert "<td>stable</td>" in text


def test_an_empty_namespace_says_so() -> None:
    assert "Nothing is there." in overview([], "team")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_where_it_is_and_ends_when_it_is_told(served: Served, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "deepseek_operator.cli.kubectl", "ui", "--kubeconfig", str(served.kubeconfig)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "operator")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
        try:
            with urlopen(url, timeout=30) as answer:
                assert f"training/{NAME}".encode() in answer.read()
            process.send_signal(how)
            assert process.wait(60) == 0
        finally:
            process.kill()


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH, and CHROMIUM names none: apt-get install chromium"
)
async def test_a_browser_shows_them(pages: Pages, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    picture, url = tmp_path / "page.png", f"http://{HOST}:{pages.port}{PATH}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")

    async def shown(*asked: str) -> str:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *options, *asked, url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode == 0, err.decode()
        return out.decode()

    dom = await shown("--dump-dom")
    assert "attempt 2: steps 31 to 90, loss 16.13 to 5.556" in dom
    assert dom.count("<path d=") == 2
    await shown("--force-color-profile=srgb", f"--screenshot={picture}", "--window-size=1200,1500")
    pixels = matplotlib.image.imread(picture)[..., :3]
    assert pixels.shape[:2] == (1500, 1200)
    assert tuple(pixels[0, 0]) == (1.0, 1.0, 1.0), "the style sheet was let in"
    is_mark = (pixels[..., 0] > 0.5) & (pixels[..., 1] < 0.3) & (pixels[..., 2] < 0.3)
    assert is_mark.sum() > 50, "the restart is marked in its colour"
