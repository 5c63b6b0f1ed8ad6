"""Fates of an operator that is killed around each of its writes."""

from tests.support.fault_proxy import Fate, Write


class BeforeEach:
    """Every write is cut off once, and passes when another process tries it again."""

    def __init__(self) -> None:
        self.killed: list[Write] = []
        self._owed: set[Write] = set()

    def __call__(self, _number: int, write: Write) -> Fate:
        if write in self._owed:
            self._owed.remove(write)
            return Fate.PASS
        self._owed.add(write)
        self.killed.append(write)
        return Fate.KILL_BEFORE


class AfterEach:
    """No process lives to hear the answer to its first write."""

    def __init__(self) -> None:
        self.killed: list[Write] = []

    def __call__(self, _number: int, write: Write) -> Fate:
        self.killed.append(write)
        return Fate.KILL_AFTER
