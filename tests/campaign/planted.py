"""Faults to plant in the operator, to see that the campaign finds them: `tests/run campaign --plant NAME`, or `all`.

Each replaces one place of one file in a copy of the operator. `where` is the story that is known to end in an alarm.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.support.operator_process import ROOT


@dataclass(frozen=True)
class Planted:
    """`wrong` in the place of `right`, which stands once in the file, a path below operator/deepseek_operator."""

    file: str
    right: str
    wrong: str
    where: str

    def planted(self, folder: Path) -> Path:
        """A copy of the operator's source root with the fault."""
        source = folder / "operator"
        shutil.copytree(ROOT / "operator", source, ignore=shutil.ignore_patterns("__pycache__"))
        place = source / "deepseek_operator" / self.file
        place.write_text(self.in_place(place.read_text()))
        return source

    def in_place(self, text: str) -> str:
        """The file with the fault. Raises ValueError when its place has changed."""
        if text.count(self.right) != 1:
            raise ValueError(f"{self.right!r} stands {text.count(self.right)} times in {self.file}")
        return text.replace(self.right, self.wrong)


PLANTED: dict[str, Planted] = {
    "the generation that was seen is the first for ever": Planted(
        "kinds/serving/status.py",
        "observed_generation=owner.metadata.generation,",
        "observed_generation=1,",
        "6:1-20",
    ),
    "a 429 ends the process": Planted(
        "controller/reconcile.py",
        "        except Throttled as error:\n            return",
        "        except Throttled as error:\n            raise SystemExit(1) from None\n            return",
        "8:1-20",
    ),
    "an error in a watch ends the watch": Planted(
        "controller/stream.py",
        "            trouble = await self._attempt()\n",
        "            trouble = await self._attempt()\n            if trouble is not None:\n                return\n",
        "6:1-20",
    ),
    "a resource that raises ends the process": Planted(
        "controller/workers.py",
        "            outcome = await _parked(drivers[key.resource], key, error, clock)",
        "            raise",
        "1:1-20",
    ),
    "old replicas go before new ones serve": Planted(
        "domain/policy/rollout.py",
        "    owed = grown - min(current.serving, grown)",
        "    owed = grown - min(current.specified, grown)",
        "6:1-20",
    ),
    "what is left of a revision stays": Planted(
        "kinds/serving/plan.py",
        "        elif ref.resource == SERVICE or revision_named(live) in over:",
        "        elif ref.resource == SERVICE:",
        "6:1-20",
    ),
}
