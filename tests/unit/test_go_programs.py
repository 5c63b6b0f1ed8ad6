"""What tests build of others: one version of Envoy Gateway, and what each is built from."""

import re

from tests.support.go_programs import HERE, MODULES

ENVOY_GATEWAY = re.compile(r"github\.com/envoyproxy/gateway (v\S+)")


def test_manifests_are_translated_by_the_envoy_gateway_that_runs_on_the_cluster() -> None:
    run, translates = ((HERE / name / "go.mod").read_text() for name in ("envoy_gateway", "egctl"))
    assert ENVOY_GATEWAY.findall(run) == ENVOY_GATEWAY.findall(translates) != []


def test_the_rate_limit_service_is_the_one_that_envoy_gateway_knows() -> None:
    version = re.compile(r"github\.com/envoyproxy/ratelimit (v\S+)")
    knows, runs = ((HERE / name / "go.mod").read_text() for name in ("envoy_gateway", "rate_limit_service"))
    assert version.findall(knows) == version.findall(runs) != []


def test_each_program_is_a_tool_of_its_module() -> None:
    for program, module in MODULES.items():
        assert f"\ntool {program}\n" in (module / "go.mod").read_text()
