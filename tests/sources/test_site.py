"""Models, adapters and data from a real web server to a claim, by the pod's own command: only from where the administrator allows,
once, whole, as promised, whatever happens meanwhile."""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.fetches import FILES, MIB, SIZE, WEIGHTS, Fetch, Place, content, digest
from tests.support.site import Site, sums

MODEL, DATA = "models/lite", "corpora/2026"
RECORDS = {"a.jsonl": content(6 * MIB, 1), "b.jsonl": b'{"text": "b"}\n', "README.md": b"---\n"}


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().serving() as server:
        server.put(MODEL, {**FILES, "pytorch_model.bin": b"pickled"})
        server.files |= {f"{DATA}/{name}": body for name, body in RECORDS.items()}
        yield server


@pytest.fixture
def place(tmp_path: Path, site: Site) -> Place:
    claim = tmp_path / "claim"
    claim.mkdir()
    return Place(claim, f"{site.url}/{MODEL}/", {"DEEPSEEK_SOURCE_ALLOWED": f"{site.url}/models {site.url}/corpora/"})


def data(place: Place, site: Site, path: str, **variables: str) -> Fetch:
    return place.fetch(f"{site.url}/{path}", DEEPSEEK_SOURCE_WANT="Data", **variables)


def words(fetch: Fetch, code: int) -> str:
    """What is told of a fetch that ended so."""
    assert fetch.ended() == code, fetch.log.read_text()
    return str(fetch.said["message"])


def test_a_folder_is_fetched_once_by_the_list_of_its_files(site: Site, place: Place) -> None:
    said = place.fetch().said
    assert place.folder(said) == FILES
    source = said["source"]
    assert source["folder"] == f"sources/web/127.0.0.1-{site.port}--models--lite/{source['revision']}"
    assert (source["digest"], source["bytes"], source["fetchedBytes"]) == (digest(FILES), SIZE, SIZE)
    assert place.fetch().said["source"]["fetchedBytes"] == 0
    assert place.beside == []


def test_another_content_at_the_address_is_another_revision(site: Site, place: Place) -> None:
    first = place.fetch().said["source"]
    site.put(MODEL, {**FILES, "config.json": b"{}"})
    second = place.fetch().said
    assert second["source"]["folder"] != first["folder"]
    assert place.folder(second) == {**FILES, "config.json": b"{}"}


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_one_file_of_data_is_told_from_another_by_its_version(site: Site, place: Place, header: str) -> None:
    site.tells = frozenset({header})
    first = data(place, site, f"{DATA}/a.jsonl").said
    assert place.folder(first) == {"a.jsonl": RECORDS["a.jsonl"]}
    assert data(place, site, f"{DATA}/a.jsonl").said["source"]["fetchedBytes"] == 0
    site.files[f"{DATA}/a.jsonl"] = content(6 * MIB, 2)
    assert data(place, site, f"{DATA}/a.jsonl").said["source"]["revision"] != first["source"]["revision"]


def test_a_folder_of_data_is_its_records(site: Site, place: Place) -> None:
    site.put(DATA, RECORDS)
    assert place.folder(data(place, site, f"{DATA}/").said) == {name: RECORDS[name] for name in ("a.jsonl", "b.jsonl")}


def test_of_an_adapter_what_lies_beside_its_configuration_is_fetched(site: Site, place: Place) -> None:
    adapter = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": FILES[WEIGHTS]}
    site.put("models/legal", {**adapter, "checkpoint-5/adapter_model.safetensors": b"x"})
    assert place.folder(place.fetch(f"{site.url}/models/legal/", DEEPSEEK_SOURCE_WANT="Adapter").said) == adapter


@pytest.mark.parametrize("is_promised", [True, False])
def test_a_killed_fetch_goes_on_where_it_was(site: Site, place: Place, is_promised: bool) -> None:
    if is_promised:
        site.put(DATA, RECORDS)
    site.pause_s = 0.05
    first = data(place, site, f"{DATA}/a.jsonl")
    place.has_come("a.jsonl", 4 * MIB)
    first.kill()
    site.pause_s = 0.0
    said = data(place, site, f"{DATA}/a.jsonl").said
    assert place.folder(said) == {"a.jsonl": RECORDS["a.jsonl"]}
    assert said["source"]["fetchedBytes"] == 2 * MIB
    assert f"GET {DATA}/a.jsonl bytes={4 * MIB}-" in site.asked


