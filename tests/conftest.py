"""For all layers: a test that passes at its second try still shows why it failed at the first."""

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if str(report.outcome) == "rerun":
        print(f"\n--- first try of {report.nodeid}\n{report.longreprtext}\n---", flush=True)
