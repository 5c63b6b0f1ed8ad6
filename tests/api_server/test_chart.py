"""The chart, rendered by Helm and judged by a real API server: pods that `restricted` admits, and no right too many."""

import base64
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from itertools import chain
from json import dumps, loads
from operator import getitem
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml
from cryptography import x509

from deepseek_operator.adapters.answers import FENCED
from deepseek_operator.api.crd import documents
from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.api.v1alpha1.training.definition import TRAINING
from deepseek_operator.cli.chart import kinds_file
from deepseek_operator.cli.dashboards.files import dashboards
from deepseek_operator.cli.dashboards.grafana import grafana
from deepseek_operator.cli.dashboards.perses import perses
from deepseek_operator.controller.profiles import Offer, profiles_from_text
from deepseek_operator.controller.settings import Settings
from deepseek_operator.controller.writer import WRITER
from deepseek_operator.core.configuration import Configuration
from deepseek_operator.core.host_access import HostAccess
from deepseek_operator.core.names import REVISION_LABEL, owner_label
from deepseek_operator.domain.devices.profiles.config import DTYPES, FORMATS, VENDORS, InvalidProfile
from deepseek_operator.kinds.registry import KINDS
from deepseek_operator.kinds.serving.cache import CACHE_LABEL
from deepseek_operator.kinds.serving.files import SCRAPE_PATH
from deepseek_operator.kinds.serving.template import PORT_NAME
from examples.local_cluster import programs
from examples.local_cluster.api import ApiError, Manifest
from examples.local_cluster.control_plane import Cluster
from examples.local_cluster.progress import wait_for
from tests.support.gateways import GATE, PUBLIC
from tests.support.serving_life import ServingLife
from tests.support.sham_kind import ALL, NOTE

CHART = Path(__file__).parents[2] / "charts" / "deepseek-operator"
NAME = "deepseek-operator"
FULL = (
    "externalMetrics.enabled=true",
    "networkPolicy.enabled=true",
    "replicas=2",
    "prometheus.url=http://prometheus.monitoring.svc:9090",
)

READ = {"get", "list", "watch"}


def _helm(*arguments: str) -> str:
    done = subprocess.run([programs.built("helm"), *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def _render(*values: str, **more: Any) -> list[Manifest]:
    """The chart's objects; `values` in the form of --set, `more` by their paths."""
    return _rendered(
        *(("--set", value) for value in values), *(("--set-json", f"{p}={dumps(v)}") for p, v in more.items())
    )


@cache
def _rendered(*flags: tuple[str, str]) -> list[Manifest]:
    text = _helm("template", NAME, str(CHART), "--namespace", "system", *chain.from_iterable(flags))
    return [document for document in yaml.safe_load_all(text) if document]


def _of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == kind}


def _grants(rules: list[Manifest]) -> dict[tuple[str, str], set[str]]:
    """Verbs by group and resource."""
    granted: dict[tuple[str, str], set[str]] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                granted.setdefault((group, resource), set()).update(rule["verbs"])
    return granted


# --- rights -------------------------------------------------------------------------------------------------------


def test_the_operator_is_granted_what_its_kinds_own_and_nothing_else() -> None:
    role = _of_kind(_render(*FULL), "ClusterRole")[NAME]
    needed = {resource: set(verbs) for resource, verbs in KINDS.rights().items()}
    assert _grants(role["rules"]) == needed | {("", "events"): {"create", "patch", "list"}}


def test_where_owners_are_enforced_it_is_granted_what_the_plug_in_asks_for_besides() -> None:
    role = _of_kind(_render(*FULL, "rbac.ownerReferencesPermissionEnforcement=true"), "ClusterRole")[NAME]
    needed = {resource: set(verbs) for resource, verbs in KINDS.rights(where_enforced=True).items()}
    assert _grants(role["rules"]) == needed | {("", "events"): {"create", "patch", "list"}}


def test_a_further_kind_is_given_its_rights_its_users_theirs_and_a_monitor(tmp_path: Path) -> None:
    chart = Path(copytree(CHART, tmp_path / "chart"))
    (chart / "files" / "kinds.yaml").write_text(kinds_file(ALL))
    text = _helm("template", NAME, str(chart), "--set", "monitors.enabled=true")
    manifests = [document for document in yaml.safe_load_all(text) if document]
    roles = _of_kind(manifests, "ClusterRole")
    needed = {resource: set(verbs) for resource, verbs in ALL.rights().items()}
    assert _grants(roles[NAME]["rules"]) == needed | {("", "events"): {"create", "patch", "list"}}
    assert _grants(roles[f"{NAME}-view"]["rules"])[NOTE.group, NOTE.plural] == READ
    assert "create" in _grants(roles[f"{NAME}-edit"]["rules"])[NOTE.group, NOTE.plural]
    assert _of_kind(manifests, "PodMonitor")[f"{NAME}-note"]["spec"]["podMetricsEndpoints"][0]["port"] == "told"


def test_no_role_of_the_chart_has_a_wildcard_a_secret_or_a_way_up() -> None:
    roles = [manifest for manifest in _render(*FULL) if manifest["kind"] in ("Role", "ClusterRole")]
    assert len(roles) == 4
    for rule in (rule for role in roles for rule in role["rules"]):
        assert not {"*", "escalate", "bind", "impersonate"} & {*rule["verbs"], *rule["resources"], *rule["apiGroups"]}
        assert not {"secrets", "serviceaccounts/token", "pods/exec", "nodes"} & set(rule["resources"])


def test_named_namespaces_get_roles_and_the_cluster_gets_none() -> None:
    manifests = _render("watchNamespaces={a,b}", "rbac.aggregate=false")
    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in manifests if role["kind"] == "Role"}
    assert roles == {("a", NAME), ("b", NAME), ("system", f"{NAME}-lease")}
    assert not _of_kind(manifests, "ClusterRole")
    assert not _of_kind(manifests, "ClusterRoleBinding")


