"""Whose certificates a fetch believes: those that its image trusts, and the authorities that an administrator names beside them.

The clients of a hub, of the web and of buckets (httpx, aiohttp and the one of obstore) all read SSL_CERT_FILE, as OpenSSL has
it, and take it in the place of the image's own: hence one file with both. It lies in memory, since the pod writes to nothing
but the claim.
"""

import os
import re
import ssl
from pathlib import Path

from deepseek_runtime.contract import Invalid

_VARIABLE = "SSL_CERT_FILE"
_BUNDLE = "ca-certificates.crt"
"""As Debian calls the file of all authorities, beside a file of each."""
_UNKNOWN = re.compile(r"unable to get (local )?issuer certificate|self-signed certificate|UnknownIssuer")
"""By OpenSSL's words and by those of rustls."""


def believe(authorities: str) -> None:
    """From now on in this process. Before any client is made. Raises Invalid where that is no certificate in PEM."""
    if not authorities:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError, TypeError) as error:
        raise Invalid(
            f"DEEPSEEK_SOURCE_AUTHORITIES is no certificate ({error}); write PEM, from -----BEGIN CERTIFICATE----- on"
        ) from error
    file = os.memfd_create("authorities")
    with open(file, "wb", closefd=False) as written:
        written.write(b"\n".join((_of_the_image(), authorities.encode(), b"")))
    os.environ[_VARIABLE] = f"/proc/self/fd/{file}"


def explained(message: str) -> str:
    """What went wrong, with what an administrator can do where nobody here believes in who issued a certificate."""
    if not _UNKNOWN.search(message):
        return message
    return f"{message}; an administrator names the authority of that certificate in sources.authorities of the operator's chart"


def _of_the_image() -> bytes:
    """The authorities that are trusted without a word; nothing where the image has no file of them."""
    paths = ssl.get_default_verify_paths()
    files = [paths.cafile, *([str(Path(paths.capath) / _BUNDLE)] if paths.capath else [])]
    return next((Path(file).read_bytes() for file in files if file and Path(file).is_file()), b"")
