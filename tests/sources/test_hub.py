"""A model from a mirror of the hub to a claim, by the pod's own command: once, whole, as promised, whatever happens meanwhile."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.sources.fetches import FILES, MIB, SIZE, WEIGHTS, Place, digest
from tests.support.mirror import Mirror
from tests.support.ports import free_port

NAME = "deepseek-ai/tiny"
URI = f"hf://{NAME}@main"
BESIDE = {".gitattributes": b"*", "pytorch_model.bin": b"pickled", "original/params.json": b"{}"}


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with Mirror().serving() as running:
        running.push(NAME, {**FILES, **BESIDE})
        yield running


@pytest.fixture
def place(tmp_path: Path, mirror: Mirror) -> Place:
    claim = tmp_path / "claim"
    claim.mkdir()
    return Place(claim, URI, {"HF_ENDPOINT": mirror.url})


def test_a_model_is_fetched_once_and_the_branch_resolved_to_its_commit(place: Place, mirror: Mirror) -> None:
    said = place.fetch().said
    commit = mirror.names[NAME]["main"]
    assert place.folder(said) == FILES
    assert {**said["source"], "seconds": 0} == {
        "folder": f"sources/hf/deepseek-ai--tiny/{commit}",
        "revision": commit,
        "digest": digest(FILES),
        "bytes": SIZE,
        "fetchedBytes": SIZE,
        "seconds": 0,
        "readBytesPerSecond": 0,
    }
    assert place.beside == []
    again = place.fetch().said
    assert (again["source"]["fetchedBytes"], again["source"]["digest"]) == (0, said["source"]["digest"])
    assert sum(mirror.sent.values()) == SIZE


def test_the_token_is_for_the_mirror_alone(place: Place, mirror: Mirror) -> None:
    mirror.tokens = frozenset({"hf_secret"})
    refused = place.fetch()
    assert refused.ended() == 77
    assert "or none that may be read without a token" in refused.said["message"]
    known = place.fetch(HF_TOKEN="hf_secret")
    assert place.folder(known.said) == FILES
    assert mirror.leaked == []
    assert "hf_secret" not in known.log.read_text() + known.words.read_text()


def test_a_killed_fetch_goes_on_where_it_was(place: Place, mirror: Mirror) -> None:
    mirror.pause_s = 0.05
    first = place.fetch()
    place.has_come(WEIGHTS, 4 * MIB)  # It is written in pieces of that size, or at the end.
    first.kill()
    mirror.pause_s = 0.0
    said = place.fetch().said
    assert place.folder(said) == FILES
    assert said["source"]["fetchedBytes"] <= SIZE - 4 * MIB
    assert any(one.endswith(f"{WEIGHTS} bytes={4 * MIB}-") for one in mirror.asked)


def test_how_far_it_is_is_told_to_whoever_asks_its_pod(place: Place, mirror: Mirror) -> None:
    mirror.pause_s = 0.05
    port = free_port()
    fetch = place.fetch(DEEPSEEK_PROGRESS_PORT=str(port))
    place.has_come(WEIGHTS, 4 * MIB)
    told = {"done": 0}
    while told["done"] < 4 * MIB:  # What is counted follows what has come; the count ends at SIZE.
        with urlopen(f"http://127.0.0.1:{port}/progress", timeout=60) as answer:
            told = json.load(answer)["fetch"]
    fetch.kill()
    assert told["done"] < SIZE
    assert told["total"] == SIZE
    assert told["bytesPerSecond"] > 0
    assert told["etaSeconds"] == pytest.approx((SIZE - told["done"]) / told["bytesPerSecond"])


def test_a_file_that_broke_off_or_was_in_trouble_goes_on_by_itself(place: Place, mirror: Mirror) -> None:
    mirror.breaks[WEIGHTS] = 2
    mirror.troubles = 1
    assert place.folder(place.fetch().said) == FILES
    assert mirror.sent[WEIGHTS] == len(FILES[WEIGHTS])


def test_a_server_without_ranges_is_read_from_the_beginning(place: Place, mirror: Mirror) -> None:
    mirror.breaks[WEIGHTS] = 1
    mirror.knows_ranges = False
    assert place.folder(place.fetch().said) == FILES


def test_a_flipped_byte_is_fetched_once_more_and_refused_if_it_stays(place: Place, mirror: Mirror) -> None:
    mirror.flips[WEIGHTS] = 2
    fetch = place.fetch()
    assert fetch.ended() == 65
    promised = hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    assert fetch.said["message"] == (
        f"{WEIGHTS} came twice with another checksum than the source promises, sha256:{promised}"
    )
    assert not any((place.claim / "sources/hf/deepseek-ai--tiny").glob("*.json"))
    mirror.flips["config.json"] = 1
    assert place.folder(place.fetch().said) == FILES, "a byte that was changed on its way is mended by another try"


def test_a_byte_that_was_changed_on_the_claim_meanwhile_is_found(place: Place, mirror: Mirror) -> None:
    mirror.pause_s = 0.05
    first = place.fetch()
    place.has_come(WEIGHTS, 4 * MIB)
    first.kill()
    mirror.pause_s = 0.0
    (part,) = place.claim.rglob(WEIGHTS)
    with part.open("r+b") as file:
        file.write(b"\x00\x00")
    assert place.folder(place.fetch().said) == FILES


def test_ten_fetches_of_one_claim_are_one_download(place: Place, mirror: Mirror) -> None:
    mirror.pause_s = 0.01
    fetches = [place.fetch() for _ in range(10)]
    digests = {fetch.said["source"]["digest"] for fetch in fetches}
    assert len(digests) == 1
    assert sum(mirror.sent.values()) == SIZE
    assert sorted(fetch.said["source"]["fetchedBytes"] > 0 for fetch in fetches) == [False] * 9 + [True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_claim_is_told_of_before_a_byte_is_asked_for(place: Place, mirror: Mirror) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=68m", "tmpfs", place.claim], check=True)
    try:
        fetch = place.fetch()
        assert fetch.ended() == 73
        assert fetch.said["message"] == (
            f"{URI} takes 9.0 MiB, and of the claim's 68.0 MiB are 4.0 MiB free: nothing was fetched"
        )
        assert not mirror.sent
        subprocess.run(["mount", "-o", "remount,size=100m", place.claim], check=True)
        assert place.folder(place.fetch().said) == FILES
    finally:
        subprocess.run(["umount", "-l", place.claim], check=True)


def test_a_moved_branch_is_another_folder_and_a_commit_needs_no_hub(place: Place, mirror: Mirror) -> None:
    old = place.fetch().said["source"]
    mirror.push(NAME, {**FILES, "config.json": b"{}"})
    new = place.fetch().said["source"]
    assert old["folder"] != new["folder"]
    asked = len(mirror.asked)
    pinned = place.fetch(f"hf://{NAME}@{old['revision']}").said["source"]
    assert (pinned["folder"], pinned["fetchedBytes"]) == (old["folder"], 0)
    assert len(mirror.asked) == asked


def test_offline_only_what_lies_on_the_claim_is_used(place: Place, mirror: Mirror) -> None:
    refused = place.fetch(HF_HUB_OFFLINE="1")
    assert refused.ended() == 64
    assert "no such name was ever resolved on it" in refused.said["message"]
    fetched = place.fetch().said["source"]
    asked = len(mirror.asked)
    assert place.fetch(HF_HUB_OFFLINE="1").said["source"]["folder"] == fetched["folder"]
    assert len(mirror.asked) == asked


def test_a_digest_is_held_to_and_the_right_one_told(place: Place, mirror: Mirror) -> None:
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
def test_what_nobody_can_fetch_is_refused_with_what_to_write(
    place: Place, mirror: Mirror, uri: str, code: int, words: str
) -> None:
    mirror.push("deepseek-ai/pickled", {"config.json": b"{}", "pytorch_model.bin": b""})
    mirror.push("deepseek-ai/escape", {"a/../../model.safetensors": b""})
    mirror.push("deepseek-ai/gated", FILES)
    mirror.gated = frozenset({"deepseek-ai/gated"})
    fetch = place.fetch(uri)
    assert fetch.ended() == code, fetch.log.read_text()
    assert words in fetch.said["message"]
    assert not mirror.sent


def test_a_mirror_that_does_not_answer_is_no_fault_of_the_source(place: Place, mirror: Mirror) -> None:
    fetch = place.fetch(HF_ENDPOINT="http://127.0.0.1:1")
    assert fetch.ended() == 69, fetch.log.read_text()
    assert "http://127.0.0.1:1 does not answer" in fetch.said["message"]


@pytest.mark.parametrize("first", ["Model", "Adapter"])
def test_a_model_and_an_adapter_of_one_commit_are_not_taken_for_one_another(
    place: Place, mirror: Mirror, first: str
) -> None:
    adapter = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": FILES[WEIGHTS]}
    model = {**FILES, **adapter, "experts/one.safetensors": FILES[WEIGHTS]}
    mirror.push("team/both", model)
    (second,) = {"Model", "Adapter"} - {first}
    found = {want: place.fetch("hf://team/both@main", DEEPSEEK_SOURCE_WANT=want).said for want in (first, second)}
    assert place.folder(found["Model"]) == model
    assert place.folder(found["Adapter"]) == {name: text for name, text in model.items() if "/" not in name}


def test_of_an_adapter_what_lies_beside_its_configuration_is_fetched(place: Place, mirror: Mirror) -> None:
    adapter = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": FILES[WEIGHTS]}
    mirror.push("team/legal", {**adapter, "checkpoint-5/adapter_model.safetensors": b"x", "README.md.bin": b"x"})
    assert place.folder(place.fetch("hf://team/legal@main", DEEPSEEK_SOURCE_WANT="Adapter").said) == adapter
    whole = place.fetch(DEEPSEEK_SOURCE_WANT="Adapter")
    assert whole.ended() == 64
    assert f"{URI} has no adapter_config.json: it is no adapter in peft's form" in whole.said["message"]