def _apply(cluster: Cluster, namespace: str, manifests: list[Manifest]) -> None:
    """Applies namespaced and cluster-wide objects of the chart, into `namespace` instead of `system`."""
    plurals = {
        "Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles", "ServiceAccount": "serviceaccounts",
        "ClusterRoleBinding": "clusterrolebindings", "Deployment": "deployments", "Service": "services", "Secret": "secrets",
        "PodDisruptionBudget": "poddisruptionbudgets", "APIService": "apiservices",
        "NetworkPolicy": "networkpolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    }  # fmt: skip
    for manifest in manifests:
        group = manifest["apiVersion"]
        place = f"namespaces/{manifest['metadata']['namespace']}/" if "namespace" in manifest["metadata"] else ""
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        path = f"{root}/{place}{plurals[manifest['kind']]}/{manifest['metadata']['name']}".replace(
            "/system/", f"/{namespace}/"
        )
        cluster.api.apply(
            path, yaml.safe_load(yaml.safe_dump(manifest).replace("namespace: system", f"namespace: {namespace}"))
        )


def _may(cluster: Cluster, user: str, namespace: str, verb: str, group: str, resource: str) -> bool:
    resource, _, subresource = resource.partition("/")
    asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": subresource}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }
    answer = cluster.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def test_the_service_account_may_what_the_role_says_and_reads_no_secret(api_server: Cluster, namespace: str) -> None:
    _apply(
        api_server,
        namespace,
        [
            m
            for m in _render()
            if m["kind"] in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
        ],
    )
    user = f"system:serviceaccount:{namespace}:{NAME}"
    wait_for("the role counts", lambda: _may(api_server, user, "default", "create", "batch", "jobs"), timeout_s=30)
    assert _may(api_server, user, "default", "update", TRAINING.group, "deepseektrainings/status")
    wait_for(
        "the lease's role counts",
        lambda: _may(api_server, user, namespace, "create", "coordination.k8s.io", "leases"),
        timeout_s=30,
    )
    refused = [
        ("default", "get", "", "secrets"),
        (namespace, "get", "", "secrets"),
        ("default", "patch", TRAINING.group, "deepseektrainings"),
        ("default", "delete", "", "persistentvolumeclaims"),
        ("default", "create", "", "pods"),
        ("default", "create", "", "serviceaccounts/token"),
    ]
    assert [request for request in refused if _may(api_server, user, *request)] == []


def test_a_tenant_with_edit_writes_trainings_but_not_their_status(controllers: Cluster, namespace: str) -> None:
    _apply(controllers, namespace, [m for m in _render() if m["kind"] == "ClusterRole"])
    for role in ("edit", "view"):
        binding = {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"{role}or"}],
        }
        controllers.api.create(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings", binding)

    def may(user: str, verb: str, resource: str) -> bool:
        return _may(controllers, user, namespace, verb, TRAINING.group, resource)

    wait_for(
        "aggregated roles",
        lambda: may("editor", "create", "deepseektrainings") and may("viewor", "get", "deepseekservings"),
        timeout_s=30,
    )
    assert may("editor", "patch", "deepseekservings/scale")
    assert not may("editor", "patch", "deepseektrainings/status")
    assert not may("viewor", "create", "deepseektrainings")


# --- the pod --------------------------------------------------------------------------------------------------------


def _pod(changes: Mapping[str, Any], container: Mapping[str, Any]) -> Manifest:
    template = _of_kind(_render(*FULL), "Deployment")[NAME]["spec"]["template"]
    spec = {**template["spec"], **changes}
    spec["containers"] = [{**spec["containers"][0], **container}]
    return {"metadata": {"generateName": "operator-"}, "spec": spec}


@pytest.fixture
def restricted(api_server: Cluster, namespace: str) -> str:
    """A namespace that admits restricted pods only, with the operator's ServiceAccount and its own."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    api_server.api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    # The namespace's own is a controller's, which not every control plane of the tests runs.
    for name in (NAME, "default"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        api_server.api.apply(f"{accounts}/{name}", account)
    return namespace


def test_the_operators_pod_is_admitted_where_pods_are_restricted(api_server: Cluster, restricted: str) -> None:
    made = api_server.api.create(f"/api/v1/namespaces/{restricted}/pods", _pod({}, {}), dryRun="All")
    (container,) = made["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert made["spec"]["securityContext"]["runAsUser"] > 0


@pytest.mark.parametrize(
    ("changes", "container"),
    [
        pytest.param({"securityContext": {"runAsUser": 0}}, {}, id="root"),
        pytest.param({"hostNetwork": True}, {}, id="host network"),
        pytest.param({}, {"securityContext": {}}, id="no limits on privileges"),
        pytest.param({"volumes": [{"name": "tmp", "hostPath": {"path": "/"}}]}, {"volumeMounts": []}, id="host path"),
    ],
)
def test_the_namespace_refuses_a_pod_with_more(
    api_server: Cluster, restricted: str, changes: Mapping[str, Any], container: Mapping[str, Any]
) -> None:
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api_server.api.create(f"/api/v1/namespaces/{restricted}/pods", _pod(changes, container), dryRun="All")


def test_every_object_of_the_full_chart_is_one_that_the_api_server_takes(api_server: Cluster, namespace: str) -> None:
    manifests = [
        m
        for m in _render(*FULL)
        if m["kind"] not in ("CustomResourceDefinition", "APIService")
        and "helm.sh/hook" not in m["metadata"].get("annotations", {})
        and m["metadata"].get("namespace") != "kube-system"
    ]
    kinds = {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Secret", "Service", "ValidatingAdmissionPolicy"}
    assert kinds <= {m["kind"] for m in manifests}
    try:
        _apply(api_server, namespace, manifests)
    finally:
        for plural in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            api_server.api.delete(f"/apis/admissionregistration.k8s.io/v1/{plural}/{NAME}.system")


def test_common_labels_are_on_everything_once_and_an_objects_own_win() -> None:
    def labels(**more: Any) -> dict[str, Mapping[str, str]]:
        values = {**EVERYTHING, "dashboards.grafana.labels": {"team": "own"}, "podLabels": {"team": "pods"}, **more}
        made = _render("replicas=2", **values)
        found = {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["labels"] for one in made}
        pods = {f"pod of {one['metadata']['name']}": one for one in made if one["kind"] == "Deployment"}
        return found | {name: one["spec"]["template"]["metadata"]["labels"] for name, one in pods.items()}

    usual, common = labels(), labels(commonLabels={"team": "platform", "cost": "7"})
    assert len(usual) > 20
    own = {name for name in usual if "team" in usual[name]}
    assert len(own) > 4
    for name, before in usual.items():
        assert common[name] == {"team": "platform", **before, "cost": "7"}, name


def test_several_pods_go_to_different_nodes_and_one_of_them_may_go_at_a_time() -> None:
    def spread(*values: str) -> Any:
        return _of_kind(_render(*values), "Deployment")[NAME]["spec"]["template"]

    assert "topologySpreadConstraints" not in spread()["spec"]
    template = spread("replicas=2")
    (constraint,) = template["spec"]["topologySpreadConstraints"]
    assert (constraint["topologyKey"], constraint["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert constraint["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    own = ("replicas=2", "topologySpreadConstraints[0].topologyKey=zone")
    assert spread(*own)["spec"]["topologySpreadConstraints"] == [{"topologyKey": "zone"}]
    assert _of_kind(_render("replicas=2"), "PodDisruptionBudget")[NAME]["spec"]["maxUnavailable"] == 1
    assert not _of_kind(_render(), "PodDisruptionBudget")


def _fence(*values: str, **more: Any) -> Manifest | None:
    """The policy that has the API server refuse what does not lead; its binding names it."""
    manifests = _render(*values, **more)
    policies, bindings = (
        list(_of_kind(manifests, f"ValidatingAdmissionPolicy{what}").values()) for what in ("", "Binding")
    )
    assert [one["spec"]["policyName"] for one in bindings] == [one["metadata"]["name"] for one in policies]
    return policies[0] if policies else None


def test_a_fence_stands_around_several_replicas_unless_told_otherwise_or_they_work_in_named_namespaces() -> None:
    assert _fence() is None
    assert _fence("replicas=2")
    assert _fence("replicas=2", "fence.enabled=false") is None
    assert _fence("replicas=2", "watchNamespaces={a,b}") is None
    assert _fence("fence.enabled=true")
    named = _fence("fence.enabled=true", "watchNamespaces={a,b}")
    assert named
    (selected,) = named["spec"]["matchConstraints"]["namespaceSelector"]["matchExpressions"]
    assert selected["values"] == ["a", "b"]


def test_the_fence_stands_before_all_that_the_operator_may_write_and_nothing_else() -> None:
    policy = _fence("replicas=2")
    assert policy
    words = {"create": "CREATE", "update": "UPDATE", "patch": "UPDATE", "delete": "DELETE"}
    fenced = {
        (group, resource): set(rule["operations"])
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    may = {what: {words[verb] for verb in verbs if verb in words} for what, verbs in KINDS.rights().items()}
    assert fenced == {what: operations for what, operations in may.items() if operations}


def test_the_fence_judges_the_operators_account_and_stops_nobody_where_it_can_not_judge() -> None:
    manifests = _render("replicas=2")
    (policy,) = _of_kind(manifests, "ValidatingAdmissionPolicy").values()
    (binding,) = _of_kind(manifests, "ValidatingAdmissionPolicyBinding").values()
    pod = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]["spec"]
    told = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    account = {"name": told["DEEPSEEK_OPERATOR_WRITER_ACCOUNT"], "namespace": "system"}
    assert account["name"] in _of_kind(manifests, "ServiceAccount")
    assert account["name"] != pod["serviceAccountName"], "it has no right, and no pod runs as it"
    assert binding["spec"]["paramRef"] == {**account, "parameterNotFoundAction": "Allow"}
    assert policy["spec"]["failurePolicy"] == "Ignore"
    conditions = [one["expression"] for one in policy["spec"]["matchConditions"]]
    assert f"request.userInfo.username == 'system:serviceaccount:system:{pod['serviceAccountName']}'" in conditions
    assert f"request.name == '{told['DEEPSEEK_OPERATOR_LEASE_NAME']}'" in conditions[1]
    (rule,) = policy["spec"]["validations"]
    assert f"?'{WRITER}'" in policy["spec"]["variables"][0]["expression"]
    assert all(
        f"denied request: {said}".startswith(FENCED) for said in (rule["message"], rule["messageExpression"][1:])
    )


def test_the_operator_may_name_the_writer_where_there_is_a_fence_and_nowhere_else() -> None:
    def rules(*values: str) -> list[Manifest]:
        role: Manifest = _of_kind(_render(*values), "Role")[f"{NAME}-lease"]
        return [rule for rule in role["rules"] if rule["resources"] == ["serviceaccounts"]]

    assert rules() == []
    (rule,) = rules("replicas=2")
    assert (rule["resourceNames"], rule["verbs"]) == ([f"{NAME}-writer"], ["get", "update"])


def test_the_test_of_a_release_asks_the_operators_service_and_is_none_of_its_pods() -> None:
    manifests = _render("image.digest=sha256:" + "0" * 64, "imagePullSecrets[0].name=x")
    pod = _of_kind(manifests, "Pod")[f"{NAME}-test"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    service = _of_kind(manifests, "Service")[NAME]
    assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "metrics")
    assert container["args"] == ["check", f"http://{NAME}.system.svc:{port}/metrics"]
    deployment = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]["spec"]
    assert (container["image"], pod["spec"]["imagePullSecrets"]) == (
        deployment["containers"][0]["image"],
        deployment["imagePullSecrets"],
    )


def test_the_pod_of_the_test_is_admitted_where_pods_are_restricted(api_server: Cluster, restricted: str) -> None:
    spec = _of_kind(_render(), "Pod")[f"{NAME}-test"]["spec"]
    pod = {"metadata": {"generateName": "test-"}, "spec": spec}
    assert api_server.api.create(f"/api/v1/namespaces/{restricted}/pods", pod, dryRun="All")["spec"]["containers"]


# --- definitions, external metrics, values --------------------------------------------------------------------------


def test_the_chart_brings_the_definitions_unless_told_otherwise() -> None:
    brought = _of_kind(_render(), "CustomResourceDefinition")
    assert list(brought.values()) == list(documents(KINDS.definitions))
    assert not _of_kind(_render("crds.install=false"), "CustomResourceDefinition")


def test_external_metrics_are_registered_only_where_asked_for() -> None:
    plain = _render()
    assert {"APIService", "Secret"} & {manifest["kind"] for manifest in plain} == set()
    (service,) = _of_kind(_render(*FULL), "APIService").values()
    assert service["metadata"]["name"] == "v1beta1.external.metrics.k8s.io"
    assert "insecureSkipTLSVerify" not in service["spec"]


def test_the_certificate_is_for_the_service_and_signed_by_the_published_authority() -> None:
    manifests = _render(*FULL)
    secret = _of_kind(manifests, "Secret")[f"{NAME}-tls"]["data"]
    bundle = next(iter(_of_kind(manifests, "APIService").values()))["spec"]["caBundle"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert f"{NAME}.system.svc" in names.get_values_for_type(x509.DNSName)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(base64.b64decode(bundle)))


def test_cert_manager_issues_the_certificate_that_is_mounted_and_tells_the_api_server_its_authority() -> None:
    values = ("externalMetrics.enabled=true", "externalMetrics.certManager.enabled=true")
    manifests = _render(*values, r"externalMetrics.apiServiceAnnotations.x=y")
    assert not _of_kind(manifests, "Secret"), "nothing is made at rendering"
    certificate = _of_kind(manifests, "Certificate")[NAME]["spec"]
    assert certificate["dnsNames"] == [f"{NAME}.system.svc", f"{NAME}.system.svc.cluster.local"]
    assert certificate["issuerRef"] == {"name": NAME, "kind": "Issuer"}
    assert _of_kind(manifests, "Issuer")[NAME]["spec"] == {"selfSigned": {}}
    (service,) = _of_kind(manifests, "APIService").values()
    assert service["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"system/{NAME}", "x": "y"}
    assert "caBundle" not in service["spec"]
    volumes = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]["spec"]["volumes"]
    (mounted,) = (volume["secret"]["secretName"] for volume in volumes if "secret" in volume)
    assert mounted == certificate["secretName"]
    issuer = {"externalMetrics.certManager.issuerRef": {"name": "platform-ca", "kind": "ClusterIssuer"}}
    asked = _render(*values, **issuer)
    assert not _of_kind(asked, "Issuer")
    assert _of_kind(asked, "Certificate")[NAME]["spec"]["issuerRef"] == {"name": "platform-ca", "kind": "ClusterIssuer"}


def test_an_upgrade_keeps_the_certificate(api_server: Cluster, namespace: str) -> None:
    def install(*more: str) -> str:
        sets = ("externalMetrics.enabled=true", "crds.install=false", f"fullnameOverride={namespace}", *more)
        flags = [argument for value in sets for argument in ("--set", value)]
        target = ("--kubeconfig", str(api_server.kubeconfig), "--namespace", namespace)
        _helm("upgrade", "--install", namespace, str(CHART), *target, *flags)
        data = api_server.api.get(f"/api/v1/namespaces/{namespace}/secrets/{namespace}-tls")["data"]
        return str(data["tls.crt"])

    try:
        first = install()
        assert install("logLevel=debug") == first
    finally:
        _helm("uninstall", namespace, "--kubeconfig", str(api_server.kubeconfig), "--namespace", namespace)


THRESHOLDS: Mapping[str, int] = yaml.safe_load((CHART / "values.yaml").read_text())["alerts"]["thresholds"]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
CHANGES: Mapping[str, Any] = {
    "global.imageRegistry": "x",
    "global.imagePullSecrets": ["x"],
    "nameOverride": "x",
    "fullnameOverride": "x",
    "image.repository": "x",
    "image.tag": "x",
    "image.digest": f"sha256:{'0' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "x"}],
    "replicas": 3,
    "fence.enabled": True,
    "logLevel": "debug",
    "logFormat": "json",
    "watchNamespaces": ["x"],
    "runtime.image": "x",
    "runtime.pullPolicy": "Always",
    "profiles": {"x": {"base": "h200"}},
    "hostAccess": {"*": ["gaudi3"]},
    "prometheus.url": "http://x",
    "sources.hub.endpoint": "https://x",
    "sources.hub.offline": True,
    "sources.s3.endpoint": "https://x",
    "sources.s3.region": "x",
    "sources.web.allowed": ["https://x"],
    "sources.authorities": PEM,
    "sources.proxy.url": "http://x:3128",
    "sources.proxy.spared": ["x"],
    "prometheus.authorities": PEM,
    "prometheus.existingSecret": "x",
    "prometheus.ownToken": True,
    "prometheus.tenant": "x",
    "prometheus.queriesOf": ["x"],
    "monitors.enabled": False,
    "monitors.labels": {"x": "y"},
    "monitors.interval": "1m",
    "alerts.enabled": False,
    "alerts.as": "ConfigMap",
    "alerts.labels": {"x": "y"},
    "alerts.runbooks": "https://x",
    "alerts.latencyMeasure": "e2e_request_latency",
    "alerts.for": {"DeepSeekLatencyHigh": "7m"},
    **{f"alerts.thresholds.{name}": 77 for name in THRESHOLDS},
    "dashboards.grafana.enabled": False,
    "dashboards.grafana.labels": {"x": "y"},
    "dashboards.grafana.annotations": {"x": "y"},
    "dashboards.perses.enabled": False,
    "dashboards.perses.labels": {"x": "y"},
    "dashboards.perses.instanceSelector": {"matchLabels": {"x": "y"}},
    "externalMetrics.enabled": False,
    "externalMetrics.existingSecret": "x",
    "externalMetrics.caBundle": "x",
    "externalMetrics.apiServiceAnnotations": {"x": "y"},
    "externalMetrics.certManager.enabled": True,
    "externalMetrics.certManager.issuerRef": {"name": "x"},
    "keda.enabled": False,
    "keda.askedFrom": [{"podSelector": {}}],
    "networkPolicy.enabled": False,
    "networkPolicy.metricsFrom": [{"podSelector": {}}],
    "networkPolicy.externalMetricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/28"}}],
    "networkPolicy.workloads.namespaces": ["b"],
    "networkPolicy.workloads.clientsFrom": [{"podSelector": {}}],
    "networkPolicy.workloads.scrapedFrom": [],
    "networkPolicy.workloads.dnsAt": [{"podSelector": {}}],
    "networkPolicy.workloads.sourcesAt": [{"podSelector": {}}],
    "networkPolicy.workloads.sourcePorts": [9000],
    "networkPolicy.workloads.trainingEgress": [{"ports": [{"port": 5000}]}],
    "gate.enabled": False,
    "gate.namespaces": ["b"],
    "gate.image.repository": "x",
    "gate.image.tag": "x",
    "gate.image.digest": f"sha256:{'0' * 64}",
    "gate.image.pullPolicy": "Always",
    "gate.replicas": 3,
    "gate.maxBodyBytes": 2048,
    "gate.askedFrom": [{"podSelector": {}}],
    "gate.referenceGrant": False,
    "gate.resources": {"limits": {"memory": "1Gi"}},
    "crds.install": True,
    "serviceAccount.annotations": {"x": "y"},
    "rbac.aggregate": False,
    "rbac.ownerReferencesPermissionEnforcement": True,
    "resources": {"limits": {"memory": "1Gi"}},
    "podLabels": {"x": "y"},
    "commonLabels": {"x": "y"},
    "podAnnotations": {"x": "y"},
    "nodeSelector": {"x": "y"},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "x", "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "x",
    "extraEnv": [{"name": "X", "value": "y"}],
    "extraVolumes": [{"name": "x", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}],
}
"""Another value for each leaf of the schema, beside `EVERYTHING`."""

EVERYTHING = {
    "alerts.enabled": True,
    "crds.install": False,
    "dashboards.grafana.enabled": True,
    "dashboards.perses.enabled": True,
    "externalMetrics.enabled": True,
    "externalMetrics.existingSecret": "a",
    "gate.enabled": True,
    "gate.namespaces": ["a"],
    "keda.enabled": True,
    "monitors.enabled": True,
    "networkPolicy.enabled": True,
    "networkPolicy.workloads.namespaces": ["a"],
}


WITHOUT_SECRET = {**EVERYTHING, "externalMetrics.existingSecret": "", "externalMetrics.certManager.enabled": False}
BESIDE = {
    "externalMetrics.certManager.enabled": WITHOUT_SECRET,
    "externalMetrics.certManager.issuerRef": {**WITHOUT_SECRET, "externalMetrics.certManager.enabled": True},
}
"""In place of `EVERYTHING`, where a value goes with other ones."""


def _leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, child in schema["properties"].items():
        at = f"{path}.{name}" if path else name
        if "properties" in child:
            yield from _leaves(child, at)
        else:
            yield at


def test_every_value_changes_what_is_installed_and_has_a_default() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(_leaves(schema)) == set(CHANGES)
    for path in CHANGES:
        reduce(getitem, path.split("."), values)
    beside = {path: BESIDE.get(path, EVERYTHING) for path in CHANGES}
    ignored = [
        path for path, value in CHANGES.items() if _render(**{**beside[path], path: value}) == _render(**beside[path])
    ]
    assert ignored == []


def test_helm_finds_no_fault_with_the_chart_and_any_of_its_values() -> None:
    for values in ({}, EVERYTHING, *({**BESIDE.get(path, EVERYTHING), path: value} for path, value in CHANGES.items())):
        flags = [("--set-json", f"{path}={dumps(value)}") for path, value in values.items()]
        said = _helm("lint", "--strict", str(CHART), "--namespace", "system", *chain.from_iterable(flags))
        assert "0 chart(s) failed" in said, said


# --- who reaches the operator ---------------------------------------------------------------------------------------


def _doors(*values: str, **more: Any) -> dict[int, object]:
    """Peers that each port of the operator's pods lets in, None for everybody; a port without is closed."""
    manifests = _render("networkPolicy.enabled=true", *values, **more)
    (policy,) = _of_kind(manifests, "NetworkPolicy").values()
    template = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    numbers = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    ways = [(numbers[port["port"]], rule.get("from")) for rule in policy["spec"]["ingress"] for port in rule["ports"]]
    assert len(dict(ways)) == len(ways)
    return dict(ways)


def test_a_policy_of_who_reaches_the_operator_is_made_only_where_asked_for() -> None:
    assert not _of_kind(_render(), "NetworkPolicy")


def test_the_policy_lets_in_who_has_a_reason_and_nobody_to_the_probes() -> None:
    everybody, all_pods = None, [{"namespaceSelector": dict[str, str]()}]
    assert _doors() == {8081: all_pods}
    assert _doors("externalMetrics.enabled=true") == {8081: all_pods, 6443: everybody}
    assert _doors("keda.enabled=true") == {8081: all_pods, 8082: all_pods}
    keda = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}]
    assert _doors("keda.enabled=true", **{"keda.askedFrom": keda}) == {8081: all_pods, 8082: keda}
    assert _doors("keda.enabled=true", **{"keda.askedFrom": []}) == {8081: all_pods}
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    masters = [{"ipBlock": {"cidr": "10.0.0.0/28"}}]
    named = {"networkPolicy.metricsFrom": monitoring, "networkPolicy.externalMetricsFrom": masters}
    assert _doors("externalMetrics.enabled=true", **named) == {8081: monitoring, 6443: masters}
    assert _doors(**{"networkPolicy.metricsFrom": []}) == {}