def test_what_is_changed_between_two_halves_is_not_mixed(site: Site, place: Place) -> None:
    site.breaks[f"{DATA}/a.jsonl"] = 1
    site.pause_s = 0.05
    fetch = data(place, site, f"{DATA}/a.jsonl")
    while site.sent[f"{DATA}/a.jsonl"] < MIB:
        assert fetch.process.poll() is None, fetch.log.read_text()
    site.files[f"{DATA}/a.jsonl"] = content(6 * MIB, 2)
    assert "a.jsonl was changed while it was fetched: it is listed anew" in words(fetch, 69)
    site.pause_s = 0.0
    assert place.folder(data(place, site, f"{DATA}/a.jsonl").said) == {"a.jsonl": content(6 * MIB, 2)}


def test_a_file_that_broke_off_goes_on_by_itself(site: Site, place: Place) -> None:
    site.breaks[f"{MODEL}/{WEIGHTS}"] = 2
    assert place.folder(place.fetch().said) == FILES
    assert site.sent[f"{MODEL}/{WEIGHTS}"] == len(FILES[WEIGHTS])


def test_a_server_that_knows_neither_ranges_nor_head_is_read_from_the_beginning(site: Site, place: Place) -> None:
    site.breaks[f"{MODEL}/{WEIGHTS}"] = 1
    site.knows_ranges = site.knows_head = False
    assert place.folder(place.fetch().said) == FILES


def test_a_flipped_byte_is_refused_and_nothing_of_it_stays(site: Site, place: Place) -> None:
    site.flips[f"{MODEL}/{WEIGHTS}"] = 2
    promised = hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    assert words(place.fetch(), 65) == (
        f"{WEIGHTS} came twice with another checksum than the source promises, sha256:{promised}"
    )
    assert not list(place.claim.rglob("*.safetensors.json"))
    assert place.folder(place.fetch().said) == FILES


def test_a_digest_is_held_to_where_nothing_else_promises(site: Site, place: Place) -> None:
    site.tells = frozenset()
    assert "tells neither ETag nor Last-Modified" in words(data(place, site, f"{DATA}/b.jsonl"), 64)
    right, wrong = digest({"b.jsonl": RECORDS["b.jsonl"]}), digest({"b.jsonl": b""})
    assert f"has digest {right}, where source.digest asks for {wrong}" in words(
        data(place, site, f"{DATA}/b.jsonl", DEEPSEEK_SOURCE_DIGEST=wrong), 64
    )
    assert data(place, site, f"{DATA}/b.jsonl", DEEPSEEK_SOURCE_DIGEST=right).ended() == 0


def test_the_token_is_for_the_source_alone(site: Site, place: Place) -> None:
    site.tokens = frozenset({"secret"})
    assert "answers 401 for" in words(place.fetch(), 77)
    with Site(files={"w": FILES[WEIGHTS]}).serving() as other:
        site.redirects[f"{MODEL}/{WEIGHTS}"] = f"{other.url}/w?signature=hidden"
        other.files["w?signature=hidden"] = FILES[WEIGHTS]
        allowed = f"{site.url}/models {other.url}"
        known = place.fetch(DEEPSEEK_SOURCE_TOKEN="secret", DEEPSEEK_SOURCE_ALLOWED=allowed)
        assert place.folder(known.said) == FILES
        assert other.sent["w?signature=hidden"] == len(FILES[WEIGHTS])
        assert other.got == []
    assert not {"secret", "hidden"} & set((known.log.read_text() + known.words.read_text()).replace("=", " ").split())


def test_a_redirect_to_where_nobody_allows_it_is_refused(site: Site, place: Place) -> None:
    with Site(files={"w": FILES[WEIGHTS]}).serving() as other:
        site.redirects[f"{MODEL}/{WEIGHTS}"] = f"{other.url}/w?signature=hidden"
        told = words(place.fetch(DEEPSEEK_SOURCE_TOKEN="secret"), 78)
        assert other.asked == []
    assert told == (
        f"127.0.0.1 sends its readers elsewhere, and {other.url}/w is not allowed: ask an administrator to add it, or a folder "
        "that it lies in, to sources.web.allowed in the chart's values"
    )


@pytest.mark.parametrize("way", ["/models/%2e%2e/private/w", "//127.0.0.2/models/w"])
def test_a_redirect_within_the_server_leads_no_further_than_what_is_allowed(site: Site, place: Place, way: str) -> None:
    site.files |= {"private/w": FILES[WEIGHTS]}
    site.redirects[f"{MODEL}/{WEIGHTS}"] = way
    assert "127.0.0.1 sends its readers elsewhere, and" in words(place.fetch(), 78)


