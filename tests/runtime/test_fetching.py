"""A model from a mirror of the hub to a claim, by the pod's own command: once, whole, as promised, whatever happens meanwhile."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.mirror import Mirror

NAME = "deepseek-ai/tiny"
URI = f"hf://{NAME}@main"
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
BESIDE = {".gitattributes": b"*", "pytorch_model.bin": b"pickled", "original/params.json": b"{}"}


@dataclass
class Fetch:
    """One pod's process."""

    process: subprocess.Popen[bytes]
    words: Path
    log: Path

    def ended(self) -> int:
        return self.process.wait(120)

    @property
    def said(self) -> dict[str, Any]:
        self.ended()
        return dict(json.loads(self.words.read_text()))


@dataclass
class Place:
    """A claim, and the mirror that it is filled from."""

    claim: Path
    mirror: Mirror
    begun: int = 0

    def fetch(self, uri: str = URI, **variables: str) -> Fetch:
        self.begun += 1
        words, log = self.claim.with_name(f"words-{self.begun}"), self.claim.with_name(f"log-{self.begun}")
        told = {
            "DEEPSEEK_SOURCE_URI": uri,
            "DEEPSEEK_SOURCE_CLAIM": str(self.claim),
            "DEEPSEEK_TERMINATION_LOG": str(words),
            "HF_ENDPOINT": self.mirror.url,
            "PYTHONPATH": "operator",
            "PATH": os.environ["PATH"],
            "HOME": str(self.claim.parent),
            **variables,
        }
        with log.open("wb") as file:
            command = [sys.executable, "-m", "deepseek_runtime.fetcher"]
            return Fetch(subprocess.Popen(command, env=told, stderr=file), words, log)

    def folder(self, said: dict[str, Any]) -> dict[str, bytes]:
        """What lies where the last words say."""
        root = self.claim / said["source"]["folder"]
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    @property
    def beside(self) -> list[str]:
        """Names of all that is on the claim, folders of revisions and locks aside."""
        return sorted(p.name for p in self.claim.rglob("*") if p.name.endswith((".part", ".new", ".part.json")))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    claim = tmp_path / "claim"
    claim.mkdir()
    with Mirror().serving() as mirror:
        mirror.push(NAME, {**FILES, **BESIDE})
        yield Place(claim, mirror)


def came(mirror: Mirror, size: int) -> None:
    """Waits until so many bytes of the weights have gone out."""
    deadline = time.monotonic() + 60
    while mirror.sent[WEIGHTS] < size:
        assert time.monotonic() < deadline, "the mirror was not asked"
        time.sleep(0.01)


def test_a_model_is_fetched_once_and_the_branch_resolved_to_its_commit(place: Place) -> None:
    said = place.fetch().said
    commit = place.mirror.names[NAME]["main"]
    assert place.folder(said) == FILES
    lines = "".join(f"{hashlib.sha256(FILES[name]).hexdigest()}  {name}\n" for name in sorted(FILES))
    size = sum(map(len, FILES.values()))
    assert {**said["source"], "seconds": 0} == {
        "folder": f"sources/hf/deepseek-ai--tiny/{commit}",
        "revision": commit,
        "digest": f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}",
        "bytes": size,
        "fetchedBytes": size,
        "seconds": 0,
    }
    assert place.beside == []
    again = place.fetch().said
    assert (again["source"]["fetchedBytes"], again["source"]["digest"]) == (0, said["source"]["digest"])
    assert sum(place.mirror.sent.values()) == size


def test_the_token_is_for_the_mirror_alone(place: Place) -> None:
    place.mirror.tokens = frozenset({"hf_secret"})
    refused = place.fetch()
    assert refused.ended() == 77
    assert "or none that may be read without a token" in refused.said["message"]
    known = place.fetch(HF_TOKEN="hf_secret")
    assert place.folder(known.said) == FILES
    assert place.mirror.leaked == []
    assert "hf_secret" not in known.log.read_text() + known.words.read_text()