def test_the_policy_of_an_installed_operator_knows_every_port_but_the_probes() -> None:
    manifests = _render(*FULL)
    service = _of_kind(manifests, "Service")[NAME]
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {
        port["port"] for rule in _of_kind(manifests, "NetworkPolicy")[NAME]["spec"]["ingress"] for port in rule["ports"]
    }


# --- what a Prometheus gets -----------------------------------------------------------------------------------------


def test_where_keda_asks_is_the_operators_own_service_and_an_open_port_of_it() -> None:
    assert _wanted_url(_render()) is None
    manifests = _render("keda.enabled=true")
    ports = {port["name"]: port["port"] for port in _of_kind(manifests, "Service")[NAME]["spec"]["ports"]}
    assert _wanted_url(manifests) == f"http://{NAME}.system.svc:{ports['wanted']}"
    assert ports["wanted"] == Settings().wanted_port


def _wanted_url(manifests: list[Manifest]) -> str | None:
    (container,) = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one.get("value", "") for one in container["env"]}
    settings = Settings.from_environment({n: v for n, v in given.items() if n == "DEEPSEEK_OPERATOR_WANTED_URL"})
    return settings.configuration.wanted_url


def test_monitors_give_the_pods_of_a_serving_the_labels_that_are_asked_for() -> None:
    assert {"ServiceMonitor", "PodMonitor"} & {manifest["kind"] for manifest in _render()} == set()
    monitors = _of_kind(_render("monitors.enabled=true", "watchNamespaces={a}"), "PodMonitor")
    spec = monitors[f"{NAME}-serving"]["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] == PORT_NAME
    assert spec["selector"]["matchExpressions"] == [{"key": owner_label(SERVING), "operator": "Exists"}]
    assert spec["namespaceSelector"] == {"matchNames": ["a"]}
    assert endpoint["relabelings"] == [
        {"sourceLabels": [_meta(owner_label(SERVING))], "targetLabel": "deepseek_serving"},
        {"sourceLabels": [_meta(REVISION_LABEL)], "targetLabel": "deepseek_revision"},
        {"sourceLabels": [_meta(SCRAPE_PATH, "annotation_")], "regex": "(/.+)", "targetLabel": "__metrics_path__"},
    ]
    assert _of_kind(_render("monitors.enabled=true"), "PodMonitor")[f"{NAME}-training"]["spec"][
        "namespaceSelector"
    ] == {"any": True}


def test_the_monitor_of_caches_selects_their_pods_alone_and_a_port_of_them() -> None:
    life = ServingLife(
        configuration=Configuration(gate=GATE),
        gateway={**PUBLIC, "auth": {"apiKeys": True}, "cache": {"image": "nginx"}},
    )
    life.run()
    pods = [pod["metadata"]["labels"] for pod in life.pods()]
    monitors = _of_kind(_render("monitors.enabled=true"), "PodMonitor")
    selected = {}
    for what in ("cache", "serving"):
        ((expression,), (endpoint,)) = (
            monitors[f"{NAME}-{what}"]["spec"]["selector"]["matchExpressions"],
            monitors[f"{NAME}-{what}"]["spec"]["podMetricsEndpoints"],
        )
        selected[what] = [labels for labels in pods if expression["key"] in labels]
        assert endpoint["relabelings"][0]["targetLabel"] == f"deepseek_{what}"
    assert (len(selected["cache"]), len(selected["serving"]), len(pods)) == (2, 1, 3)
    (container,) = next(pod for pod in life.pods() if CACHE_LABEL in pod["metadata"]["labels"])["spec"]["containers"]
    assert monitors[f"{NAME}-cache"]["spec"]["podMetricsEndpoints"][0]["port"] in [
        port["name"] for port in container["ports"]
    ]


def test_the_monitor_of_the_operator_selects_its_service_and_a_port_of_it() -> None:
    manifests = _render("monitors.enabled=true")
    spec = _of_kind(manifests, "ServiceMonitor")[NAME]["spec"]
    service = _of_kind(manifests, "Service")[NAME]
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {endpoint["port"] for endpoint in spec["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
    assert all(endpoint["honorLabels"] for endpoint in spec["endpoints"]), "namespace is the object's"


def _notes(*values: str) -> str:
    sets = [argument for value in values for argument in ("--set", value)]
    return _helm("install", NAME, str(CHART), "--namespace", "system", "--dry-run=client", *sets).partition(
        "\nNOTES:\n"
    )[2]


def _jobs(*values: str) -> dict[str, Manifest]:
    """The jobs that the notes show, by name."""
    text = re.search(r"(?ms)^  - job_name.*?(?=^\S)", _notes(*values))
    assert text
    return {job["job_name"]: job for job in yaml.safe_load(text[0])}


def test_the_notes_show_jobs_where_numbers_are_wanted_and_no_monitor_makes_them() -> None:
    assert "job_name" not in _notes()
    assert "job_name" not in _notes("prometheus.url=http://p", "monitors.enabled=true")
    for wanted in ("prometheus.url=http://p", "alerts.enabled=true", "dashboards.grafana.enabled=true"):
        assert _jobs(wanted).keys() == {f"deepseek-{what}" for what in ("operator", "training", "serving", "cache")}


BESIDES = ("gate.enabled=true", "gate.namespaces={a}", "watchNamespaces={a,b}")


@pytest.mark.parametrize("what", ["training", "serving", "cache"])
def test_a_prometheus_without_monitors_is_told_to_scrape_the_pods_that_they_select_and_to_name_them_so(
    what: str,
) -> None:
    job = _jobs("prometheus.url=http://p", *BESIDES)[f"deepseek-{what}"]
    spec = _of_kind(_render("monitors.enabled=true", *BESIDES), "PodMonitor")[f"{NAME}-{what}"]["spec"]
    (endpoint,), (selected,) = spec["podMetricsEndpoints"], spec["selector"]["matchExpressions"]
    rules = job["relabel_configs"]
    kept = [(rule["source_labels"][0], rule["regex"]) for rule in rules if rule.get("action") == "keep"]
    assert kept == [(_meta(selected["key"]), ".+"), (_meta("container_port_name", ""), endpoint["port"])]
    named = [rule for rule in rules if rule.get("target_label") not in (None, "namespace", "pod")]
    assert [{_camel(key): value for key, value in rule.items()} for rule in named] == endpoint["relabelings"]
    (found,) = job["kubernetes_sd_configs"]
    assert found["namespaces"]["names"] == spec["namespaceSelector"]["matchNames"]


@pytest.mark.parametrize(("what", "name"), [("operator", NAME), ("gate", f"{NAME}-gate")])
def test_a_prometheus_without_monitors_is_told_the_port_behind_the_service_that_they_name(what: str, name: str) -> None:
    job = _jobs("prometheus.url=http://p", *BESIDES)[f"deepseek-{what}"]
    manifests = _render("monitors.enabled=true", *BESIDES)
    pod = _of_kind(manifests, "Deployment")[name]["spec"]["template"]
    labels = {_meta(label): value for label, value in pod["metadata"]["labels"].items()}
    kept = {rule["source_labels"][0]: rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep"}
    port = kept.pop(_meta("container_port_name", ""))
    assert kept.items() <= labels.items()
    assert port in [one["name"] for one in pod["spec"]["containers"][0]["ports"]]
    (told,) = _of_kind(manifests, "ServiceMonitor")[name]["spec"]["endpoints"]
    ports = {one["name"]: one["targetPort"] for one in _of_kind(manifests, "Service")[name]["spec"]["ports"]}
    assert ports[told["port"]] == port
    assert job["honor_labels"] is told["honorLabels"] is True
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["system"]


def test_every_job_has_a_monitor_and_names_the_pod_as_monitors_do() -> None:
    jobs = _jobs("prometheus.url=http://p", *BESIDES)
    manifests = _render("monitors.enabled=true", *BESIDES)
    monitors = {**_of_kind(manifests, "PodMonitor"), **_of_kind(manifests, "ServiceMonitor")}
    names = {name.removeprefix(f"{NAME}-") for name in monitors}
    assert jobs.keys() == {f"deepseek-{'operator' if name == NAME else name}" for name in names}
    for job in jobs.values():
        made = {rule.get("target_label"): rule["source_labels"] for rule in job["relabel_configs"]}
        assert (made["namespace"], made["pod"]) == (["__meta_kubernetes_namespace"], ["__meta_kubernetes_pod_name"])


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def test_alerts_are_rules_of_the_prometheus_operator_or_a_file_and_the_same_as_beside_the_chart() -> None:
    assert not _of_kind(_render(), "PrometheusRule")
    beside = yaml.safe_load((CHART / "alerts.rules.yaml").read_text())
    rule = _of_kind(_render("alerts.enabled=true", "alerts.labels.release=prom"), "PrometheusRule")[NAME]
    assert rule["spec"] == beside
    assert rule["metadata"]["labels"]["release"] == "prom"
    held = _of_kind(_render("alerts.enabled=true", "alerts.as=ConfigMap"), "ConfigMap")[f"{NAME}-alerts"]
    assert yaml.safe_load(held["data"]["deepseek-operator.rules.yaml"]) == beside


def test_thresholds_and_names_of_a_release_are_in_its_alerts() -> None:
    values = (
        "alerts.enabled=true", "alerts.thresholds.stallMinutes=7", "alerts.latencyMeasure=e2e_request_latency",
        "alerts.runbooks=https://x/y", "fullnameOverride=mine", "alerts.for.DeepSeekNoCheckpoint=20s",
        "alerts.for.DeepSeekRestartStorm=2m",
    )  # fmt: skip
    groups = _of_kind(_render(*values), "PrometheusRule")["mine"]["spec"]["groups"]
    alerts = {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}
    stalled = alerts["DeepSeekTrainingStalled"]
    assert "offset 7m" in stalled["expr"]
    assert stalled["annotations"]["runbook_url"] == "https://x/y/DeepSeekTrainingStalled.md"
    assert "e2e_request_latency_seconds_bucket" in alerts["DeepSeekLatencyHigh"]["expr"]
    assert {name: alerts[name]["for"] for name in ("DeepSeekNoCheckpoint", "DeepSeekRestartStorm")} == {
        "DeepSeekNoCheckpoint": "20s",
        "DeepSeekRestartStorm": "2m",
    }
    assert stalled["for"] == "1m", "its own"
    assert 'name="mine"' in alerts["DeepSeekOperatorNotReconciling"]["expr"]


def test_dashboards_are_config_maps_that_the_sidecar_finds_and_objects_of_perses() -> None:
    pages = dashboards(KINDS)
    assert not [manifest for manifest in _render() if "dashboard" in manifest["metadata"]["name"]]
    values = {"dashboards.grafana.enabled": True, "dashboards.grafana.annotations": {"grafana_folder": "DeepSeek"}}
    maps = _of_kind(_render(**values), "ConfigMap")
    assert maps.keys() == {f"{NAME}-dashboard-{page.name}" for page in pages}
    for page in pages:
        held = maps[f"{NAME}-dashboard-{page.name}"]
        assert held["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert held["metadata"]["annotations"] == {"grafana_folder": "DeepSeek"}
        assert loads(held["data"][f"{NAME}-{page.name}.json"]) == grafana(page)
    selector = {"matchLabels": {"app.kubernetes.io/instance": "perses"}}
    made = _of_kind(
        _render(**{"dashboards.perses.enabled": True, "dashboards.perses.instanceSelector": selector}),
        "PersesDashboard",
    )
    for page in pages:
        assert made[f"{NAME}-{page.name}"]["spec"] == {"instanceSelector": selector, "config": perses(page)}
    assert made.keys() == {f"{NAME}-{page.name}" for page in pages}


def test_the_monitor_of_the_gate_keeps_the_namespace_that_a_series_has() -> None:
    values = ("monitors.enabled=true", "gate.enabled=true", "gate.namespaces={a}")
    (endpoint,) = _of_kind(_render(*values), "ServiceMonitor")[f"{NAME}-gate"]["spec"]["endpoints"]
    assert endpoint["honorLabels"], "namespace is the serving's"


def _meta(label: str, kind: str = "label_") -> str:
    return f"__meta_kubernetes_pod_{kind}{re.sub('[^a-zA-Z0-9_]', '_', label)}"


@pytest.mark.parametrize(
    "value",
    [
        "nonsense=1",
        "replicas=0",
        "logLevel=loud",
        "logFormat=yaml",
        "image.pull=x",
        "image.tag=",
        "prometheus.url=ftp://x",
        "prometheus.queriesOf={A}",
        "watchNamespaces={A}",
        r"podLabels.app\.kubernetes\.io/name=x",
        r"commonLabels.helm\.sh/chart=x",
        "monitors.interval=0s",
        "alerts.as=Secret",
        "dashboards.enabled=true",
        "dashboards.grafana.labels=x",
        "dashboards.perses.instance=x",
        "alerts.runbooks=https://x/",
        "alerts.latencyMeasure=latency",
        "alerts.for.DeepSeekNonsense=1m",
        "alerts.for.DeepSeekRolloutStuck=1m",
        "alerts.for.DeepSeekLatencyHigh=long",
        "alerts.thresholds.nonsense=1",
        "alerts.thresholds.stallMinutes=0",
        "alerts.thresholds.claimFreePercent=101",
        "alerts.thresholds.accuracyDropPercent=2.5",
        "externalMetrics.caBundle=x",
        "externalMetrics.certManager.issuerRef.kind=Secret",
        "global.imageRegistry=https://x",
        "global.imagePullSecrets={}",
        "profiles.lab.perNod=4",
        "profiles.lab.perNode=four",
        "profiles.lab.vendor=nvidea",
        "profiles.Lab.base=h200",
        "hostAccess.Team={gaudi3}",
        "hostAccess.team={Gaudi3}",
        "hostAccess.team=gaudi3",
        "networkPolicy.enable=true",
        "networkPolicy.metricsFrom=monitoring",
        "networkPolicy.metricsFrom[0].namespace=monitoring",
        "networkPolicy.externalMetricsFrom[0].ipBlock.cdir=10.0.0.0/28",
    ],
)
def test_a_wrong_value_is_refused_before_anything_is_installed(value: str) -> None:
    with pytest.raises(AssertionError, match="don't meet the specifications"):
        _render(value)


def test_an_installed_operator_reads_its_ports_and_names_from_the_contract() -> None:
    pod = _of_kind(_render(*FULL), "Deployment")[NAME]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}
    prefix = "DEEPSEEK_OPERATOR_"
    assert {name.removeprefix(prefix): value for name, value in env.items()} == {
        "NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "LEASE_NAME": NAME,
        "WRITER_ACCOUNT": f"{NAME}-writer",
        "LOG_LEVEL": "info",
        "LOG_FORMAT": "text",
        "RUNTIME_IMAGE": "deepseek-operator.io/runtime:dev",
        "IMAGE_PULL_POLICY": "IfNotPresent",
        "EXTERNAL_METRICS": "true",
        "EXTERNAL_METRICS_CERT_DIR": "/etc/deepseek-operator/tls",
        "PROMETHEUS_URL": "http://prometheus.monitoring.svc:9090",
    }
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "probes": 8080,
        "metrics": 8081,
        "ext-metrics": 6443,
    }
    assert container["args"] == ["run"]


def test_prometheus_is_asked_as_the_values_say() -> None:
    def told(*values: str) -> tuple[dict[str, str], list[str], list[str]]:
        pod = _of_kind(_render(*values), "Deployment")[NAME]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        named = {v["name"]: v["value"] for v in container["env"] if "_PROMETHEUS_" in v["name"]}
        secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if volume["name"] == "prometheus"]
        mounted = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "prometheus"]
        return {name.rpartition("_")[2]: value for name, value in named.items()}, secrets, mounted

    folder = "/etc/deepseek-operator/prometheus"
    assert told() == ({}, [], [])
    assert told("prometheus.existingSecret=mimir", "prometheus.tenant=team-a") == (
        {"CREDENTIALS": folder, "TENANT": "team-a"},
        ["mimir"],
        [folder],
    )
    assert told(f"prometheus.authorities={PEM}", "prometheus.ownToken=true") == (
        {"AUTHORITIES": PEM, "CREDENTIALS": "/var/run/secrets/kubernetes.io/serviceaccount"},
        [],
        [],
    )


def test_queries_are_nobodys_to_write_until_a_value_says_whose() -> None:
    def named(*values: str) -> list[str]:
        (container,) = _of_kind(_render(*values), "Deployment")[NAME]["spec"]["template"]["spec"]["containers"]
        return [v["value"] for v in container["env"] if v["name"] == "DEEPSEEK_OPERATOR_PROMETHEUS_QUERIES_OF"]

    assert named() == []
    assert named("prometheus.queriesOf={a,b}") == ["a,b"]
    assert named("prometheus.queriesOf={*}") == ["*"]


def test_sources_are_fetched_from_the_hub_until_a_value_names_a_mirror() -> None:
    def told(*values: str) -> dict[str, str]:
        (container,) = _of_kind(_render(*values), "Deployment")[NAME]["spec"]["template"]["spec"]["containers"]
        return {v["name"]: v["value"] for v in container["env"] if re.search("_(HUB|S3|WEB|SOURCE)_", v["name"])}

    assert told() == {}
    assert told("sources.hub.endpoint=https://hub.example.com", "sources.hub.offline=true") == {
        "DEEPSEEK_OPERATOR_HUB_ENDPOINT": "https://hub.example.com",
        "DEEPSEEK_OPERATOR_HUB_OFFLINE": "true",
    }
    assert told("sources.s3.endpoint=https://s3.example.com", "sources.s3.region=eu-west-1") == {
        "DEEPSEEK_OPERATOR_S3_ENDPOINT": "https://s3.example.com",
        "DEEPSEEK_OPERATOR_S3_REGION": "eu-west-1",
    }
    assert told("sources.web.allowed={https://a.example.com/models,http://b.example.com:8080}") == {
        "DEEPSEEK_OPERATOR_WEB_ALLOWED": "https://a.example.com/models,http://b.example.com:8080"
    }
    assert told(f"sources.authorities={PEM}") == {"DEEPSEEK_OPERATOR_SOURCE_AUTHORITIES": PEM}
    assert told("sources.proxy.url=http://proxy.example.com:3128", "sources.proxy.spared={svc,s3.example.com}") == {
        "DEEPSEEK_OPERATOR_SOURCE_PROXY": "http://proxy.example.com:3128",
        "DEEPSEEK_OPERATOR_SOURCE_PROXY_SPARED": "svc,s3.example.com",
    }


def test_profiles_are_mounted_as_the_file_that_the_operator_reads() -> None:
    manifests = _render("profiles.lab-h200.base=h200", "profiles.lab-h200.perNode=4")
    template = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    file = {variable["name"]: variable.get("value") for variable in container["env"]}["DEEPSEEK_OPERATOR_PROFILES_FILE"]
    mount = next(m for m in container["volumeMounts"] if file.startswith(m["mountPath"]) and m["name"] == "profiles")
    volume = next(volume for volume in template["spec"]["volumes"] if volume["name"] == mount["name"])
    (item,) = volume["downwardAPI"]["items"]
    assert item["path"] == file.removeprefix(mount["mountPath"] + "/")
    (annotation,) = re.findall(r"^metadata\.annotations\['(.+)'\]$", item["fieldRef"]["fieldPath"])
    text = template["metadata"]["annotations"][annotation]
    assert profiles_from_text(text).profiles.resolve("lab-h200").accelerator.per_node == 4


def test_access_to_nodes_is_nobodys_until_a_value_says_whose() -> None:
    def offered(*values: str) -> Offer:
        annotations = _of_kind(_render(*values), "Deployment")[NAME]["spec"]["template"]["metadata"]["annotations"]
        return profiles_from_text(annotations.get("deepseek-operator.io/profiles", ""))

    assert offered() == offered("logLevel=debug") == Offer()
    assert offered("hostAccess.team={gaudi3}").host_access == HostAccess({"team": frozenset({"intel-gaudi3-128"})})
    both = offered("hostAccess.team={lab}", "profiles.lab.base=h200", "profiles.lab.pod.hostNetwork=true")
    assert both.host_access.allows("team", "lab")
    assert both.profiles.resolve("lab").pod_patch.host_network


def test_the_schema_knows_the_fields_of_a_profile_that_the_operator_reads() -> None:
    """A misspelt one is refused before anything is installed, and none that is right."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())["$defs"]["profile"]["properties"]
    with pytest.raises(InvalidProfile, match="known are") as refused:
        profiles_from_text("{x: {base: h200, zzzzzz: 1}}")
    assert set(str(refused.value).partition("known are ")[2].split(", ")) == set(schema)
    words = {"vendor": VENDORS, "dtypes": DTYPES, "quantizations": FORMATS}
    assert {name: frozenset(_words(schema[name])) for name in words} == words


def _words(schema: Mapping[str, Any]) -> list[str]:
    found: list[str] = schema.get("enum") or schema["items"]["enum"]
    return found


def test_a_pod_that_can_not_start_takes_the_place_of_none(api_server: Cluster, namespace: str) -> None:
    """The old one goes once the new one is ready: a profile with an unknown base passes every schema."""
    deployment = _of_kind(_render("profiles.lab.base=h2000"), "Deployment")[NAME]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    pod = {"metadata": {**deployment["template"]["metadata"], "name": "new"}, "spec": deployment["template"]["spec"]}
    api_server.api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": NAME}})
    api_server.api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")
    assert not any(manifest["kind"] == "ConfigMap" for manifest in _render("profiles.lab.base=h2000"))


def test_one_registry_stands_before_all_images() -> None:
    mirrored = _render("global.imageRegistry=mirror.example:5000/m", "runtime.image=registry.example/team/runtime:2")
    (container,) = _of_kind(mirrored, "Deployment")[NAME]["spec"]["template"]["spec"]["containers"]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["image"] == "mirror.example:5000/m/operator:dev"
    assert env["DEEPSEEK_OPERATOR_RUNTIME_IMAGE"] == "mirror.example:5000/m/team/runtime:2"
    assert env["DEEPSEEK_OPERATOR_IMAGE_REGISTRY"] == "mirror.example:5000/m"
    plain = _render("global.imageRegistry=mirror", "image.repository=team/operator", "image.digest=sha256:" + "0" * 64)
    (container,) = _of_kind(plain, "Deployment")[NAME]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"mirror/team/operator@sha256:{'0' * 64}"


def test_values_of_other_charts_pass_and_secrets_of_all_charts_are_joined() -> None:
    manifests = _render("global.other=1", "imagePullSecrets[0].name=a", "global.imagePullSecrets={a,b}")
    pod = _of_kind(manifests, "Deployment")[NAME]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


def test_a_namespace_that_is_not_there_is_named_before_anything_is_installed(
    api_server: Cluster, namespace: str
) -> None:
    def install(*watched: str) -> str:
        sets = ("crds.install=false", "rbac.aggregate=false", f"watchNamespaces={{{','.join(watched)}}}")
        flags = [argument for value in sets for argument in ("--set", value)]
        target = ("--kubeconfig", str(api_server.kubeconfig), "--namespace", namespace)
        return _helm("upgrade", "--install", namespace, str(CHART), *target, *flags)

    with pytest.raises(AssertionError, match=r"no namespace gone1 and no namespace gone2: make it first"):
        install(namespace, "gone1", "gone2")
    try:
        assert "READY stays Unknown" in install(namespace)
    finally:
        _helm("uninstall", namespace, "--kubeconfig", str(api_server.kubeconfig), "--namespace", namespace)
