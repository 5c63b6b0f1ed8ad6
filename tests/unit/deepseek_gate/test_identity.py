"""Who asks: one key or one verified token, as the gateway's policy has it."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_gate.answers import Denied
from deepseek_gate.identity import Shown, Way, identify
from deepseek_gate.keys import Key, digest_of
from deepseek_gate.knowledge import Knowledge, known
from tests.support.gate import KEY, config_map, entry, token

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KNOWN = known(
    [
        config_map(
            "keys",
            {
                "alice": entry(KEY, "chat"),
                "old": entry("sk-ds-old", "chat", expires="2026-06-01T00:00:00Z"),
                "new": entry("sk-ds-new", "chat", expires="2026-06-01T00:00:01Z"),
            },
        )
    ]
)
BEARER = (f"Bearer {KEY}",)
TAKEN = {
    "a Bearer": Shown(BEARER),
    "a Bearer in small letters": Shown((f"bearer  {KEY} ",)),
    "Anthropic's header": Shown(api_key=(KEY,)),
    "the same in both": Shown(BEARER, (KEY,)),
}
REFUSED = {
    "nothing": (Shown(), "no_key"),
    "an empty Bearer": (Shown(("Bearer ",)), "no_key"),
    "another scheme": (Shown((f"Basic {KEY}",)), "no_key"),
    "the bare key": (Shown((KEY,)), "no_key"),
    "an unknown key": (Shown(("Bearer sk-ds-other",)), "unknown_key"),
    "its digest": (Shown((f"Bearer {digest_of(KEY)}",)), "unknown_key"),
    "a part of it": (Shown((f"Bearer {KEY[:-1]}",)), "unknown_key"),
    "a long one": (Shown(("Bearer " + "a" * 10_000,)), "unknown_key"),
    "an expired one": (Shown(("Bearer sk-ds-old",)), "expired_key"),
    "two headers": (Shown((*BEARER, *BEARER)), "several_keys"),
    "two headers that Envoy joined": (Shown((f"Bearer {KEY},Bearer {KEY}",)), "unknown_key"),
    "two different keys": (Shown(BEARER, ("sk-ds-other",)), "several_keys"),
    "a token's claims where keys count": (Shown(subject=("eve",), scopes=("deepseek:*",)), "no_key"),
}


@pytest.mark.parametrize("shown", TAKEN.values(), ids=TAKEN)
def test_a_known_key_says_who_asks(shown: Shown) -> None:
    assert identify(shown, Way.KEYS, KNOWN, NOW) == Key("alice", frozenset({"chat"}))


@pytest.mark.parametrize(("shown", "result"), REFUSED.values(), ids=REFUSED)
def test_whoever_shows_no_key_that_counts_is_unauthorized(shown: Shown, result: str) -> None:
    answer = identify(shown, Way.KEYS, KNOWN, NOW)
    assert isinstance(answer, Denied)
    assert (answer.status, answer.result) == (401, result)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert json.loads(answer.body)["error"]["code"] == "invalid_api_key"


def test_unknown_revoked_and_expired_keys_get_the_same_words() -> None:
    """Who guesses does not learn which keys there once were."""
    shown = [Shown((f"Bearer {key}",)) for key in ("sk-ds-other", "sk-ds-old", "a" * 10_000)]
    bodies = {answer.body for one in shown if isinstance(answer := identify(one, Way.KEYS, KNOWN, NOW), Denied)}
    assert len(bodies) == 1


def test_a_key_ends_at_its_moment_and_not_before() -> None:
    shown = Shown(("Bearer sk-ds-new",))
    assert isinstance(identify(shown, Way.KEYS, KNOWN, NOW), Key)
    assert isinstance(identify(shown, Way.KEYS, KNOWN, NOW + timedelta(seconds=1)), Denied)


LISTED = ["deepseek:chat", "deepseek:r1", "??>"]
SCOPES: dict[str, tuple[object, str]] = {
    "words": ("openid deepseek:chat deepseek:r1", "openid deepseek:chat deepseek:r1"),
    "a list as Envoy hands it on": (LISTED, base64.b64encode(json.dumps(LISTED).encode()).decode()),
    "the same in the URL's alphabet": (LISTED, base64.urlsafe_b64encode(json.dumps(LISTED).encode()).decode()),
    "the same without its end": (LISTED, base64.b64encode(json.dumps([*LISTED, 7]).encode()).decode().rstrip("=")),
}


def verified(subject: str = "bob", scopes: str | None = None, claimed: object = None) -> Shown:
    """A token and what the gateway tells of it; `claimed`: what it says itself, where Envoy writes that otherwise."""
    said = scopes if claimed is None else claimed
    return Shown((f"Bearer {token(subject, said)}",), (), (subject,), () if scopes is None else (scopes,))


@pytest.mark.parametrize("way", [Way.JWT, Way.ANY])
@pytest.mark.parametrize("scopes", SCOPES.values(), ids=SCOPES)
def test_a_verified_token_says_who_asks_where_the_policy_has_it(way: Way, scopes: tuple[object, str]) -> None:
    claimed, told = scopes
    shown = verified("bob", told, claimed)
    assert identify(shown, way, KNOWN, NOW) == Key("jwt:bob", frozenset({"chat", "r1"}))


@pytest.mark.parametrize("scopes", [None, "", "openid chat", "[]", "////"])
def test_a_token_without_our_scopes_may_nothing(scopes: str | None) -> None:
    assert identify(verified("bob", scopes), Way.JWT, KNOWN, NOW) == Key("jwt:bob", frozenset())


@pytest.mark.parametrize("way", [Way.JWT, Way.ANY])
@pytest.mark.parametrize(
    "shown",
    [
        Shown(subject=("bob",), scopes=("deepseek:*",)),
        Shown(BEARER[:0], (token("bob", "deepseek:*"),), ("bob",), ("deepseek:*",)),
        Shown((f"Bearer {token('eve', 'deepseek:*')}",), (), ("bob",), ("deepseek:*",)),
        Shown((f"Bearer {token('bob', 'deepseek:r1')}",), (), ("bob",), ("deepseek:*",)),
        Shown((f"Bearer {token('bob')}",), (), ("bob",), ("deepseek:*",)),
        Shown((f"Bearer {token('bob', 'deepseek:*')}",) * 2, (), ("bob",), ("deepseek:*",)),
        Shown((f"Bearer a.b.c {token('bob', 'deepseek:*')}",), (), ("bob",), ("deepseek:*",)),
        Shown(("Bearer e30.bm8ganNvbg.e30",), (), ("bob",), ("deepseek:*",)),
        Shown(("Bearer e30.W10.e30",), (), ("bob",), ("deepseek:*",)),
    ],
)
def test_claims_that_the_presented_token_does_not_make_are_not_believed(way: Way, shown: Shown) -> None:
    """A client wrote them, and a gateway that verifies after it has asked would see nothing of that."""
    answer = identify(shown, way, Knowledge(), NOW)
    assert isinstance(answer, Denied)
    assert answer.status == 401


def test_where_both_ways_are_open_a_known_key_wins() -> None:
    answer = identify(Shown(BEARER, subject=("bob",), scopes=("deepseek:*",)), Way.ANY, KNOWN, NOW)
    assert answer == Key("alice", frozenset({"chat"}))


def test_where_tokens_count_no_key_does() -> None:
    answer = identify(Shown(BEARER), Way.JWT, KNOWN, NOW)
    assert isinstance(answer, Denied)
    assert answer.status == 401


@pytest.mark.parametrize(
    "shown",
    [
        replace(verified("a"), subject=("a", "b")),
        replace(verified("a", "deepseek:*"), scopes=("x", "deepseek:*")),
        *(verified(one, "deepseek:*") for one in ("", " ", "é", "\udcff", "a\r\nb", "a" * 257)),
    ],
)
def test_claims_that_stand_twice_or_fit_into_no_header_are_not_believed(shown: Shown) -> None:
    assert isinstance(identify(shown, Way.JWT, KNOWN, NOW), Denied)


TUPLES = st.lists(st.text(), max_size=3).map(tuple)


@given(st.builds(Shown, TUPLES, TUPLES, TUPLES, TUPLES), st.sampled_from(Way))
def test_no_header_is_an_exception_nor_lets_in_by_a_key_that_nobody_has(shown: Shown, way: Way) -> None:
    answer = identify(shown, way, Knowledge(), NOW)
    assert isinstance(answer, Denied) or (way is not Way.KEYS and answer.client.startswith("jwt:"))
