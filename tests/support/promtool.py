"""promtool, Debian's, which `need_promtool` of environment.sh installs."""

import subprocess


def promtool(*arguments: str, given: str = "", folder: str | None = None) -> tuple[int, str]:
    """Its exit status, and all that it says."""
    done = subprocess.run(
        ["promtool", *arguments], input=given, capture_output=True, text=True, timeout=60, check=False, cwd=folder
    )
    return done.returncode, done.stdout + done.stderr
