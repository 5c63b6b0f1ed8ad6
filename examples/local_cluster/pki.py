"""Keys and certificates of one cluster: who is who.

Two authorities, as in every Kubernetes: one for clients and servers, one for the API server's own requests to aggregated
APIs. Made by `openssl` once per home and kept, so that a restarted part is trusted as before.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

DAYS = 3650


@dataclass(frozen=True)
class Identity:
    """A certificate to be issued. `names` are its subject alternative names; empty means a client certificate."""

    file: str
    user: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    authority: str = "ca"

    def subject(self) -> str:
        return "".join(f"/O={group}" for group in self.groups) + f"/CN={self.user}"

    def extensions(self) -> tuple[str, ...]:
        """X.509 extensions of a leaf: its use, and for a server the names and addresses that it answers to."""
        use = "serverAuth,clientAuth" if self.names else "clientAuth"
        names = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in self.names)
        alternative = (f"subjectAltName={names}",) if names else ()
        return ("basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={use}", *alternative)


def ensure_authority(folder: Path, file: str, name: str) -> None:
    """Make a self-signed authority unless it exists."""
    if not (folder / f"{file}.crt").exists():
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        _certificate(folder, file, f"/CN={name}", extensions, authority=None)


def ensure_certificate(folder: Path, identity: Identity) -> None:
    """Issue a certificate unless it exists."""
    if not (folder / f"{identity.file}.crt").exists():
        _certificate(folder, identity.file, identity.subject(), identity.extensions(), identity.authority)


def ensure_key_pair(folder: Path, file: str) -> None:
    """An EC key and its public half: it signs ServiceAccount tokens (ES256)."""
    folder.mkdir(parents=True, exist_ok=True)
    key, public = folder / f"{file}.key", folder / f"{file}.pub"
    if not public.exists():
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        _openssl("pkey", "-in", str(key), "-pubout", "-out", str(public))


def _certificate(folder: Path, file: str, subject: str, extensions: tuple[str, ...], authority: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{file}.crt"
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(DAYS)]
    arguments += ["-subj", subject, "-keyout", str(folder / f"{file}.key"), "-out", str(unfinished)]
    # An empty configuration: the system's own would add a second basicConstraints.
    arguments += ["-config", "/dev/null"]
    for extension in extensions:
        arguments += ["-addext", extension]
    if authority:
        arguments += ["-CA", str(folder / f"{authority}.crt"), "-CAkey", str(folder / f"{authority}.key")]
    _openssl(*arguments)
    unfinished.replace(folder / f"{file}.crt")


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.strip()}")


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdigit()
