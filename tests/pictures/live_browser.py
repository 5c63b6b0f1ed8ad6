"""A page in headless Chromium that is led over its debugging pipe: waited for until it says what it should, then photographed."""

import base64
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, Any

from PIL import Image

from tests.pictures.browser import environment_of

_SECONDS = 240.0


@dataclass
class Page:
    """One page; each command is answered before the next is sent."""

    to: IO[bytes]
    by: IO[bytes]
    session: str = ""

    def __post_init__(self) -> None:
        self._numbers = count(1)

    def ask(self, method: str, **parameters: Any) -> Any:
        """The answer to a command of Chromium's debugging protocol; events in between are nobody's."""
        number = next(self._numbers)
        session = {"sessionId": self.session} if self.session else {}
        self.to.write(json.dumps({"id": number, "method": method, "params": parameters, **session}).encode() + b"\0")
        self.to.flush()
        while True:
            told = json.loads(self._message())
            if told.get("id") == number:
                assert "result" in told, told
                return told["result"]

    def _message(self) -> bytes:
        found = bytearray()
        while (letter := self.by.read(1)) != b"\0":
            assert letter, "Chromium ended"
            found += letter
        return bytes(found)

    def value(self, expression: str) -> Any:
        """What the page's JavaScript comes to."""
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def until(self, expression: str) -> None:
        """Returns once it is true; fails when it is not within four minutes."""
        ends_at = time.monotonic() + _SECONDS
        while not self.value(expression):
            assert time.monotonic() < ends_at, self.value("document.body.innerText")
            time.sleep(0.5)

    def picture(self) -> Image.Image:
        """Of what the window shows."""
        drawn = base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
        return Image.open(io.BytesIO(drawn)).convert("RGB")


@contextmanager
def opened(url: str, folder: Path, width: int, height: int) -> Iterator[Page]:
    """The page at that address in a window of so many CSS pixels; the browser ends with the block."""
    root = Path(os.environ["CHROMIUM_ROOT"])
    program = [
        str(root / "usr/lib/chromium/chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
    ]
    options = [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
    commands, answers = os.pipe(), os.pipe()
    shell = ["bash", "-c", f'exec 3<&{commands[0]} 4>&{answers[1]}; exec "$@"', "bash"]
    process = subprocess.Popen(
        [*shell, *program, *options],
        env=environment_of(root),
        pass_fds=(commands[0], answers[1]),
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    with os.fdopen(commands[1], "wb") as to, os.fdopen(answers[0], "rb") as by:
        try:
            page = Page(to, by)
            target = page.ask("Target.createTarget", url=url)["targetId"]
            page.session = page.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page.ask(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            yield page
        finally:
            process.terminate()
            process.wait(30)
