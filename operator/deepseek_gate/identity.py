"""Who asks: by an API key, or by the claims of a token that the gateway has verified, where its policy says so."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import orjson

from deepseek_gate.answers import Denied, unauthorized
from deepseek_gate.keys import ALL, Key, digest_of
from deepseek_gate.knowledge import Knowledge

SCOPE = "deepseek:"
"""Begins the scopes of a token that name a serving or a model: `deepseek:chat`, `deepseek:*`. Others are not ours."""
_LONGEST_KEY = 512
_SUBJECT = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")
"""It becomes the value of a header: printable ASCII, and something."""
_TOKEN = re.compile(r"Bearer [A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
"""Nothing before it and after it: Envoy reads the token from the same header, and must find no other there."""
_NO_KEY = "You didn't provide an API key. Send it in an Authorization header: Authorization: Bearer YOUR_KEY."
_BAD_KEY = "Incorrect API key provided: it is unknown, revoked or expired."


class Way(Enum):
    """What may say who a client is. The policy of the gateway chooses, in the path by which it asks."""

    KEYS = "keys"
    JWT = "jwt"
    ANY = "any"


@dataclass(frozen=True)
class Shown:
    """What a request shows of its client, each as the headers of that name have it, in order.

    `subject` and `scopes` are claims of a verified token, which the gateway writes. They are believed as far as the token
    that is presented says the same: a gateway that asks first and verifies then, or that lets clients write these headers,
    refuses the request by the token itself.
    """

    authorization: tuple[str, ...] = ()
    api_key: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


def identify(shown: Shown, way: Way, known: Knowledge, now: datetime) -> Key | Denied:
    """The client's rights. Where both ways are open a key is looked for first, and a token by nobody but the gateway."""
    if way is not Way.KEYS and shown.subject:
        presented = _presented(shown) if way is Way.ANY else None
        key = known.keys.get(digest_of(presented)) if isinstance(presented, str) else None
        return _claimed(shown) if key is None else _current(key, now)
    if way is Way.JWT:
        return unauthorized("Send a token of the identity provider as Authorization: Bearer TOKEN.", "no_token")
    presented = _presented(shown)
    if not isinstance(presented, str):
        return presented
    key = known.keys.get(digest_of(presented))
    return unauthorized(_BAD_KEY, "unknown_key") if key is None else _current(key, now)


def _current(key: Key, now: datetime) -> Key | Denied:
    if key.expires is not None and now >= key.expires:
        return unauthorized(_BAD_KEY, "expired_key")
    return key


def _presented(shown: Shown) -> str | Denied:
    """The one key of a request: a Bearer, as OpenAI's libraries send it, or `x-api-key`, as Anthropic's do."""
    keys = {_bearer(value) for value in shown.authorization} | {value.strip() for value in shown.api_key}
    if not keys - {""}:
        return unauthorized(_NO_KEY, "no_key")
    if len(keys) > 1 or len(shown.authorization) > 1 or len(shown.api_key) > 1:
        return unauthorized("Send one API key, in one header.", "several_keys")
    key = keys.pop()
    return key if len(key) <= _LONGEST_KEY else unauthorized(_BAD_KEY, "unknown_key")


def _bearer(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


def _claimed(shown: Shown) -> Key | Denied:
    if len(shown.subject) != 1 or len(shown.scopes) > 1 or _SUBJECT.fullmatch(shown.subject[0]) is None:
        return unauthorized("The token's claims can't be read.", "bad_token")
    granted = _scopes(shown.scopes[0]) if shown.scopes else []
    token = _token(shown)
    if token.get("sub") != shown.subject[0] or sorted(_words(token.get("scope", ""))) != sorted(granted):
        return unauthorized("The token's claims are not those that the gateway tells.", "bad_token")
    names = frozenset(scope.removeprefix(SCOPE) for scope in granted if scope.startswith(SCOPE))
    return Key(f"jwt:{shown.subject[0]}", names)


def _scopes(value: str) -> list[str]:
    """Words between spaces (RFC 8693), or a list, which Envoy hands on as JSON in Base64."""
    try:
        listed = orjson.loads(base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return value.split()
    return _words(listed) if isinstance(listed, list) else value.split()


def _words(scopes: object) -> list[str]:
    if isinstance(scopes, list):
        return [one for one in scopes if isinstance(one, str)]
    return scopes.split() if isinstance(scopes, str) else []


def _token(shown: Shown) -> Mapping[str, object]:
    """Claims of the one token that is presented, unverified; empty where there is none, or not just one."""
    found = _TOKEN.fullmatch(shown.authorization[0]) if len(shown.authorization) == 1 else None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))) if found else {}
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def may(key: Key, name: str, serving: str) -> bool:
    """Whether the key may ask for `name`, which `serving` answers."""
    return bool(key.servings & {ALL, name, serving})
