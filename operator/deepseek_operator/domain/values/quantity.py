"""Kubernetes quantities: what ``"500Gi"``, ``"1.5"`` and ``"250m"`` mean, and the one way to write a number of bytes.

The grammar is that of ``k8s.io/apimachinery/pkg/api/resource``: a signed decimal number, then a binary suffix
(Ki … Ei), a decimal one (n, u, m, k, M, G, T, P, E) or an exponent (e3, E3). Values are exact: fractions, not floats.
"""

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil

_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
}
_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE]))?", re.ASCII)
# A longer text is no quantity that an API server would have stored, and unbounded digits cost unbounded time.
_MAX_LENGTH = 64


class InvalidQuantity(ValueError):
    """The text is not a Kubernetes quantity."""


def parse(text: str) -> Fraction:
    """Return the exact value of a quantity in its base unit (bytes, cores, devices).

    Raises InvalidQuantity for anything that the API server would refuse as a quantity.
    """
    match = _FORM.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise InvalidQuantity(f"{text[:_MAX_LENGTH]!r} is not a quantity such as 500Gi, 2 or 250m")
    number, exponent, suffix = match.groups()
    if exponent is not None:
        return Fraction(number) * Fraction(10) ** int(exponent[1:])
    return Fraction(number) * _scale(suffix or "")


def to_bytes(text: str) -> int:
    """Return a quantity of memory or storage in whole bytes, rounded up as Kubernetes does."""
    return ceil(parse(text))


def binary(amount_bytes: int) -> str:
    """Write bytes with the largest binary suffix that keeps the number whole: the API server's canonical form."""
    for suffix, scale in reversed(_BINARY.items()):
        if amount_bytes and amount_bytes % scale == 0:
            return f"{amount_bytes // scale}{suffix}"
    return str(amount_bytes)


def gibibytes_up(amount_bytes: int) -> str:
    """Write bytes as whole ``Gi``, rounded up: how the size of a volume is asked for."""
    return f"{ceil(Fraction(amount_bytes, 1 << 30))}Gi"


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """Return the form under which the API server would store this quantity, so that equal amounts compare equal.

    Binary suffixes stay binary while the value is whole, exponents stay exponents; everything else is decimal, with
    the largest suffix that needs no fraction and never finer than nano (the API server rounds up there, away from
    zero).
    """
    value = parse(text)
    exponent = text[-1:].isdigit() and "e" in text.lower()
    if text[-1:] == "i" and value.denominator == 1 and abs(value) >= 1024:
        return ("-" if value < 0 else "") + binary(int(abs(value)))
    nanos = ceil(abs(value) * 10**9)
    sign = "-" if value < 0 and nanos else ""
    for suffix, scale in reversed(_DECIMAL.items()):
        amount = nanos / (scale * 10**9)
        if nanos and amount.denominator == 1:
            return f"{sign}{int(amount)}{_exponent(scale) if exponent else suffix}"
    return "0"


def _exponent(scale: Fraction) -> str:
    power = len(str(scale.numerator)) - len(str(scale.denominator))
    return f"e{power}" if power else ""


def _scale(suffix: str) -> Fraction:
    return Fraction(_BINARY[suffix]) if suffix in _BINARY else _DECIMAL[suffix]
