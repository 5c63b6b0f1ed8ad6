"""A page as headless Chromium prints it, as SVG whose letters are shapes: no script, no font, nothing from elsewhere.

$CHROMIUM_ROOT and $POPPLER_ROOT are folders with Debian's programs and what they need, which `need_browser` of environment.sh makes.
"""

import os
import re
import subprocess
from pathlib import Path

_SECONDS = 180


def printed(url: str, title: str, folder: Path) -> str:
    """The first sheet of the page."""
    root, paper = Path(os.environ["CHROMIUM_ROOT"]), folder / "page.pdf"
    program = [str(root / "usr/lib/chromium/chromium"), "--headless", "--no-sandbox", "--disable-gpu"]
    options = [f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer", f"--print-to-pdf={paper}"]
    _run([*program, *options, url], root)
    poppler = Path(os.environ["POPPLER_ROOT"])
    drawn = folder / "page.svg"
    _run([str(poppler / "usr/bin/pdftocairo"), "-svg", "-f", "1", "-l", "1", str(paper), str(drawn)], poppler)
    text = re.sub(r"<\?xml[^>]*\?>\s*", "", drawn.read_text())
    text = re.sub(
        r"-?\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", text
    )  # Half of it is digits that nobody sees.
    return text.replace(">", f' role="img">\n<title>{title}</title>\n<rect width="100%" height="100%" fill="#fff"/>', 1)


def environment_of(root: Path) -> dict[str, str]:
    """Of a program that lies there with all that it needs."""
    folders = ("usr/lib/*-linux-gnu", "usr/lib/*-linux-gnu/pulseaudio", "lib/*-linux-gnu")
    libraries = ":".join(str(found) for one in folders for found in root.glob(one))
    return {
        **os.environ,
        "LD_LIBRARY_PATH": libraries,
        "FONTCONFIG_SYSROOT": str(root),
        "HOME": str(root / "tmp"),
    }


def _run(command: list[str], root: Path) -> None:
    environment = environment_of(root)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
