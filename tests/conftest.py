"""For all layers: a test that passes at its second try still shows why it failed at the first, and no drawn example is
judged by the clock, since this machine may be busy.

No process that a test starts finds modules by the PYTHONPATH of whoever started the tests: it would pass in that shell alone.
"""

import gc
import os
from importlib.util import find_spec

import pytest

os.environ.pop("PYTHONPATH", None)

if find_spec("hypothesis") is not None:  # The environment of the pods has none.
    from hypothesis import settings

    from tests.support.search import examples

    settings.register_profile("without a clock", deadline=None, max_examples=examples(100))
    settings.load_profile("without a clock")


def pytest_collection_finish() -> None:
    """What all tests stand on stays: it is not looked through again for garbage, which took a twentieth of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if str(report.outcome) == "rerun":
        print(f"\n--- first try of {report.nodeid}\n{report.longreprtext}\n---", flush=True)
