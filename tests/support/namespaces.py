"""Namespaces of tests."""

from functools import partial

from examples.local_cluster.api import Api
from tests.support.kubectl import until


def wait_for_account(api: Api, namespace: str, timeout_s: float = 30) -> None:
    """Until the controllers have made the default ServiceAccount, without which the namespace takes no pod."""
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    until(f"the account of {namespace}", partial(api.exists, account), timeout_s=timeout_s, every_s=0.1)
