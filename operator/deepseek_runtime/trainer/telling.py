"""What this pod's first rank tells: /progress its state, the log a line per step, the curve and a server the same."""

import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from deepseek_runtime.checkpoint.manifest import finite
from deepseek_runtime.clock import now
from deepseek_runtime.rundir import RunDirectory
from deepseek_runtime.trainer.curve import Curve
from deepseek_runtime.trainer.tracking import Tracking

# Files in memory are cheap but not free; nobody reads progress more often.
PUBLISH_EVERY_S = 0.2
# Steps over which the rate is taken: long enough to smooth saves, short enough to show a slow node.
RATE_STEPS = 20


@dataclass
class Telling:
    """Fields of /progress by their names there."""

    run: RunDirectory | None
    is_loud: bool
    curve: Curve | None = None
    trackings: tuple[Tracking, ...] = ()
    fields: dict[str, object] = field(default_factory=dict)
    _published_s: float = 0.0
    _recent: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=RATE_STEPS + 1))
    _tokens: int = 0
    _waited_s: float = 0.0

    @property
    def step_s(self) -> float | None:
        """Seconds per step as they are told; None where none are."""
        told = self.fields.get("stepSeconds")
        return told if isinstance(told, float) else None

    def tell(self, **fields: object) -> None:
        """Publishes these fields at once, and with them those that wait."""
        self._know(fields)
        self._publish()

    def step(
        self,
        step: int,
        epoch: float,
        loss: float,
        tokens: int,
        learnt: Mapping[str, float],
        least_s: float | None = None,
    ) -> None:
        """One optimizer step is done; `tokens` were read in it by the whole gang, `learnt` are more numbers of it.

        `least_s` are the seconds that its devices would have taken at their peak. Published every PUBLISH_EVERY_S.
        """
        self._recent.append((time.monotonic(), tokens, least_s or 0.0))
        self._tokens, self._waited_s = self._tokens + tokens, self._waited_s + learnt.get("dataWaitSeconds", 0.0)
        rate, step_s, mfu = self._rate()
        used = {} if least_s is None or mfu is None else {"mfu": mfu}
        left = int(str(self.fields.get("maxSteps", step))) - step
        self._know(
            {
                "state": "Training",
                "step": step,
                "epoch": round(epoch, 4),
                "loss": loss,
                **{name: value for name, value in learnt.items() if name != "dataWaitSeconds"},
                **used,
                "tokensPerSecond": rate,
                "stepSeconds": None if step_s is None else round(step_s, 6),
                "tokensTotal": self._tokens,
                "dataWaitSecondsTotal": round(self._waited_s, 6),
                "etaSeconds": None if step_s is None else round(left * step_s, 1),
            }
        )
        # That a step was made at all is known at once: whoever crashes after it has got somewhere (see the launcher's rounds).
        if step == self.fields.get("firstStep") or time.monotonic() - self._published_s >= PUBLISH_EVERY_S:
            self._publish()
        numbers = {name: finite(value) for name, value in {"loss": loss, **learnt, **used}.items()}
        self.log({"event": "step", "step": step, **numbers, "tokensPerSecond": rate})

    def log(self, record: Mapping[str, object]) -> None:
        """One JSON line to standard output and to the curve, from rank 0 alone."""
        if not self.is_loud:
            return
        timed = {"time": now(), **record}
        line = json.dumps(timed)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if self.curve is not None:
            (self.curve.step if record.get("event") == "step" else self.curve.add)(line)
        for tracking in self.trackings:
            tracking.hear(timed)

    def close(self) -> None:
        """Nothing more is told; the curve gets its last lines, and a server its last records."""
        if self.curve is not None:
            self.curve.close()
        for tracking in self.trackings:
            tracking.close()

    def _know(self, fields: Mapping[str, object]) -> None:
        # JSON knows no NaN, and its readers refuse the whole document.
        self.fields |= {name: finite(value) if isinstance(value, float) else value for name, value in fields.items()}

    def _publish(self) -> None:
        if self.run is not None:
            self._published_s = time.monotonic()
            self.run.publish_progress({**self.fields, "updatedAt": now()})

    def _rate(self) -> tuple[float | None, float | None, float | None]:
        """Tokens per second, seconds per step and utilisation over the recent steps; None after the first one."""
        if len(self._recent) < 2:
            return None, None, None
        passed = self._recent[-1][0] - self._recent[0][0]
        later = list(self._recent)[1:]
        tokens, least_s = sum(count for _, count, _ in later), sum(least for *_, least in later)
        return round(tokens / passed, 1), passed / len(later), round(least_s / passed, 6)
