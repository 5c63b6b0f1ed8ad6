"""What a fetch is told by its environment: the source, the claim, and by whose mirror.

DEEPSEEK_SOURCE_AUTHORITIES has, in PEM, those whose certificates are believed beside the ones that the image trusts.
DEEPSEEK_SOURCE_ALLOWED names the addresses of the web that may be asked, with a space between two, and DEEPSEEK_SOURCE_TOKEN is the
token for the source's. HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN are those that Hugging Face's own programs read; AWS_ENDPOINT_URL, AWS_REGION and the
keys, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, those of Amazon's.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from deepseek_runtime.contract import Invalid
from deepseek_runtime.fetcher.access import NOWHERE, Access, is_allowable
from deepseek_runtime.fetcher.eviction import Usage
from deepseek_runtime.fetcher.listing import digest_of

Want = Literal["Model", "Adapter", "Data"]
WANTS: tuple[Want, ...] = get_args(Want)
HUB = "https://huggingface.co"
REGION = "us-east-1"
_PLACE_LENGTH = 200
"""Of a folder's name, which file systems end at 255 bytes."""
_PART_DIGITS = 12

_NAMED = r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<revision>[\w-][\w.-]*)"
_BUCKET = r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])"
_STEP, _MATCHING_STEP = r"[\w-][\w.-]*", r"[\w*?-][\w.*?-]*"
_HUB_URI = re.compile(rf"hf://{_NAMED}", re.ASCII)
_BUCKET_URI = re.compile(rf"{_BUCKET}/(?P<prefix>{_STEP}(?:/{_STEP})*)", re.ASCII)
_DATA_HUB_URI = re.compile(
    rf"hf://datasets/{_NAMED}(?:/(?P<selection>{_MATCHING_STEP}(?:/{_MATCHING_STEP})*))?", re.ASCII
)
_DATA_BUCKET_URI = re.compile(rf"{_BUCKET}/(?P<path>{_MATCHING_STEP}(?:/{_MATCHING_STEP})*)", re.ASCII)
_WEB = r"https?://[a-z0-9][a-z0-9.-]*(?::[1-9][0-9]{0,4})?"
_WEB_URI = re.compile(rf"(?P<address>{_WEB}/(?:{_STEP}/)*)", re.ASCII)
_DATA_WEB_URI = re.compile(rf"{_WEB_URI.pattern}(?P<selection>{_STEP})?", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class HubSource:
    """A repository of the Hugging Face Hub or of a mirror of it.

    Attributes:
        revision: a branch, a tag or a commit.
        kind: as the hub's API calls it.
        selection: the path of what is wanted of it; empty for all.
    """

    repository: str
    revision: str
    kind: Literal["model", "dataset"] = "model"
    selection: str = ""

    @property
    def place(self) -> str:
        """The folder of all its revisions, below that of all sources."""
        kind = "datasets--" if self.kind == "dataset" else ""
        return f"hf/{kind}{self.repository.replace('/', '--')}"

    def folder(self, commit: str) -> str:
        """The folder of a commit there: a part of it has one of its own."""
        part = f"-{sha256(self.selection.encode()).hexdigest()[:_PART_DIGITS]}" if self.selection else ""
        return f"{commit}{part}"

    @property
    def is_commit(self) -> bool:
        """Whether the revision is a commit, which never moves."""
        return re.fullmatch(r"[0-9a-f]{40}", self.revision) is not None


@dataclass(frozen=True)
class BucketSource:
    """All that lies below a prefix of a bucket, or what `selection` names there."""

    bucket: str
    prefix: str
    selection: str = ""

    @property
    def place(self) -> str:
        """The folder of all its revisions, below that of all sources."""
        root = f"{self.bucket}/{self.prefix}".strip("/")
        return f"s3/{root.replace('/', '--')[:_PLACE_LENGTH]}"

    def folder(self, revision: str) -> str:
        """The folder of a revision there, which is one of the files that are wanted."""
        return revision


@dataclass(frozen=True)
class WebSource:
    """A folder of a web server whose SHA256SUMS names the files, or one file of it, which `selection` names.

    Attributes:
        address: of the folder, with a slash at its end.
    """

    address: str
    selection: str = ""

    @property
    def place(self) -> str:
        """The folder of all its revisions, below that of all sources."""
        root = self.address.partition("://")[2].strip("/").replace(":", "-")
        return f"web/{root.replace('/', '--')[:_PLACE_LENGTH]}"

    def folder(self, revision: str) -> str:
        """The folder of a revision there, which is one of the files that are wanted."""
        return revision


Source = HubSource | BucketSource | WebSource


@dataclass(frozen=True)
class Settings:
    """One fetch.

    Attributes:
        uri: of the source, as the user wrote it.
        want: what it is for, which decides which files are needed.
        digest: which it must have, as `listing.digest_of` makes it; empty for any.
        claim: where the claim is mounted.
        endpoint: the hub's address, without a slash at its end.
        is_offline: the hub is not asked: only what lies on the claim is used.
        token: for the hub, or the web server; empty for none.
        s3_endpoint: that of S3; empty: Amazon's of the region.
        has_keys: whether requests to S3 are signed, by the keys of the environment.
        port: on which progress is told; 0 for none.
        claim_uid: of the claim, by which folders tell who asked for them; empty where nobody says.
        access: which addresses of the web may be asked.
        authorities: in PEM, whose certificates are believed beside those that the image trusts; empty for none.
        usage: which folders of the claim are in use, where others may go for room; None: none may.
    """

    uri: str
    source: Source
    want: Want
    digest: str
    claim: Path
    endpoint: str
    is_offline: bool
    token: str
    s3_endpoint: str
    region: str
    has_keys: bool
    port: int
    claim_uid: str = ""
    usage: Usage | None = None
    access: Access = NOWHERE
    authorities: str = ""

    def folder(self, revision: str) -> str:
        """The folder of a revision below its place. Of one revision an adapter has other files than a model, and the folder of
        one would pass for the other's; where a revision is one of the wanted files alone, it tells them apart by itself."""
        name = self.source.folder(revision)
        if self.want != "Adapter" or isinstance(self.source, WebSource):
            return name
        return f"{name}-{sha256(self.want.encode()).hexdigest()[:_PART_DIGITS]}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Raises Invalid naming the variable that is wrong."""
    uri, want = environment.get("DEEPSEEK_SOURCE_URI", ""), environment.get("DEEPSEEK_SOURCE_WANT") or "Model"
    claim, digest = environment.get("DEEPSEEK_SOURCE_CLAIM", ""), environment.get("DEEPSEEK_SOURCE_DIGEST", "")
    endpoint = (environment.get("HF_ENDPOINT") or HUB).rstrip("/")
    port = environment.get("DEEPSEEK_PROGRESS_PORT") or "0"
    if want not in WANTS:
        raise Invalid(f"DEEPSEEK_SOURCE_WANT is {want[:200]!r}; write one of {', '.join(WANTS)}")
    if not claim:
        raise Invalid("DEEPSEEK_SOURCE_CLAIM is empty; write the folder where the claim is mounted, for example /claim")
    if digest and not _DIGEST.fullmatch(digest):
        raise Invalid(f"DEEPSEEK_SOURCE_DIGEST is {digest[:200]!r}; write {digest_of(())[:7]}<64 hex digits>")
    s3_endpoint = environment.get("AWS_ENDPOINT_URL", "").rstrip("/")
    for name, address in (("HF_ENDPOINT", endpoint), ("AWS_ENDPOINT_URL", s3_endpoint or HUB)):
        if not re.fullmatch(r"https?://[^\s@/?#]+(/[^\s?#]*)?", address):
            raise Invalid(f"{name} is {address[:200]!r}; write an address, for example {HUB}")
    if not re.fullmatch(r"[0-9]{1,5}", port):
        raise Invalid(f"DEEPSEEK_PROGRESS_PORT is {port[:200]!r}; write a TCP port")
    source = _data(uri) if want == "Data" else _source(uri)
    return Settings(
        uri=uri,
        source=source,
        want=want,
        digest=digest,
        claim=Path(claim),
        endpoint=endpoint,
        is_offline=environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"),
        token=environment.get("DEEPSEEK_SOURCE_TOKEN" if isinstance(source, WebSource) else "HF_TOKEN", ""),
        s3_endpoint=s3_endpoint,
        region=environment.get("AWS_REGION") or REGION,
        has_keys=bool(environment.get("AWS_ACCESS_KEY_ID")),
        port=int(port),
        claim_uid=environment.get("DEEPSEEK_CLAIM_UID", ""),
        usage=_usage(environment),
        access=_access(environment.get("DEEPSEEK_SOURCE_ALLOWED", "")),
        authorities=environment.get("DEEPSEEK_SOURCE_AUTHORITIES", ""),
    )


def _access(text: str) -> Access:
    for prefix in text.split():
        if not is_allowable(prefix):
            raise Invalid(
                f"DEEPSEEK_SOURCE_ALLOWED has {prefix[:200]!r}; write an address, for example https://artifacts.example.org/models"
            )
    return Access(tuple(text.split()))


def _usage(environment: Mapping[str, str]) -> Usage | None:
    """DEEPSEEK_CLAIM_USAGE: what is named below `sources/`, when that was so, and kinds of source that can't be fetched again."""
    text, uid = environment.get("DEEPSEEK_CLAIM_USAGE", ""), environment.get("DEEPSEEK_CLAIM_UID", "")
    if not text:
        return None
    try:
        said = json.loads(text)
        named, spared = (tuple(str(one) for one in said[name]) for name in ("named", "spared"))
        looked_at = float(said["lookedAt"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Invalid(
            f"DEEPSEEK_CLAIM_USAGE is {text[:200]!r} ({error}); write what is named, lookedAt and what is spared as JSON"
        ) from error
    if not uid:
        raise Invalid("DEEPSEEK_CLAIM_UID is empty; write the uid of the claim of which DEEPSEEK_CLAIM_USAGE tells")
    return Usage(uid, named, looked_at, frozenset(spared))


def _source(uri: str) -> Source:
    if (hub := _HUB_URI.fullmatch(uri)) is not None:
        return HubSource(hub["repository"], hub["revision"])
    if (bucket := _BUCKET_URI.fullmatch(uri)) is not None:
        return BucketSource(bucket["bucket"], bucket["prefix"])
    if (web := _WEB_URI.fullmatch(uri)) is not None:
        return WebSource(web["address"])
    raise Invalid(
        f"DEEPSEEK_SOURCE_URI is {uri[:200]!r}; write hf://<organisation>/<model>@<branch, tag or commit>, for example "
        "hf://deepseek-ai/DeepSeek-V3@main, or s3://<bucket>/<prefix>, or https://<host>/<folder>/"
    )


def _data(uri: str) -> Source:
    """A bucket's path is divided where the first pattern stands, or the file or the folder that is named: whether it is the
    one or the other only the bucket knows."""
    if (hub := _DATA_HUB_URI.fullmatch(uri)) is not None:
        return HubSource(hub["repository"], hub["revision"], "dataset", hub["selection"] or "")
    if (bucket := _DATA_BUCKET_URI.fullmatch(uri)) is not None:
        steps = str(bucket["path"]).split("/")
        cut = next((at for at, step in enumerate(steps) if {"*", "?"} & set(step)), len(steps) - 1)
        return BucketSource(bucket["bucket"], "/".join(steps[:cut]), "/".join(steps[cut:]))
    if (web := _DATA_WEB_URI.fullmatch(uri)) is not None:
        return WebSource(web["address"], web["selection"] or "")
    raise Invalid(
        f"DEEPSEEK_SOURCE_URI is {uri[:200]!r}; write hf://datasets/<organisation>/<dataset>@<branch, tag or commit>/<file, "
        "folder or pattern>, for example hf://datasets/HuggingFaceH4/ultrachat_200k@main/data/train_sft-*.parquet, or s3://<bucket>/<the same>, or https://<host>/<file, or folder/>"
    )
