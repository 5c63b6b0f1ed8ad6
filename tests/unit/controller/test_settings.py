"""The environment of the process."""

from pathlib import Path

import pytest

from deepseek_operator.adapters.prometheus import Manner
from deepseek_operator.controller.settings import Settings
from deepseek_operator.core.configuration import Configuration, Hub, ObjectStorage, Proxy
from deepseek_operator.core.web_access import WebAccess
from examples.local_cluster.pki import ensure_authority

AUTHORITIES = "DEEPSEEK_OPERATOR_SOURCE_AUTHORITIES"


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings.configuration == Configuration()
    assert (settings.lease_name, settings.prometheus_url, settings.watch_namespaces) == ("deepseek-operator", None, ())


def test_every_variable_of_the_chart_is_understood() -> None:
    settings = Settings.from_environment(
        {
            "DEEPSEEK_OPERATOR_NAMESPACE": "system",
            "DEEPSEEK_OPERATOR_POD_NAME": "op-1",
            "DEEPSEEK_OPERATOR_LEASE_NAME": "op",
            "DEEPSEEK_OPERATOR_RUNTIME_IMAGE": "r:1",
            "DEEPSEEK_OPERATOR_IMAGE_PULL_POLICY": "Always",
            "DEEPSEEK_OPERATOR_PROMETHEUS_URL": "http://p:9090",
            "DEEPSEEK_OPERATOR_PROMETHEUS_QUERIES_OF": "team-a, team-b",
            "DEEPSEEK_OPERATOR_HUB_ENDPOINT": "https://hub.example.com/",
            "DEEPSEEK_OPERATOR_HUB_OFFLINE": "true",
            "DEEPSEEK_OPERATOR_S3_ENDPOINT": "http://s3.example.com:9000",
            "DEEPSEEK_OPERATOR_S3_REGION": "eu-central-1",
            "DEEPSEEK_OPERATOR_WEB_ALLOWED": "https://a.example.com/models,http://b.example.com:8080",
            "DEEPSEEK_OPERATOR_EXTERNAL_METRICS": "true",
            "DEEPSEEK_OPERATOR_EXTERNAL_METRICS_CERT_DIR": "/tls",
            "DEEPSEEK_OPERATOR_WATCH_NAMESPACES": "a, b",
            "DEEPSEEK_OPERATOR_LOG_LEVEL": "debug",
            "DEEPSEEK_OPERATOR_LOG_FORMAT": "json",
        }
    )
    assert settings.configuration.runtime_image == "r:1"
    assert settings.configuration.image_pull_policy == "Always"
    assert settings.configuration.hub == Hub("https://hub.example.com", is_offline=True)
    assert settings.configuration.s3 == ObjectStorage("http://s3.example.com:9000", "eu-central-1")
    assert settings.configuration.web == WebAccess(("https://a.example.com/models", "http://b.example.com:8080"))
    may = {name for name in ("team-a", "team-b", "team-c") if settings.configuration.may_query(name)}
    assert may == {"team-a", "team-b"}
    assert (settings.namespace, settings.identity, settings.lease_name) == ("system", "op-1", "op")
    assert (settings.prometheus_url, settings.external_metrics, settings.certificate_dir) == (
        "http://p:9090",
        True,
        "/tls",
    )
    assert (settings.watch_namespaces, settings.log_level, settings.log_format) == (("a", "b"), "debug", "json")
    assert Settings.from_environment({}).log_format == "text"


