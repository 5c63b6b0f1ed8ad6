"""What a fetch is told by its environment: the source, the claim, and by whose mirror.

HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN are those that Hugging Face's own programs read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fetcher.listing import digest_of

Want = Literal["Model", "Adapter"]
HUB = "https://huggingface.co"

_HUB_URI = re.compile(r"hf://(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>[\w][\w.-]*)", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face Hub or of a mirror of it. `revision`: a branch, a tag or a commit."""

    repository: str
    revision: str

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a commit, which never moves."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


@dataclass(frozen=True)
class Settings:
    """One fetch.

    Attributes:
        uri: of the source, as the user wrote it.
        want: what it is for, which decides which files are needed.
        digest: which it must have, as `listing.digest_of` makes it; empty for any.
        claim: where the claim is mounted.
        endpoint: the hub's address, without a slash at its end.
        is_offline: nobody is asked: only what lies on the claim is used.
        token: for the hub; empty for none.
        port: on which progress is told; 0 for none.
    """

    uri: str
    source: HubSource
    want: Want
    digest: str
    claim: Path
    endpoint: str
    is_offline: bool
    token: str
    port: int


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Invalid naming the variable that is wrong."""
    uri, want = environment.get("DEEPSEEK_SOURCE_URI", ""), environment.get("DEEPSEEK_SOURCE_WANT") or "Model"
    claim, digest = environment.get("DEEPSEEK_SOURCE_CLAIM", ""), environment.get("DEEPSEEK_SOURCE_DIGEST", "")
    endpoint = (environment.get("HF_ENDPOINT") or HUB).rstrip("/")
    port = environment.get("DEEPSEEK_PROGRESS_PORT") or "0"
    if want not in ("Model", "Adapter"):
        raise Invalid(f"DEEPSEEK_SOURCE_WANT is {want[:200]!r}; write Model or Adapter")
    if not claim:
        raise Invalid("DEEPSEEK_SOURCE_CLAIM is empty; write the folder where the claim is mounted, for example /claim")
    if digest and not _DIGEST.fullmatch(digest):
        raise Invalid(f"DEEPSEEK_SOURCE_DIGEST is {digest[:200]!r}; write {digest_of(())[:7]}<64 hex digits>")
    if not re.fullmatch(r"https?://[^\s@/?#]+(/[^\s?#]*)?", endpoint):
        raise Invalid(f"HF_ENDPOINT is {endpoint[:200]!r}; write the mirror's address, for example {HUB}")
    if not re.fullmatch(r"[0-9]{1,5}", port):
        raise Invalid(f"DEEPSEEK_PROGRESS_PORT is {port[:200]!r}; write a TCP port")
    return Settings(
        uri=uri,
        source=_source(uri),
        want="Adapter" if want == "Adapter" else "Model",
        digest=digest,
        claim=Path(claim),
        endpoint=endpoint,
        is_offline=environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"),
        token=environment.get("HF_TOKEN", ""),
        port=int(port),
    )


def _source(uri: str) -> HubSource:
    if (hub := _HUB_URI.fullmatch(uri)) is not None:
        return HubSource(hub["repository"], hub["revision"])
    raise Invalid(
        f"DEEPSEEK_SOURCE_URI is {uri[:200]!r}; write hf://<organisation>/<model>@<branch, tag or commit>, for example "
        "hf://deepseek-ai/DeepSeek-V3@main"
    )
