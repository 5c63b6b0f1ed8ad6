"""How sure a share is that was counted: what a comparison of two versions tells beside each."""

from math import sqrt

Z = 1.96
"""Standard deviations of a normal distribution within which 95 % lie."""


def interval(share: float, count: int) -> tuple[float, float] | None:
    """Where the true share lies with a confidence of 95 %, both ends from 0 to 1; None where nothing was counted.

    Wilson's score interval (1927), which holds for shares near 0 and 1 and for small counts, where the textbook one says
    that nothing can go wrong. `share`: of `count` trials that were of a kind, independent of each other.
    """
    if count < 1 or not 0 <= share <= 1:
        return None
    spread = Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    reach = Z / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    # At its ends the formula is exact, and floating point is not.
    least = middle - reach if share > 0 else 0.0
    most = middle + reach if share < 1 else 1.0
    return max(0.0, least), min(1.0, most)
