"""Which base an adapter was trained beside: the digest of its configuration and of its weights, by content.

An adapter is worth nothing beside other weights, and beside nearly the same ones it is wrong in silence. The files are
hashed whole, shared out between the ranks, before they are needed: about two seconds for each GB and rank.
"""

import hashlib
from pathlib import Path

from deepseek_runtime.model_folder import adapter
from deepseek_runtime.reading import reading
from deepseek_runtime.trainer.gang import Gang, gathered


def digest_of(path: Path, gang: Gang) -> str:
    """The digest of the model in a folder (see `model_folder.adapter`). All ranks together."""
    files = adapter.base_files(path)
    with reading("spec.model", "name a whole model in Hugging Face form"):
        own = [_sha256(file) for file in files[gang.rank :: gang.world_size]]
    shares = gathered(own)
    found = [_share(shares, number)[number // gang.world_size] for number in range(len(files))]
    return adapter.digest_of((file.name, sha256) for file, sha256 in zip(files, found, strict=True))


def _share(shares: list[object], number: int) -> list[str]:
    share = shares[number % len(shares)]
    assert isinstance(share, list)
    return share


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
