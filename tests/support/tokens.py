"""An identity provider of the tests': one key, its JWKS, and tokens that it signs."""

import base64
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ISSUER, AUDIENCE = "https://login.example.com", "deepseek"


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Provider:
    """Signs by RS256."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def jwks(self) -> str:
        """What it publishes."""
        public = self._key.public_key().public_numbers()
        n, e = (_text(number.to_bytes((number.bit_length() + 7) // 8)) for number in (public.n, public.e))
        return json.dumps({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": n, "e": e}]})

    def token(self, subject: str, scope: str, **claims: Any) -> str:
        """One that is good for ten minutes; `claims` in place of the usual ones."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope, "exp": int(time.time()) + 600}
        head, body = ({"alg": "RS256", "kid": "1", "typ": "JWT"}, {**usual, **claims})
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, body))
        return f"{signed}.{_text(self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
