"""What is recorded of a source that is fetched to a claim."""

from pydantic import Field

from deepseek_operator.api.base import StatusModel


class FetchStatus(StatusModel):
    """A source on its way to a claim, or there."""

    uri: str = Field(default="", description="As the spec has it. Example: hf://deepseek-ai/DeepSeek-V2-Lite@main.")
    phase: str = Field(default="", description="Running, BackingOff or Complete.")
    message: str = Field(default="", description="Why the last try brought nothing.")
    reason: str = Field(default="", description="The same in one word. Example: SourceUnavailable.")
    claim_name: str = Field(default="", description="The claim that it is kept on.")
    sub_path: str = Field(default="", description="Its folder on the claim, once it is there.")
    revision: str = Field(
        default="", description="What the source's name was resolved to: a commit, or a digest of what a bucket lists."
    )
    digest: str = Field(
        default="",
        description="Over the lines `<sha256>  <path>` of all files, as sha256sum prints them, sorted by path.",
    )
    size_bytes: int = Field(default=0, description="Bytes of all files.")
    read_bytes_per_second: int = Field(
        default=0,
        description="At which rate it was read from the claim, by a part of its largest file; 0 where that is too short to tell.",
    )
    progress: str = Field(
        default="",
        description="How far it is, at most twice a minute. Example: 3.2 GiB of 14.2 GiB, 210.0 MiB/s, 52 s left.",
    )
    observed_at: str = Field(default="", description="When that was, RFC 3339.")
    evicted: list[str] = Field(
        default_factory=list,
        max_length=16,
        description="Folders below sources/ that went from the claim for it to have room, the last 16. Example: hf/deepseek-ai--DeepSeek-V2-Lite/604d5664 (29.3 GiB).",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    attempt: int = Field(default=1, description="The how-maniest try it is.")
    not_before: str = Field(default="", description="When it is tried again, RFC 3339.")
    job: str = Field(default="", description="The Job of this try.")
    job_uid: str = Field(default="", alias="jobUID", description="uid of that Job.")
    reference: str = Field(default="", description="Digest of what is wanted; another one is fetched anew.")
