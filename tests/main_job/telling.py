"""What a person sees in the terminal: headings with the time since the start, and a curve in characters."""

import itertools
import time
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


class Teller:
    """Prints a story; every line carries the seconds since it began."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._start

    def chapter(self, title: str) -> None:
        """A heading."""
        print(f"\n\033[1m{self.seconds:6.1f}s  {title}\033[0m", flush=True)

    def say(self, text: str) -> None:
        """One line."""
        print(f"{self.seconds:6.1f}s  {text}", flush=True)

    def show(self, text: str) -> None:
        """A block as it is, indented."""
        print("\n".join(f"         {line}" for line in text.rstrip().splitlines()), flush=True)


def sparkline(values: Sequence[float], width: int = 80) -> str:
    """The values, lowest ▁ to highest █, averaged into at most `width` columns; empty for none."""
    if not values:
        return ""
    columns = min(width, len(values))
    edges = [len(values) * column // columns for column in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int((mean - low) / span * len(_BARS)))] for mean in means)
