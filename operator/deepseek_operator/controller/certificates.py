"""The operator's own certificate: one that it signs for itself, and when the one in its files ends.

Imported by whoever serves external metrics alone: the library takes seven megabytes.
"""

from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deepseek_operator.controller.external_metrics import PAIR

_SELF_SIGNED_DAYS = 3650


def ends_at(folder: str) -> float:
    """When the certificate in the folder ends, seconds since 1970; not a number while none can be read."""
    try:
        certificate = x509.load_pem_x509_certificate((Path(folder) / PAIR[0]).read_bytes())
    except (OSError, ValueError):
        return nan
    return certificate.not_valid_after_utc.timestamp()


def self_signed(folder: Path) -> Path:
    """A key pair in the folder, for a cluster whose APIService does not verify us (`insecureSkipTLSVerify`)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "deepseek-operator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("deepseek-operator")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for file, content in zip(PAIR, (certificate.public_bytes(serialization.Encoding.PEM), private), strict=True):
        (folder / file).write_bytes(content)
    return folder
