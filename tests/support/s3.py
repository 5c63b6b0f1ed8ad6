"""A real S3 server on this machine, versitygw over a folder: each object is a file of it."""

import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.go_programs import S3_SERVER, built
from tests.support.ports import free_port

KEY, SECRET = "reader", "a-secret-of-the-reader"
REGION = "eu-central-1"


@dataclass(frozen=True)
class S3:
    """A server that runs, and the folder that holds its buckets."""

    root: Path
    url: str

    @property
    def variables(self) -> dict[str, str]:
        """What its reader is told."""
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
        return {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": REGION, **keys}

    def make(self, bucket: str) -> None:
        """A bucket, where there is none of that name."""
        (self.root / bucket).mkdir(exist_ok=True)

    def store(self, bucket: str) -> Any:
        """A client of obstore's that may write."""
        from obstore.store import S3Store

        self.make(bucket)
        told = {"endpoint": self.url, "region": REGION, "access_key_id": KEY, "secret_access_key": SECRET}
        return S3Store(bucket, **told, client_options={"allow_http": True, "allow_invalid_certificates": True})

    def put(self, bucket: str, prefix: str, files: Mapping[str, bytes], *, in_parts: bool = False) -> None:
        """Objects as a client uploads them: in one piece, whose ETag is their MD5, or in parts, whose is none."""
        import obstore

        store = self.store(bucket)
        for name, body in files.items():
            obstore.put(store, f"{prefix}/{name}", body, use_multipart=in_parts, chunk_size=5 << 20)

    def file(self, bucket: str, key: str) -> Path:
        """The object as it lies on its disk."""
        return self.root / bucket / key


def flip(path: Path) -> None:
    """One byte in its middle, behind the server's back: the ETag stays what it was."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))


@contextmanager
def serving(root: Path, address: str = "127.0.0.1", tls: tuple[Path, Path] | None = None) -> Iterator[S3]:
    """Over an empty folder, on that address of this machine. `tls`: files of its certificate and of the key, where it has one."""
    root.mkdir()
    port = free_port()
    command = [str(built(S3_SERVER)), "--access", KEY, "--secret", SECRET, "--region", REGION]
    command += ["--cert", str(tls[0]), "--key", str(tls[1])] if tls else []
    log = root.with_name("s3.log")
    with log.open("wb") as file:
        told = [*command, "--port", f"{address}:{port}", "posix", str(root)]
        process = subprocess.Popen(told, stdout=file, stderr=file)
    server = S3(root, f"{'https' if tls else 'http'}://{address}:{port}")
    try:
        _answers(server, process, log)
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: S3, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while not _is_there(server.url):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _is_there(url: str) -> bool:
    """Whether anything is answered, to whoever has no keys a refusal."""
    try:
        urllib.request.urlopen(url, timeout=5, context=ssl._create_unverified_context()).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