def test_a_killed_fetch_goes_on_where_it_was(place: Place) -> None:
    place.mirror.pause_s = 0.05
    first = place.fetch()
    came(place.mirror, MIB)
    # What is on disk is written in pieces of 4 MiB, or at the end: wait for the first of them.
    deadline = time.monotonic() + 60
    while not any(p.stat().st_size >= 4 * MIB for p in place.claim.rglob(WEIGHTS)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.process.send_signal(signal.SIGKILL)
    assert first.ended() == -signal.SIGKILL
    place.mirror.pause_s, before = 0.0, place.mirror.sent[WEIGHTS]
    second = place.fetch()
    assert place.folder(second.said) == FILES
    assert place.mirror.sent[WEIGHTS] - before <= 2 * MIB
    assert any(one.endswith(f"{WEIGHTS} bytes={4 * MIB}-") for one in place.mirror.asked)


def test_a_file_that_broke_off_or_was_in_trouble_goes_on_by_itself(place: Place) -> None:
    place.mirror.breaks[WEIGHTS] = 2
    place.mirror.troubles = 1
    assert place.folder(place.fetch().said) == FILES
    assert place.mirror.sent[WEIGHTS] == len(FILES[WEIGHTS])


def test_a_server_without_ranges_is_read_from_the_beginning(place: Place) -> None:
    place.mirror.breaks[WEIGHTS] = 1
    place.mirror.knows_ranges = False
    assert place.folder(place.fetch().said) == FILES


def test_a_flipped_byte_is_fetched_once_more_and_refused_if_it_stays(place: Place) -> None:
    place.mirror.flips[WEIGHTS] = 2
    fetch = place.fetch()
    assert fetch.ended() == 65
    promised = hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    assert fetch.said["message"] == (
        f"{WEIGHTS} came twice with another checksum than the source promises, sha256:{promised}"
    )
    assert not any((place.claim / "sources/hf/deepseek-ai--tiny").glob("*.json"))
    place.mirror.flips["config.json"] = 1
    assert place.folder(place.fetch().said) == FILES, "a byte that was changed on its way is mended by another try"


def test_a_byte_that_was_changed_on_the_claim_meanwhile_is_found(place: Place) -> None:
    place.mirror.pause_s = 0.05
    first = place.fetch()
    deadline = time.monotonic() + 60
    while not any(p.stat().st_size >= 4 * MIB for p in place.claim.rglob(WEIGHTS)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.process.kill()
    first.ended()
    place.mirror.pause_s = 0.0
    (part,) = place.claim.rglob(WEIGHTS)
    with part.open("r+b") as file:
        file.write(b"\x00\x00")
    assert place.folder(place.fetch().said) == FILES


def test_ten_fetches_of_one_claim_are_one_download(place: Place) -> None:
    place.mirror.pause_s = 0.01
    fetches = [place.fetch() for _ in range(10)]
    digests = {fetch.said["source"]["digest"] for fetch in fetches}
    assert len(digests) == 1
    assert sum(place.mirror.sent.values()) == sum(map(len, FILES.values()))
    assert sorted(fetch.said["source"]["fetchedBytes"] > 0 for fetch in fetches) == [False] * 9 + [True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_claim_is_told_of_before_a_byte_is_asked_for(place: Place) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=68m", "tmpfs", place.claim], check=True)
    try:
        fetch = place.fetch()
        assert fetch.ended() == 73
        assert fetch.said["message"] == (
            f"{URI} takes 9.0 MiB, and of the claim's 68.0 MiB are 4.0 MiB free: nothing was fetched"
        )
        assert not place.mirror.sent
        subprocess.run(["mount", "-o", "remount,size=100m", place.claim], check=True)
        assert place.folder(place.fetch().said) == FILES
    finally:
        subprocess.run(["umount", "-l", place.claim], check=True)


def test_a_moved_branch_is_another_folder_and_a_commit_needs_no_hub(place: Place) -> None:
    old = place.fetch().said["source"]
    place.mirror.push(NAME, {**FILES, "config.json": b"{}"})
    new = place.fetch().said["source"]
    assert old["folder"] != new["folder"]
    asked = len(place.mirror.asked)
    pinned = place.fetch(f"hf://{NAME}@{old['revision']}").said["source"]
    assert (pinned["folder"], pinned["fetchedBytes"]) == (old["folder"], 0)
    assert len(place.mirror.asked) == asked


def test_offline_only_what_lies_on_the_claim_is_used(place: Place) -> None:
    refused = place.fetch(HF_HUB_OFFLINE="1")
    assert refused.ended() == 64
    assert "no such name was ever resolved on it" in refused.said["message"]
    fetched = place.fetch().said["source"]
    asked = len(place.mirror.asked)
    assert place.fetch(HF_HUB_OFFLINE="1").said["source"]["folder"] == fetched["folder"]
    assert len(place.mirror.asked) == asked


def test_a_digest_is_held_to_and_the_right_one_told(place: Place) -> None:
    wrong = place.fetch(DEEPSEEK_SOURCE_DIGEST=f"sha256:{'0' * 64}")
    assert wrong.ended() == 64
    digest = wrong.said["message"].partition("has digest ")[2].partition(",")[0]
    assert place.fetch(DEEPSEEK_SOURCE_DIGEST=digest).said["source"]["digest"] == digest


@pytest.mark.parametrize(
    ("uri", "code", "words"),
    [
        (f"hf://{NAME}@v9", 64, "has no branch, tag or commit v9 of deepseek-ai/tiny; write one that it has"),
        ("hf://deepseek-ai/none@main", 64, "has no repository deepseek-ai/none"),
        ("hf://deepseek-ai/pickled@main", 64, "its weights are .bin; write a source with its weights as safetensors"),
        ("hf://deepseek-ai/escape@main", 64, "which is no path below a folder"),
        ("hf://deepseek-ai/gated@main", 77, "its conditions must be accepted by the account whose token"),
        ("hf://deepseek-ai/tiny", 64, "write hf://<organisation>/<model>@<branch, tag or commit>"),
        ("ftp://deepseek-ai/tiny@main", 64, "write hf://<organisation>/<model>@<branch, tag or commit>"),
    ],
)
def test_what_nobody_can_fetch_is_refused_with_what_to_write(place: Place, uri: str, code: int, words: str) -> None:
    place.mirror.push("deepseek-ai/pickled", {"config.json": b"{}", "pytorch_model.bin": b""})
    place.mirror.push("deepseek-ai/escape", {"a/../../model.safetensors": b""})
    place.mirror.push("deepseek-ai/gated", FILES)
    place.mirror.gated = frozenset({"deepseek-ai/gated"})
    fetch = place.fetch(uri)
    assert fetch.ended() == code, fetch.log.read_text()
    assert words in fetch.said["message"]
    assert not place.mirror.sent


def test_a_mirror_that_does_not_answer_is_no_fault_of_the_source(place: Place) -> None:
    fetch = place.fetch(HF_ENDPOINT="http://127.0.0.1:1")
    assert fetch.ended() == 69, fetch.log.read_text()
    assert "http://127.0.0.1:1 does not answer" in fetch.said["message"]
