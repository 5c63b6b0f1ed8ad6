"""A cluster, for those that run on one."""

from tests.e2e.conftest import bed, kubectl, pytest_runtest_makereport

__all__ = ["bed", "kubectl", "pytest_runtest_makereport"]
