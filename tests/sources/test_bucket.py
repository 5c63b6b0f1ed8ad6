"""A model from a real S3 server to a claim, by the pod's own command."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.fetches import FILES, MIB, SIZE, WEIGHTS, Place, content, digest
from tests.support.s3 import S3, flip, serving

BUCKET, PREFIX = "team-models", "v2/lite"
URI = f"s3://{BUCKET}/{PREFIX}"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3]:
    with serving(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def place(tmp_path: Path, s3: S3) -> Place:
    claim = tmp_path / "claim"
    claim.mkdir()
    return Place(claim, URI, s3.variables)


def test_what_lies_below_a_prefix_is_fetched_once(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, {**FILES, "pytorch_model.bin": b"pickled"})
    s3.put(BUCKET, "v2/lite-other", {"model.safetensors": b"another"})
    said = place.fetch().said
    assert place.folder(said) == FILES
    assert said["source"]["folder"] == f"sources/s3/{BUCKET}--v2--lite/{said['source']['revision']}"
    assert (said["source"]["digest"], said["source"]["bytes"]) == (digest(FILES), SIZE)
    assert place.fetch().said["source"]["fetchedBytes"] == 0
    assert place.beside == []


def test_a_model_and_an_adapter_of_one_prefix_are_not_taken_for_one_another(s3: S3, place: Place) -> None:
    adapter = {"adapter_config.json": b'{"r": 8}', "adapter_model.safetensors": FILES[WEIGHTS]}
    model = {**FILES, **adapter, "experts/one.safetensors": FILES[WEIGHTS]}
    s3.put(BUCKET, PREFIX, model)
    found = {want: place.fetch(DEEPSEEK_SOURCE_WANT=want).said for want in ("Adapter", "Model")}
    assert place.folder(found["Model"]) == model
    assert place.folder(found["Adapter"]) == {name: text for name, text in model.items() if "/" not in name}


def test_another_content_is_another_revision(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, FILES)
    first = place.fetch().said["source"]
    s3.put(BUCKET, PREFIX, {"config.json": b"{}"})
    second = place.fetch().said
    assert second["source"]["folder"] != first["folder"]
    assert place.folder(second) == {**FILES, "config.json": b"{}"}


def test_a_killed_fetch_goes_on_where_it_was(s3: S3, place: Place) -> None:
    large = {WEIGHTS: content(4 * MIB, 1) * 64}
    s3.put(BUCKET, PREFIX, large, in_parts=True)
    first = place.fetch()
    place.has_come(WEIGHTS, 8 * MIB)
    first.kill()
    (part,) = place.claim.rglob(WEIGHTS)
    there = part.stat().st_size
    assert 8 * MIB <= there < 256 * MIB
    said = place.fetch().said
    assert place.folder(said) == large
    assert said["source"]["fetchedBytes"] == 256 * MIB - there
    assert said["source"]["readBytesPerSecond"] > 0, "a file of that size tells how fast the claim is read"


def test_a_flipped_byte_is_refused(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, FILES)
    flip(s3.file(BUCKET, f"{PREFIX}/{WEIGHTS}"))
    fetch = place.fetch()
    assert fetch.ended() == 65, fetch.log.read_text()
    promised = hashlib.md5(FILES[WEIGHTS]).hexdigest()
    assert (
        fetch.said["message"] == f"{WEIGHTS} came twice with another checksum than the source promises, md5:{promised}"
    )


def test_sums_beside_the_files_are_held_to_where_an_etag_is_no_checksum(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, FILES, in_parts=True)
    lines = "".join(f"{hashlib.sha256(body).hexdigest()}  ./{name}\n" for name, body in FILES.items())
    s3.put(BUCKET, PREFIX, {"SHA256SUMS": lines.encode()})
    assert place.folder(place.fetch().said) == FILES
    other = Place(place.claim.with_name("other"), URI, s3.variables)
    other.claim.mkdir()
    flip(s3.file(BUCKET, f"{PREFIX}/{WEIGHTS}"))
    fetch = other.fetch()
    assert fetch.ended() == 65, fetch.log.read_text()
    assert "than the source promises, sha256:" in fetch.said["message"]


def test_a_digest_is_held_to_where_nothing_else_promises(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, FILES, in_parts=True)
    flip(s3.file(BUCKET, f"{PREFIX}/{WEIGHTS}"))
    fetch = place.fetch(DEEPSEEK_SOURCE_DIGEST=digest(FILES))
    assert fetch.ended() == 64
    assert f"where source.digest asks for {digest(FILES)}" in fetch.said["message"]


def test_ten_fetches_of_one_claim_are_one_download(s3: S3, place: Place) -> None:
    s3.put(BUCKET, PREFIX, FILES)
    fetches = [place.fetch() for _ in range(10)]
    assert sorted(fetch.said["source"]["fetchedBytes"] for fetch in fetches) == [0] * 9 + [SIZE]


@pytest.mark.parametrize(
    ("uri", "variables", "code", "words"),
    [
        ("s3://no-such-bucket/v2", {}, 64, "has no bucket no-such-bucket"),
        (f"s3://{BUCKET}/v3", {}, 64, f"s3://{BUCKET}/v3 holds no object: correct the bucket or the prefix"),
        (URI, {"AWS_SECRET_ACCESS_KEY": "wrong"}, 77, f"lets nobody read {URI} with these keys"),
        (URI, {"AWS_ACCESS_KEY_ID": ""}, 77, f"lets nobody read {URI} without keys"),
        (URI, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, 69, "http://127.0.0.1:1 does not answer"),
        (f"s3://{BUCKET}", {}, 64, "or s3://<bucket>/<prefix>"),
        (f"s3://{BUCKET}/../x", {}, 64, "or s3://<bucket>/<prefix>"),
    ],
)
def test_what_nobody_can_fetch_is_refused_with_what_to_write(
    s3: S3, place: Place, uri: str, variables: dict[str, str], code: int, words: str
) -> None:
    s3.put(BUCKET, PREFIX, FILES)
    fetch = place.fetch(uri, **variables)
    assert fetch.ended() == code, fetch.log.read_text()
    assert words in fetch.said["message"]
    assert not list(place.claim.rglob("*.safetensors"))
