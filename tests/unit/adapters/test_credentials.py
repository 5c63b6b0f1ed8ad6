"""Who we are at the API server may change, and may be unknown for a moment."""

from types import SimpleNamespace

import pytest
from kubernetes.config import ConfigException

from deepseek_operator.adapters.api_server import ApiServer
from deepseek_operator.adapters.clock import SystemClock
from deepseek_operator.adapters.credentials import Credentials
from deepseek_operator.controller.metrics import Metrics
from deepseek_operator.ports.cluster import Unreachable


async def test_a_token_that_can_not_be_read_now_is_a_request_that_failed_and_ends_nothing() -> None:
    def unreadable() -> dict[str, dict[str, str]]:
        raise ConfigException("Token file exists but empty.")

    loaded = SimpleNamespace(
        host="http://127.0.0.1:9", ssl_ca_cert=None, cert_file=None, key_file=None, verify_ssl=True,
        auth_settings=unreadable,
    )  # fmt: skip
    async with ApiServer(Credentials(loaded), SystemClock(), Metrics()) as server:
        with pytest.raises(Unreachable, match="Token file exists but empty"):
            await server.request("get", "GET", "/version", resource="apis")
