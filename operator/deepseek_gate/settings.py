"""What the process is told by its environment: `DEEPSEEK_GATE_*`. Every name is read here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deepseek_gate.cluster import Access

PREFIX = "DEEPSEEK_GATE_"
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings:
    """One process of the gate.

    Attributes:
        access: the API server; in a pod what Kubernetes says there.
        namespaces: whose keys and models count; at least one.
        port: where Envoy asks; health_port: probes and metrics. 0 takes any free one.
        bind_host: address that both listen on; empty: all.
        max_body_bytes: of a request; more is answered 413.
        log_level: debug, info, warning or error.
    """

    access: Access
    namespaces: tuple[str, ...]
    port: int = 9001
    health_port: int = 8080
    bind_host: str = ""
    max_body_bytes: int = 32 * 1024 * 1024
    log_level: str = "info"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Settings as the environment has them; an empty value counts as absent.

        Raises:
            ValueError: a value is missing or not of its type; names the variable.
        """
        given = {name: value for name, value in environment.items() if value}
        namespaces = tuple(one.strip() for one in given.get(PREFIX + "NAMESPACES", "").split(",") if one.strip())
        if not namespaces:
            raise ValueError(f"{PREFIX}NAMESPACES: name at least one namespace")
        level = given.get(PREFIX + "LOG_LEVEL", cls.log_level)
        if level not in _LEVELS:
            raise ValueError(f"{PREFIX}LOG_LEVEL: write one of {', '.join(_LEVELS)}")
        return cls(
            access=_access(given),
            namespaces=namespaces,
            port=_number(given, "PORT", cls.port),
            health_port=_number(given, "HEALTH_PORT", cls.health_port),
            bind_host=given.get(PREFIX + "BIND_HOST", cls.bind_host),
            max_body_bytes=_number(given, "MAX_BODY_BYTES", cls.max_body_bytes, most=1 << 30),
            log_level=level,
        )


def _access(given: Mapping[str, str]) -> Access:
    server = given.get(PREFIX + "API_SERVER")
    if server is None:
        host, port = given.get("KUBERNETES_SERVICE_HOST"), given.get("KUBERNETES_SERVICE_PORT", "443")
        if host is None:
            raise ValueError(f"{PREFIX}API_SERVER: needed outside a pod")
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(
        server.rstrip("/"),
        Path(given.get(PREFIX + "TOKEN_FILE", _ACCOUNT / "token")),
        Path(given.get(PREFIX + "CA_FILE", _ACCOUNT / "ca.crt")),
    )


def _number(given: Mapping[str, str], name: str, default: int, most: int = 65_535) -> int:
    text = given.get(PREFIX + name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) > most:
        raise ValueError(f"{PREFIX}{name}: write a number from 0 to {most}")
    return int(text)
