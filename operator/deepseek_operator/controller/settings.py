"""What the process is told by its environment: `DEEPSEEK_OPERATOR_*`. Every name is read here and nowhere else."""

import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from deepseek_operator.adapters.prometheus import PLAINLY, Manner
from deepseek_operator.controller.log import LogFormat
from deepseek_operator.controller.profiles import Offer, profiles_from_file
from deepseek_operator.core.configuration import Configuration, GateAddress, Hub, ObjectStorage, Proxy
from deepseek_operator.core.web_access import WebAccess
from deepseek_operator.domain.devices.profiles import BUILT_IN

PREFIX = "DEEPSEEK_OPERATOR_"
_LAST_PORT = 65_535
_AUTHORITIES_LENGTH = 65_536
"""Of what every Job that fetches has in its environment; the kernel takes twice as much in one variable."""
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MOST = 1_000_000
"""Of workers, seconds and rates: eleven days, or more than any API server takes."""


@dataclass(frozen=True)
class Settings:
    """One process of the operator.

    Attributes:
        configuration: what the kinds see.
        namespace: where the Lease lives; lease_name: its name; identity: who we are in it.
        writer_account: name of the ServiceAccount there that names the writer to the chart's fence; empty: there is none.
        leader_election: False: this process writes without a Lease; for development only.
        kubeconfig: file; None: the pod's service account, else the user's default.
        watch_namespaces: empty: all.
        prometheus_url: None: no signals, autoscaling holds; prometheus: how it is asked.
        workers: passes at a time.
        writes_per_s, write_burst: the bucket of all writes; passes_per_s, pass_burst: that of passes.
        audit_interval_s: seconds between two lists that look for what the watches lost.
        optional_interval_s: at most so many seconds, and at least half of them, until it is asked again whether a missing
            optional API is there.
        resync_interval_s: seconds between two passes over a quiet object, +-10 %.
        signal_interval_s: seconds between two evaluations of autoscaling signals.
        external_metrics: serve external.metrics.k8s.io; certificate_dir: tls.crt and tls.key, None: self-signed.
        health_port, metrics_port, external_metrics_port, wanted_port: TCP ports; 0 takes any free one. The last is open only
            where `configuration.wanted_url` says how it is reached.
        bind_host: address that the ports listen on; empty: all.
        log_level: debug, info, warning or error; log_format: text, or json for a JSON object a line.
    """

    configuration: Configuration = field(default_factory=Configuration)
    namespace: str = "deepseek-system"
    lease_name: str = "deepseek-operator"
    identity: str = "local"
    writer_account: str = ""
    leader_election: bool = True
    kubeconfig: str | None = None
    watch_namespaces: tuple[str, ...] = ()
    prometheus_url: str | None = None
    prometheus: Manner = PLAINLY
    workers: int = 16
    writes_per_s: float = 500.0
    write_burst: int = 1000
    passes_per_s: float = 500.0
    pass_burst: int = 1000
    audit_interval_s: float = 60.0
    optional_interval_s: float = 30.0
    resync_interval_s: float = 600.0
    signal_interval_s: float = 15.0
    external_metrics: bool = False
    certificate_dir: str | None = None
    health_port: int = 8080
    metrics_port: int = 8081
    external_metrics_port: int = 6443
    wanted_port: int = 8082
    bind_host: str = ""
    log_level: str = "info"
    log_format: LogFormat = "text"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Settings as the environment has them; an empty value counts as absent.

        Raises:
            ValueError: a value is not of its type, or a variable with our prefix is unknown; names the variable.
        """
        given = {n: v for n, v in environment.items() if n.startswith(PREFIX) and v and not _is_service_link(n, v)}
        read = _Reader(given)
        default = cls()
        settings = cls(
            configuration=_configuration(read),
            namespace=read.text("NAMESPACE", default.namespace),
            lease_name=read.text("LEASE_NAME", default.lease_name),
            identity=read.text("POD_NAME", f"{socket.gethostname()}-{os.getpid()}"),
            writer_account=read.text("WRITER_ACCOUNT", ""),
            leader_election=read.boolean("LEADER_ELECTION", default.leader_election),
            kubeconfig=environment.get("KUBECONFIG") or None,
            watch_namespaces=read.words("WATCH_NAMESPACES"),
            prometheus_url=read.text("PROMETHEUS_URL", "") or None,
            prometheus=Manner(
                read.certificates("PROMETHEUS_AUTHORITIES"),
                read.text("PROMETHEUS_CREDENTIALS", "") or None,
                read.text("PROMETHEUS_TENANT", ""),
            ),
            workers=read.integer("WORKERS", default.workers),
            writes_per_s=read.number("WRITES_PER_SECOND", default.writes_per_s),
            write_burst=read.integer("WRITE_BURST", default.write_burst),
            passes_per_s=read.number("PASSES_PER_SECOND", default.passes_per_s),
            pass_burst=read.integer("PASS_BURST", default.pass_burst),
            audit_interval_s=read.number("AUDIT_INTERVAL_SECONDS", default.audit_interval_s),
            optional_interval_s=read.number("OPTIONAL_API_INTERVAL_SECONDS", default.optional_interval_s),
            resync_interval_s=read.number("RESYNC_INTERVAL_SECONDS", default.resync_interval_s),
            signal_interval_s=read.number("SIGNAL_INTERVAL_SECONDS", default.signal_interval_s),
            external_metrics=read.boolean("EXTERNAL_METRICS", default.external_metrics),
            certificate_dir=read.text("EXTERNAL_METRICS_CERT_DIR", "") or None,
            health_port=read.port("HEALTH_PORT", default.health_port),
            metrics_port=read.port("METRICS_PORT", default.metrics_port),
            wanted_port=read.port("WANTED_PORT", default.wanted_port),
            external_metrics_port=read.port("EXTERNAL_METRICS_PORT", default.external_metrics_port),
            bind_host=read.text("BIND_HOST", default.bind_host),
            log_level=read.choice("LOG_LEVEL", default.log_level, ("debug", "info", "warning", "error")),
            log_format="json" if read.choice("LOG_FORMAT", default.log_format, ("text", "json")) == "json" else "text",
        )
        read.refuse_unknown()
        return settings


def _configuration(read: "_Reader") -> Configuration:
    default = Configuration()
    offer = read.offer("PROFILES_FILE", "IMAGE_REGISTRY")
    return Configuration(
        runtime_image=read.text("RUNTIME_IMAGE", default.runtime_image),
        image_pull_policy=read.text("IMAGE_PULL_POLICY", default.image_pull_policy),
        progress_interval_s=read.integer("PROGRESS_INTERVAL_SECONDS", default.progress_interval_s),
        metric_prefix=read.text("METRIC_PREFIX", default.metric_prefix),
        queries_of=frozenset(read.words("PROMETHEUS_QUERIES_OF")),
        profiles=offer.profiles,
        host_access=offer.host_access,
        gate=read.gate("GATE_SERVICE", "GATE_NAMESPACES"),
        hub=Hub(read.address("HUB_ENDPOINT"), read.boolean("HUB_OFFLINE", False)),
        s3=ObjectStorage(read.address("S3_ENDPOINT"), read.text("S3_REGION", "")),
        web=read.web("WEB_ALLOWED"),
        authorities=read.certificates("SOURCE_AUTHORITIES"),
        proxy=Proxy(read.address("SOURCE_PROXY"), read.hosts("SOURCE_PROXY_SPARED")),
        wanted_url=read.address("WANTED_URL") or None,
    )


def _is_service_link(name: str, value: str) -> bool:
    """Kubernetes sets variables for every Service of the namespace; one named deepseek-operator gets our prefix."""
    return "_SERVICE_" in name or "_PORT_" in name or value.startswith(("tcp://", "udp://", "sctp://"))


class _Reader:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._known: set[str] = set()

    def text(self, name: str, default: str) -> str:
        self._known.add(PREFIX + name)
        return self._given.get(PREFIX + name, default)

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def integer(self, name: str, default: int) -> int:
        return int(self._parsed(name, str(default), int, 1, _MOST))

    def number(self, name: str, default: float) -> float:
        return self._parsed(name, str(default), float, 1, _MOST)

    def port(self, name: str, default: int) -> int:
        return int(self._parsed(name, str(default), int, 0, _LAST_PORT))

    def boolean(self, name: str, default: bool) -> bool:
        return self.choice(name, str(default).lower(), ("true", "false")) == "true"

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in choices:
            raise ValueError(f"{PREFIX}{name}={value}: write one of {', '.join(choices)}")
        return value

    def offer(self, name: str, registry: str) -> Offer:
        """The operator's own profiles, with images from that registry where one is named, and what the file says."""
        file, mirror = self.text(name, ""), self.text(registry, "")
        built_in = BUILT_IN.pulled_from(mirror) if mirror else BUILT_IN
        try:
            return profiles_from_file(file, built_in) if file else Offer(built_in)
        except ValueError as error:
            raise ValueError(f"{PREFIX}{name}: {error}") from None

    def address(self, name: str) -> str:
        """An http or https address without a slash at its end; empty where none is written."""
        value = self.text(name, "").rstrip("/")
        if value and not re.fullmatch(r"https?://[^\s@/?#]+(/[^\s?#]*)?", value):
            raise ValueError(f"{PREFIX}{name}={value}: write an address such as https://hub.example.com")
        return value

    def hosts(self, name: str) -> tuple[str, ...]:
        """Names or addresses of hosts with commas between them; what clients understand alike, so no patterns and no networks."""
        for one in (found := self.words(name)):
            if not _HOST.fullmatch(one):
                raise ValueError(
                    f"{PREFIX}{name} has {one[:200]!r}: write a host, or a domain such as svc.cluster.local"
                )
        return found

    def web(self, name: str) -> WebAccess:
        """Addresses with commas between them."""
        try:
            return WebAccess.of(self.words(name))
        except ValueError as error:
            raise ValueError(f"{PREFIX}{name}: {error}") from None

    def certificates(self, name: str) -> str:
        """Certificates in PEM, without what stands between them; empty where none is written."""
        written = self.text(name, "")
        value = "\n".join(_CERTIFICATE.findall(written))
        if "PRIVATE KEY" in written:
            raise ValueError(f"{PREFIX}{name} has a private key: write certificates alone, and take that key for known")
        if len(value) > _AUTHORITIES_LENGTH:
            raise ValueError(
                f"{PREFIX}{name} is longer than {_AUTHORITIES_LENGTH:,} characters: write the authorities of your own servers"
                " alone, those that the image trusts stay trusted"
            )
        try:
            if written.strip():
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=value)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise ValueError(
                f"{PREFIX}{name} has no certificate that can be read ({error}): write PEM, -----BEGIN CERTIFICATE----- and so on"
            ) from None
        return value

    def gate(self, service: str, namespaces: str) -> GateAddress | None:
        """The gate, by its Service as namespace/name, and whom it is for."""
        named, of = self.text(service, ""), frozenset(self.words(namespaces))
        if not named:
            return None
        namespace, _, name = named.partition("/")
        if not namespace or not name:
            raise ValueError(f"{PREFIX}{service}={named}: write namespace/name")
        return GateAddress(namespace, name, of)

    def refuse_unknown(self) -> None:
        unknown = sorted(set(self._given) - self._known)
        if unknown:
            raise ValueError(f"unknown variables: {', '.join(unknown)}")

    def _parsed(self, name: str, default: str, type_: type[int] | type[float], least: int, most: int) -> float:
        value = self.text(name, default)
        try:
            parsed = type_(value)
        except ValueError:
            raise ValueError(f"{PREFIX}{name}={value}: write a number") from None
        if not least <= parsed <= most:
            raise ValueError(f"{PREFIX}{name}={value}: write a number from {least} to {most}")
        return parsed