def test_a_redirect_in_a_circle_ends(site: Site, place: Place) -> None:
    site.redirects[f"{MODEL}/SHA256SUMS"] = f"/{MODEL}/SHA256SUMS"
    assert "sends its readers on more than 10 times" in words(place.fetch(), 69)


@pytest.mark.parametrize("allowed", ["", "{url}/model"])
def test_nothing_is_asked_of_what_is_not_allowed(site: Site, place: Place, allowed: str) -> None:
    told = words(place.fetch(DEEPSEEK_SOURCE_ALLOWED=allowed.format(url=site.url)), 78)
    assert told.startswith(f"{site.url}/{MODEL}/ is not allowed: ask an administrator to add it")
    assert site.asked == []


def test_no_name_stands_for_the_address_of_a_metadata_service(place: Place, tmp_path: Path) -> None:
    """The system's own way to addresses, with one name that stands for it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\nof = socket.getaddrinfo\n"
        "socket.getaddrinfo = lambda host, *a, **k: of('169.254.169.254' if host == 'rebound.test' else host, *a, **k)\n"
    )
    path = os.pathsep.join(["operator", str(tmp_path)])
    told = words(
        place.fetch("http://rebound.test/models/", PYTHONPATH=path, DEEPSEEK_SOURCE_ALLOWED="http://rebound.test"), 78
    )
    assert told.startswith("rebound.test is 169.254.169.254")


@pytest.mark.parametrize(
    ("path", "status", "code", "said"),
    [
        (
            "SHA256SUMS",
            404,
            64,
            "has no SHA256SUMS, by which a folder says which files it has: write it there by: find . ",
        ),
        ("SHA256SUMS", 401, 77, "answers 401 for models/lite/SHA256SUMS"),
        ("SHA256SUMS", 503, 69, "answers 503"),
        (WEIGHTS, 404, 64, f"has no {MODEL}/{WEIGHTS}"),
        (WEIGHTS, 403, 77, f"answers 403 for {MODEL}/{WEIGHTS}"),
        (WEIGHTS, 500, 69, "answers 500"),
    ],
)
def test_what_a_server_refuses_is_told(site: Site, place: Place, path: str, status: int, code: int, said: str) -> None:
    site.statuses[f"{MODEL}/{path}"] = status
    assert said in words(place.fetch(), code)
    assert not list(place.claim.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (b"<html>Sign in</html>", "line 1 of"),
        (b"", "names 0 files"),
        (sums({"../w.safetensors": b""}), "which is no path below a folder"),
        (sums({"config.json": b"{}"}), "has no .safetensors file: it holds no weights"),
    ],
)
def test_a_list_that_is_none_is_refused(site: Site, place: Place, listed: bytes, said: str) -> None:
    site.files[f"{MODEL}/SHA256SUMS"] = listed
    assert said in words(place.fetch(), 64)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_full_claim_is_told_of_before_a_byte_is_asked_for(site: Site, place: Place) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=68m", "tmpfs", place.claim], check=True)
    try:
        told = words(place.fetch(), 73)
        assert told == f"{place.uri} takes 9.0 MiB, and of the claim's 68.0 MiB are 4.0 MiB free: nothing was fetched"
        assert set(site.sent) == {f"{MODEL}/SHA256SUMS"}
    finally:
        subprocess.run(["umount", "-l", place.claim], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_nobody_uses_any_more_goes_for_another(site: Site, place: Place) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", place.claim], check=True)
    try:
        folder = place.fetch(DEEPSEEK_CLAIM_UID="mine").said["source"]["folder"]
        long_ago = time.time() - 3 * 24 * 3600
        os.utime(f"{place.claim / folder}.json", (long_ago, long_ago))
        site.put("models/next", FILES)
        usage = json.dumps({"named": [], "lookedAt": time.time(), "spared": []})
        fetch = place.fetch(f"{site.url}/models/next/", DEEPSEEK_CLAIM_UID="mine", DEEPSEEK_CLAIM_USAGE=usage)
        assert fetch.ended() == 0, fetch.log.read_text()
        assert fetch.said["source"]["evicted"] == [f"{folder.removeprefix('sources/')} (9.0 MiB)"]
    finally:
        subprocess.run(["umount", "-l", place.claim], check=True)


def test_ten_fetches_of_one_claim_are_one_download(site: Site, place: Place) -> None:
    fetches = [place.fetch() for _ in range(10)]
    assert sorted(fetch.said["source"]["fetchedBytes"] for fetch in fetches) == [0] * 9 + [SIZE]
