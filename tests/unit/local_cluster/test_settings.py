"""What the programs are told: arguments, configuration files, certificates."""

import json
import tomllib
from pathlib import Path

import pytest

from examples.local_cluster import containers, control_plane, host, monitoring, node, programs
from examples.local_cluster.control_plane import ALL, SERVER_NAMES, Cluster
from examples.local_cluster.home import PORTS, Home
from examples.local_cluster.pki import Identity


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def flags(argv: tuple[str, ...]) -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in argv[1:])


@pytest.fixture
def cluster(home: Home) -> Cluster:
    control_plane.issue_certificates(home)
    return Cluster(home, "https://127.0.0.1:6443")


def test_a_program_is_built_with_the_version_that_it_reports() -> None:
    assert programs.build_command("kubelet", Path("/out")) == [
        "go",
        "build",
        "-mod=readonly",
        "-trimpath",
        "-ldflags",
        "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1"
        " -X k8s.io/component-base/version.gitMinor=36",
        "-o",
        "/out",
        "k8s.io/kubernetes/cmd/kubelet",
    ]


def test_the_built_version_is_the_one_that_go_mod_names() -> None:
    assert f"\tk8s.io/kubernetes {programs.KUBERNETES_VERSION} " in (programs.MODULE / "go.mod").read_text()


def test_every_program_is_a_tool_of_go_mod() -> None:
    module = (programs.MODULE / "go.mod").read_text()
    assert [package for package in programs.PACKAGES.values() if f"\t{package}\n" not in module] == []


def test_another_go_sum_is_another_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module a")
    (tmp_path / "go.sum").write_text("1")
    monkeypatch.setattr(programs, "MODULE", tmp_path)
    before = programs.folder()
    (tmp_path / "go.sum").write_text("2")
    assert programs.folder() != before


def test_a_program_that_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError, match="kubectl"):
        programs.ensure("kubectl")


def test_the_api_server_audits_and_aggregates(cluster: Cluster) -> None:
    told = flags(control_plane.apiserver(cluster.home, "127.0.0.1").argv)
    policy = json.loads(Path(told["audit-policy-file"]).read_text())
    assert policy["rules"] == [{"level": "Metadata"}]
    assert told["audit-log-path"] == str(cluster.audit_log)
    for flag in ("requestheader-client-ca-file", "proxy-client-cert-file", "proxy-client-key-file"):
        assert Path(told[flag]).is_file()


def test_every_file_that_the_api_server_is_told_exists(cluster: Cluster) -> None:
    told = flags(control_plane.apiserver(cluster.home, "127.0.0.1").argv)
    files = {name: value for name, value in told.items() if name.endswith("file")}
    assert [name for name, value in files.items() if not Path(value).is_file()] == []


def test_pods_find_the_api_server_under_names_of_its_certificate() -> None:
    assert {"kubernetes.default.svc", "10.96.0.1", "10.200.0.1", "127.0.0.1"} <= set(SERVER_NAMES)


def test_an_unknown_part_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kubelet"):
        control_plane.start(tmp_path, parts=frozenset({"kubelet"}))
    assert list(tmp_path.iterdir()) == []


def test_every_program_of_the_control_plane_belongs_to_a_part() -> None:
    assert set(control_plane.PROGRAMS) <= ALL
    assert set(control_plane.PROGRAMS.values()) <= set(programs.PACKAGES)


def test_the_controllers_are_not_throttled_and_the_autoscaler_is_quick(cluster: Cluster) -> None:
    told = flags(control_plane.controller_manager(cluster).argv)
    assert (told["kube-api-qps"], told["horizontal-pod-autoscaler-sync-period"]) == ("2000", "2s")


def test_a_port_stays_the_one_that_was_chosen(home: Home) -> None:
    chosen = [home.port("a"), home.port("b")]
    assert [home.port("a"), home.port("b")] == chosen
    assert chosen[0] != chosen[1]
    assert all(port in PORTS for port in chosen)


def test_two_parts_that_prefer_the_same_port_get_two(home: Home) -> None:
    preferred = home.port("a")
    assert home.port("b", preferred) != preferred


def test_a_server_certificate_names_addresses_and_hosts() -> None:
    identity = Identity("file", "user", ("group",), names=("name", "10.0.0.1"))
    assert identity.subject() == "/O=group/CN=user"
    assert identity.extensions()[1:] == (
        "extendedKeyUsage=serverAuth,clientAuth",
        "subjectAltName=DNS:name,IP:10.0.0.1",
    )


def test_a_client_certificate_serves_nobody() -> None:
    assert Identity("file", "user").extensions()[1:] == ("extendedKeyUsage=clientAuth",)


def test_the_kubelet_deletes_no_image_on_a_full_disk(home: Home) -> None:
    told = node.kubelet_configuration(home)
    assert told["imageGCHighThresholdPercent"] == 100
    assert told["evictionHard"]["nodefs.available"] == "1%"


def test_the_kubelet_asks_the_containerd_of_this_home(home: Home) -> None:
    assert node.kubelet_configuration(home)["containerRuntimeEndpoint"] == f"unix://{containers.socket(home)}"
    assert f'address = "{containers.socket(home)}"' in containers.configuration(home)


def test_containerd_starts_sandboxes_without_the_capability_for_negative_oom_scores(home: Home) -> None:
    assert "restrict_oom_score_adj = true" in containers.configuration(home)


def test_the_pods_namespaces_lie_where_no_other_program_mounts(home: Home) -> None:
    """`ip netns add` mounts over /run/netns; what lies below the home, `down` unmounts."""
    told = tomllib.loads(containers.configuration(home))
    assert told["plugins"]["io.containerd.grpc.v1.cri"]["netns_mounts_under_state_dir"] is True
    assert Path(told["state"]).is_relative_to(home.root)


def test_the_proxy_leaves_connection_tracking_alone(home: Home) -> None:
    told = node.proxy_configuration(home, Path("/client"))
    assert (told["mode"], told["conntrack"]["maxPerCore"]) == ("nftables", 0)


def test_traffic_between_pods_and_services_is_not_masqueraded() -> None:
    rule = next(line for line in host.masquerade().splitlines() if "masquerade" in line)
    assert all(address in rule for address in (host.POD_RANGE, "10.96.0.0/16", "10.200.0.1"))


def test_a_service_of_the_host_has_the_node_address() -> None:
    written = node.endpoints("monitoring", "prometheus", "http", monitoring.PORT)
    assert written["metadata"]["labels"] == {"kubernetes.io/service-name": "prometheus"}
    assert written["endpoints"][0]["addresses"] == ["10.200.0.1"]