def test_an_administrators_profiles_stand_beside_the_operators_own(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("lab: {base: h200, perNode: 4, pod: {hostNetwork: true}}\n")
    profiles = Settings.from_environment({"DEEPSEEK_OPERATOR_PROFILES_FILE": str(file)}).configuration.profiles
    assert profiles.resolve("lab").accelerator.per_node == 4
    assert profiles.resolve("lab").pod_patch.host_network
    assert profiles.resolve("h200").accelerator.per_node == 8


def test_an_administrator_says_where_profiles_that_reach_nodes_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles: {lab: {base: h200}}\nhostAccess: {team: [gaudi3, lab], '*': [intel-gaudi2-96]}\n")
    told = {"DEEPSEEK_OPERATOR_PROFILES_FILE": str(file)}
    allowed = Settings.from_environment(told).configuration.host_access.allows
    assert allowed("team", "intel-gaudi3-128")
    assert allowed("team", "lab")
    assert allowed("elsewhere", "intel-gaudi2-96")
    assert not allowed("elsewhere", "intel-gaudi3-128")


def test_where_keda_asks_is_an_address() -> None:
    told = {"DEEPSEEK_OPERATOR_WANTED_URL": "http://operator.ns.svc:8082/"}
    assert Settings.from_environment(told).configuration.wanted_url == "http://operator.ns.svc:8082"
    assert Settings.from_environment({}).configuration.wanted_url is None
    for written in ("operator.ns.svc:8082", "ftp://operator", "http://user:word@operator", "http://operator?a=b"):
        with pytest.raises(ValueError, match=r"DEEPSEEK_OPERATOR_WANTED_URL.*write an address such as"):
            Settings.from_environment({"DEEPSEEK_OPERATOR_WANTED_URL": written})


def test_the_gate_is_named_by_its_service_and_by_whom_it_is_for() -> None:
    told = {"DEEPSEEK_OPERATOR_GATE_SERVICE": "system/gate", "DEEPSEEK_OPERATOR_GATE_NAMESPACES": "team, other"}
    configuration = Settings.from_environment(told).configuration
    assert configuration.gate_of("team") == configuration.gate_of("other") == configuration.gate
    assert configuration.gate_of("elsewhere") is None
    assert configuration.gate is not None
    assert (configuration.gate.namespace, configuration.gate.name, configuration.gate.port) == ("system", "gate", 9001)
    assert Settings.from_environment({}).configuration.gate is None
    for written in ("gate", "/gate", "system/"):
        with pytest.raises(ValueError, match=r"DEEPSEEK_OPERATOR_GATE_SERVICE.*write namespace/name"):
            Settings.from_environment({"DEEPSEEK_OPERATOR_GATE_SERVICE": written})


def test_authorities_are_certificates_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ensure_authority(tmp_path, name, name)
    one, other = ((tmp_path / f"{name}.crt").read_text().strip() for name in ("a", "b"))
    read = Settings.from_environment({AUTHORITIES: f"# Größer\n{one}\n\nof B:\n{other}\n"})
    assert read.configuration.authorities == f"{one}\n{other}"
    assert Settings.from_environment({AUTHORITIES: " \n"}).configuration.authorities == ""
    key = (tmp_path / "a.key").read_text()
    wrong = {
        "/etc/ssl/ca.crt": "has no certificate that can be read",
        one.replace("M", "=", 1): "has no certificate that can be read",
        one + key: "has a private key: write certificates alone",
        "\n".join([one] * 200): "is longer than 65,536 characters: write the authorities of your own servers alone",
    }
    for text, said in wrong.items():
        with pytest.raises(ValueError, match=f"{AUTHORITIES} {said}"):
            Settings.from_environment({AUTHORITIES: text})


def test_a_proxy_is_an_address_and_hosts_that_are_asked_without_it() -> None:
    told = {
        "DEEPSEEK_OPERATOR_SOURCE_PROXY": "http://proxy.example.com:3128/",
        "DEEPSEEK_OPERATOR_SOURCE_PROXY_SPARED": "svc, 10.0.0.7,s3.example.com",
    }
    read = Settings.from_environment(told).configuration.proxy
    assert read == Proxy("http://proxy.example.com:3128", ("svc", "10.0.0.7", "s3.example.com"))
    for wrong in ("*.example.com", ".svc", "10.0.0.0/8", "s3.example.com:9000"):
        with pytest.raises(ValueError, match=r"SOURCE_PROXY_SPARED has .*: write a host, or a domain such as"):
            Settings.from_environment({"DEEPSEEK_OPERATOR_SOURCE_PROXY_SPARED": wrong})
    with pytest.raises(ValueError, match="SOURCE_PROXY=http://me:secret@proxy: write an address"):
        Settings.from_environment({"DEEPSEEK_OPERATOR_SOURCE_PROXY": "http://me:secret@proxy"})


def test_how_prometheus_is_asked(tmp_path: Path) -> None:
    ensure_authority(tmp_path, "ca", "ca")
    authority = (tmp_path / "ca.crt").read_text().strip()
    told = {"AUTHORITIES": f"{authority}\n", "CREDENTIALS": "/etc/deepseek-operator/prometheus", "TENANT": "team-a"}
    read = Settings.from_environment({f"DEEPSEEK_OPERATOR_PROMETHEUS_{name}": value for name, value in told.items()})
    assert read.prometheus == Manner(authority, "/etc/deepseek-operator/prometheus", "team-a")
    assert Settings.from_environment({}).prometheus == Manner()


def test_a_registry_stands_before_every_image_but_an_administrators_own(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("lab: {base: h200, images: {vllm: 'team.example/vllm:1'}}\n")
    told = {"DEEPSEEK_OPERATOR_PROFILES_FILE": str(file), "DEEPSEEK_OPERATOR_IMAGE_REGISTRY": "mirror.example:5000/m/"}
    profiles = Settings.from_environment(told).configuration.profiles
    usual = Settings.from_environment({}).configuration.profiles
    assert profiles.resolve("lab").image("vllm", "0.33.0") == "team.example/vllm:1"
    pulled = [
        (profile.images, usual.by_name[name].images) for name, profile in profiles.by_name.items() if name != "lab"
    ]
    images = [(new[program], old[program]) for new, old in pulled for program in old]
    assert images
    assert all(new.startswith("mirror.example:5000/m/") for new, _ in images)
    rest = [(new.removeprefix("mirror.example:5000/m/"), old) for new, old in images]
    assert all(old.endswith(new) for new, old in rest)
    assert [new for new, _ in rest if "." in new.split("/")[0]] == [], "it takes the place of the one that was named"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lab: {base: h200, perNodes: 4}", "did you mean perNode"),
        ("lab: [", "not YAML"),
        ("[lab]", "must be a mapping"),
        ("profiles: [lab]", "must be a mapping"),
        ("sources: {web: {allowed: https://a.org}}", "sources.web.allowed must be a list of addresses"),
        ("sources: {hub: {}}", "sources.web.allowed must be a list of addresses"),
        ("sources: {web: {allowed: [a.org]}}", "sources.web.allowed: 'a.org' is no address to fetch from; write one"),
        ("hostAccess: [gaudi3]", "hostAccess must be a mapping"),
        ("hostAccess: {team: gaudi3}", "hostAccess.team must be a list"),
        ("hostAccess: {team: [gaudi9]}", "hostAccess.team: no accelerator profile 'gaudi9'"),
        ("hostAccess: {Team: [gaudi3]}", "hostAccess.Team is no namespace"),
        (None, "No such file"),
    ],
)
def test_a_profiles_file_that_can_not_be_read_stops_the_start(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "profiles.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=f"DEEPSEEK_OPERATOR_PROFILES_FILE.*{said}"):
        Settings.from_environment({"DEEPSEEK_OPERATOR_PROFILES_FILE": str(file)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEEPSEEK_OPERATOR_WORKERS", "many"),
        ("DEEPSEEK_OPERATOR_WORKERS", "-1"),
        ("DEEPSEEK_OPERATOR_WORKERS", "0"),
        ("DEEPSEEK_OPERATOR_WRITES_PER_SECOND", "0"),
        ("DEEPSEEK_OPERATOR_PASS_BURST", "0"),
        ("DEEPSEEK_OPERATOR_AUDIT_INTERVAL_SECONDS", "0"),
        ("DEEPSEEK_OPERATOR_SIGNAL_INTERVAL_SECONDS", "nan"),
        ("DEEPSEEK_OPERATOR_HEALTH_PORT", "70000"),
        ("DEEPSEEK_OPERATOR_AUDIT_INTERVAL_SECONDS", "inf"),
        ("DEEPSEEK_OPERATOR_EXTERNAL_METRICS", "maybe"),
        ("DEEPSEEK_OPERATOR_LOG_LEVEL", "loud"),
        ("DEEPSEEK_OPERATOR_LOG_FORMAT", "yaml"),
        ("DEEPSEEK_OPERATOR_PROMETHEUSURL", "http://p"),
    ],
)
def test_a_wrong_value_or_a_misspelt_name_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.from_environment({name: value})


def test_variables_that_kubernetes_sets_for_services_are_not_ours() -> None:
    links = {
        "DEEPSEEK_OPERATOR_SERVICE_HOST": "10.96.0.7",
        "DEEPSEEK_OPERATOR_PORT": "tcp://10.96.0.7:443",
        "DEEPSEEK_OPERATOR_PORT_443_TCP_ADDR": "10.96.0.7",
        "DEEPSEEK_OPERATOR_METRICS_PORT": "tcp://10.96.0.8:8081",
    }
    assert Settings.from_environment(links).metrics_port == 8081
