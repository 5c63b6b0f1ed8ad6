"""Tokens whose keys the gateway fetches from the identity provider, by everything that takes part in it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.local_cluster.progress import wait_for
from tests.support.envoy import keys_of
from tests.support.gate import KEY
from tests.support.published import FETCHED_EVERY_S, Publisher, Verified
from tests.support.tokens import Provider
from tests.support.translation import statuses, translated

CHAT = "/v1/chat/completions"
WAYS = pytest.mark.parametrize("has_backend", [True, False], ids=["by a Backend", "by the address alone"])
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def old() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def new() -> Provider:
    return Provider()


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory, old: Provider) -> Iterator[Verified]:
    """By a Backend; each test leaves the keys of `old` published, and believed."""
    folder = tmp_path_factory.mktemp("published")
    with Publisher(folder, old.jwks).running() as publisher, Verified(folder, publisher).running() as made:
        soon(made, old, 200)
        yield made


def soon(bed: Verified, issuer: Provider, expected: int) -> None:
    wait_for(f"a token is answered with {expected}", lambda: bed.status(issuer) == expected, timeout_s=60)


def fetched(bed: Verified, times: int) -> None:
    """So often more, from now on."""
    asked = bed.publisher.fetches
    at = len(asked) + times
    wait_for("the keys are fetched again", lambda: len(asked) >= at, timeout_s=60)


def test_envoy_gateway_takes_all_that_the_operator_and_the_administrator_write(bed: Verified) -> None:
    for kind in ("httpRoutes", "securityPolicies"):
        assert {status for _, status in statuses(bed.found, kind)} == {"True"}, kind
    assert set(bed.publisher.fetches) == {"/realms/team/keys"}


def test_a_policy_whose_backend_is_missing_is_refused(bed: Verified, tmp_path: Path) -> None:
    """So that its route leads to no replica."""
    found = translated([one for one in bed.manifests if one["kind"] != "Backend"], tmp_path)
    assert ("Accepted", "False") in statuses(found, "securityPolicies")


def test_a_token_is_verified_by_the_keys_that_its_provider_publishes(
    bed: Verified, old: Provider, new: Provider
) -> None:
    assert bed.status(old) == 200
    assert bed.status(new) == 401, "nobody has published its key"
    assert bed.status(old, "deepseek:other") == 403
    assert bed.status(old, exp=int(time.time()) - 120) == 401
    assert bed.status(old, iss="https://evil.example.org") == 401
    assert bed.status(old, aud="another") == 403


def test_keys_that_are_changed_are_believed_soon_and_the_old_ones_no_longer(
    bed: Verified, old: Provider, new: Provider
) -> None:
    bed.publisher.jwks = new.jwks
    soon(bed, new, 200)
    assert bed.status(old) == 401
    bed.publisher.jwks = old.jwks
    soon(bed, old, 200)


@pytest.mark.parametrize("jwks", [None, "", "<html>"], ids=["503", "nothing", "a page"])
def test_while_the_provider_publishes_no_keys_its_last_ones_count(
    bed: Verified, old: Provider, new: Provider, jwks: str | None
) -> None:
    bed.publisher.jwks = jwks
    fetched(bed, 3)
    assert (bed.status(old), bed.status(new)) == (200, 401)
    bed.publisher.jwks = new.jwks
    soon(bed, new, 200)
    bed.publisher.jwks = old.jwks
    soon(bed, old, 200)


def test_nobody_is_let_in_by_a_token_before_there_are_keys(tmp_path: Path, old: Provider) -> None:
    with Publisher(tmp_path, None).running() as publisher:
        made = Verified(tmp_path, publisher, api_keys=True)
        made.config_maps.append(keys_of())
        with made.running() as bed:
            for jwks in (None, "", "<html>", '{"keys": []}'):
                publisher.jwks = jwks
                fetched(bed, 2)
                assert bed.status(old) == 401
            status, _, _ = bed.ask(CHAT, {"model": "chat"}, x_api_key=KEY)
            assert status == 200, "whoever has a key does not wait for the provider"
            publisher.jwks = old.jwks
            soon(bed, old, 200)


def test_by_a_backend_nobody_is_believed_whose_certificate_is_for_another_name(tmp_path: Path, old: Provider) -> None:
    evil = Publisher(tmp_path, old.jwks, name="evil.example.org")
    with evil.running(), Verified(tmp_path, evil).running() as bed:
        wait_for("Envoy has met it", lambda: evil.met > 1, timeout_s=60)
        assert bed.status(old) == 401
        assert evil.fetches == []


def test_by_the_address_alone_whatever_name_is_in_the_certificate_will_do(tmp_path: Path, old: Provider) -> None:
    """What docs/keys.md warns of: should Envoy Gateway ask for the name some day, `backendName` is needed for no more than
    an authority of one's own."""
    evil = Publisher(tmp_path, old.jwks, name="evil.example.org")
    with evil.running(), Verified(tmp_path, evil, has_backend=False).running() as bed:
        soon(bed, old, 200)


@WAYS
def test_nobody_is_believed_whom_no_authority_vouches_for(tmp_path: Path, old: Provider, has_backend: bool) -> None:
    (other := tmp_path / "other").mkdir()
    with Publisher(tmp_path, old.jwks).running() as publisher:
        publisher.authority = Publisher(other, None).authority
        with Verified(tmp_path, publisher, has_backend=has_backend).running() as bed:
            wait_for("Envoy has met it", lambda: publisher.met > 1, timeout_s=60)
            time.sleep(FETCHED_EVERY_S)
            assert bed.status(old) == 401
            assert publisher.fetches == []
