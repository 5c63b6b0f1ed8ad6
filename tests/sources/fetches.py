"""Fetches by the pod's own command, and the claim that they fill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1 << 20
WEIGHTS = "model-00001-of-00002.safetensors"


def content(size: int, seed: int) -> bytes:
    """Bytes that repeat nowhere, so that no piece can stand for another."""
    return b"".join(hashlib.sha256(f"{seed} {at}".encode()).digest() for at in range(size // 32))


FILES = {
    "config.json": b'{"model_type": "deepseek_v3"}',
    "tokenizer/empty.json": b"",
    WEIGHTS: content(6 * MIB, 1),
    "model-00002-of-00002.safetensors": content(3 * MIB, 2),
}
SIZE = sum(map(len, FILES.values()))


@dataclass
class Fetch:
    """One pod's process."""

    process: subprocess.Popen[bytes]
    words: Path
    log: Path

    def ended(self) -> int:
        return self.process.wait(300)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        assert self.ended() == -signal.SIGKILL

    @property
    def said(self) -> dict[str, Any]:
        self.ended()
        return dict(json.loads(self.words.read_text()))


@dataclass
class Place:
    """A claim, and what every fetch to it is told.

    Attributes:
        uri: the usual source.
    """

    claim: Path
    uri: str
    told: Mapping[str, str] = field(default_factory=dict)
    begun: int = 0

    def fetch(self, uri: str = "", **variables: str) -> Fetch:
        self.begun += 1
        words, log = self.claim.with_name(f"words-{self.begun}"), self.claim.with_name(f"log-{self.begun}")
        told = {
            "DEEPSEEK_SOURCE_URI": uri or self.uri,
            "DEEPSEEK_SOURCE_CLAIM": str(self.claim),
            "DEEPSEEK_TERMINATION_LOG": str(words),
            "PYTHONPATH": os.pathsep.join(filter(None, ["operator", os.environ.get("PYTHONPATH")])),
            "PATH": os.environ["PATH"],
            "HOME": str(self.claim.parent),
            **self.told,
            **variables,
        }
        with log.open("wb") as file:
            command = [sys.executable, "-m", "deepseek_runtime.fetcher"]
            return Fetch(subprocess.Popen(command, env=told, stderr=file), words, log)

    def folder(self, said: dict[str, Any]) -> dict[str, bytes]:
        """What lies where the last words say."""
        root = self.claim / said["source"]["folder"]
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def has_come(self, name: str, size: int) -> None:
        """Waits until so many bytes of a file are on the claim."""
        deadline = time.monotonic() + 120
        while not any(path.stat().st_size >= size for path in self.claim.rglob(name)):
            assert time.monotonic() < deadline, f"{name} does not come"
            time.sleep(0.005)

    @property
    def beside(self) -> list[str]:
        """What is on the claim and is neither a folder of a revision, its manifest nor a lock."""
        return sorted(p.name for p in self.claim.rglob("*") if p.name.endswith((".part", ".new", ".part.json")))


def digest(files: Mapping[str, bytes]) -> str:
    """As docs/sources.md says that it is made."""
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
