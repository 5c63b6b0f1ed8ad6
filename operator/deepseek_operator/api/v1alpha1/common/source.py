"""Where files come from."""

from typing import Self

from pydantic import ConfigDict, Field

from deepseek_operator.api.base import ApiModel, ClaimName, ContentDigest, PvcUri, SourceUri, rule, rules

CLAIM_SCHEME = "pvc://"
HUB_SCHEME = "hf://"
S3_SCHEME = "s3://"
WEB_SCHEMES = ("https://", "http://")
_PLACE_LENGTH = 200
"""Of the name of a folder on the claim; as `deepseek_runtime.fetcher` cuts it."""


def is_place(claim: str, path: str = "") -> bool:
    """True for what can be a claim's name and a folder of it; an empty path is its root."""
    try:
        ClaimSource(uri=f"pvc://{claim}/{path}" if path else f"pvc://{claim}")
    except ValueError:
        return False
    return "/" not in claim


class ClaimSource(ApiModel):
    """A folder of an existing PersistentVolumeClaim in the resource's own namespace."""

    uri: PvcUri = Field(description="pvc://<claim>/<path inside the volume>. Example: pvc://models/deepseek-v2-lite.")

    @property
    def claim(self) -> str:
        """Name of the claim."""
        return str(self.uri).removeprefix(CLAIM_SCHEME).partition("/")[0]

    @property
    def path(self) -> str:
        """Path inside the volume; empty for its root."""
        return str(self.uri).removeprefix(CLAIM_SCHEME).partition("/")[2]


class KeptSource(ApiModel):
    """A folder of a claim, or what is fetched to a claim once and kept there: what a model and data have in common."""

    uri: str
    claim_name: ClaimName | None = Field(
        default=None,
        description="The claim of this namespace that what is fetched is kept on, below sources/: once for a revision, whoever asks. Of several nodes: ReadWriteMany. Example: models.",
    )
    credentials: ClaimName | None = Field(
        default=None,
        description="A Secret of this namespace which only the pod that fetches gets: with the entry token for hf:// and for https://, which gets it as a Bearer, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, and AWS_SESSION_TOKEN where there is one. Absent: none is sent. Example: hugging-face.",
    )
    digest: ContentDigest | None = Field(
        default=None,
        description="Which the content must have, as status.sources shows it; another one is refused. Absent: any of that revision.",
    )

    @property
    def is_fetched(self) -> bool:
        """Whether it is to be brought to a claim first."""
        return str(self.uri).startswith((HUB_SCHEME, S3_SCHEME, *WEB_SCHEMES))

    @property
    def claim(self) -> str:
        """Name of the claim that it lies on, or will; empty for what lies on none."""
        if self.is_fetched:
            return self.claim_name or ""
        scheme, _, rest = str(self.uri).partition("://")
        return rest.partition("/")[0] if f"{scheme}://" == CLAIM_SCHEME else ""

    @property
    def path(self) -> str:
        """Path inside the volume of what lies on a claim; empty for its root, and for what is fetched."""
        return str(self.uri).removeprefix(CLAIM_SCHEME).partition("/")[2] if self.claim and not self.is_fetched else ""

    @property
    def is_in_bucket(self) -> bool:
        """Whether it lies in S3, or what speaks its protocol."""
        return str(self.uri).startswith(S3_SCHEME)

    @property
    def is_on_web(self) -> bool:
        """Whether it lies on a web server, of which the administrator must allow it."""
        return str(self.uri).startswith(WEB_SCHEMES)

    @property
    def place(self) -> str:
        """Of what is fetched, the folder of all its revisions on the claim; as `deepseek_runtime.fetcher` names it."""
        if self.is_in_bucket:
            return f"sources/s3/{self._root.replace('/', '--')[:_PLACE_LENGTH]}"
        if self.is_on_web:
            root = str(self.uri).partition("://")[2].rpartition("/")[0].replace(":", "-")
            return f"sources/web/{root.replace('/', '--')[:_PLACE_LENGTH]}"
        repository = str(self.uri).removeprefix(HUB_SCHEME).partition("@")[0]
        return f"sources/hf/{repository.replace('/', '--')}"

    @property
    def selection(self) -> str:
        """Of what is fetched, the path in that folder that is wanted; empty for all of it."""
        return ""

    @property
    def _root(self) -> str:
        """Bucket and prefix below which the paths of its files begin."""
        return str(self.uri).removeprefix(S3_SCHEME)

    def on_claim(self, sub_path: str) -> Self:
        """The same as it lies on its claim, once it was fetched to that folder."""
        place = "/".join(filter(None, (self.claim, sub_path, self.selection)))
        kept = {"uri": f"{CLAIM_SCHEME}{place}", "claim_name": None, "credentials": None, "digest": None}
        return self.model_copy(update=kept)


class ModelSource(KeptSource):
    """A folder of a claim, or one that is fetched to a claim once and kept there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.uri.startsWith('pvc://') ? !has(self.claimName) && !has(self.credentials) && !has(self.digest) : "
                "has(self.claimName)",
                "a source that is fetched needs claimName, the claim that it is kept on, and may have credentials and digest; a "
                "folder of a claim (pvc://) has none of them",
            )
        )
    )

    uri: SourceUri = Field(
        description="pvc://<claim>/<path inside the volume>; or hf://<organisation>/<model>@<branch, tag or commit>, which is fetched from the Hugging Face Hub, or the administrator's mirror of it, at the commit that it names then; or s3://<bucket>/<prefix>, all that lies below that prefix now, in the administrator's S3; or https://<host>/<folder>/, where the administrator allows it, the files that its SHA256SUMS names now. Example: hf://deepseek-ai/DeepSeek-V2-Lite@main.",
    )
