"""What lies in a repository of the Hugging Face Hub, or of a mirror that speaks its API, at one commit.

A branch or a tag is resolved to the commit that it names now; from then on only that commit is asked for. Of files in LFS
or Xet the hub promises the sha256, of others what Git names the blob by.
"""

from dataclasses import replace
from typing import Any

from deepseek_runtime.fetcher.failures import Failure, NotThere, Refused, Unavailable
from deepseek_runtime.fetcher.listing import File, Listing, checked
from deepseek_runtime.fetcher.settings import HubSource, Settings
from deepseek_runtime.fetcher.wanted import chosen

_TIMEOUT_S = 60.0
_REFUSALS = (401, 403)


def listed(settings: Settings, source: HubSource) -> Listing:
    """Asks the hub. Raises Failure: NotThere, Refused or Unavailable."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    try:
        api = HfApi(endpoint=settings.endpoint, token=settings.token or False)
        found = api.repo_info(
            source.repository, revision=source.revision, repo_type=source.kind, files_metadata=True, timeout=_TIMEOUT_S
        )
    except (HfHubHTTPError, HFValidationError) as error:
        raise _failure(settings, source, error) from error
    except (OSError, ValueError, HTTPError) as error:
        raise Unavailable(f"{settings.endpoint} does not answer: {type(error).__name__}: {error}"[:500]) from error
    commit = str(found.sha or "")
    if len(commit) != 40 or not set(commit) <= set("0123456789abcdef"):
        raise Unavailable(f"{settings.endpoint} names no commit for {settings.uri}")
    files = [_file(settings, source, commit, one) for one in found.siblings or ()]
    whole = checked(source.place, commit, files)
    return replace(whole, files=tuple(chosen(whole.files, settings)))


def headers(settings: Settings) -> dict[str, str]:
    """Of requests for files."""
    return {"Authorization": f"Bearer {settings.token}"} if settings.token else {}


def _file(settings: Settings, source: HubSource, commit: str, told: Any) -> File:
    from huggingface_hub import hf_hub_url

    lfs = dict(told.lfs or {})
    size = lfs.get("size") if lfs else told.size
    if not isinstance(size, int) or size < 0:
        raise Unavailable(f"{settings.endpoint} tells no size of {told.rfilename} in {settings.uri}")
    promise = f"sha256:{lfs['sha256']}" if lfs.get("sha256") else f"git:{told.blob_id}" if told.blob_id else ""
    url = hf_hub_url(
        source.repository, told.rfilename, repo_type=source.kind, revision=commit, endpoint=settings.endpoint
    )
    return File(told.rfilename, size, promise, url)


def _failure(settings: Settings, source: HubSource, error: Exception) -> Failure:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    by = "with its token" if settings.token else "without a token"
    if isinstance(error, RevisionNotFoundError):
        told = f"{settings.endpoint} has no branch, tag or commit {source.revision} of {source.repository}"
        kind = "datasets/" if source.kind == "dataset" else ""
        return NotThere(f"{told}; write one that it has, for example hf://{kind}{source.repository}@main")
    if isinstance(error, GatedRepoError):
        return Refused(
            f"{settings.endpoint} lets nobody read {source.repository} {by}: its conditions must be accepted by the "
            "account whose token the Secret of source.credentials holds"
        )
    status = getattr(getattr(error, "response", None), "status_code", 0)
    # The hub answers 401 for a name that it does not know, so as not to tell which private ones there are.
    if isinstance(error, RepositoryNotFoundError):
        told = f"{settings.endpoint} has no repository {source.repository}, or none that may be read {by}"
        return Refused(told) if status in _REFUSALS else NotThere(f"{told}; correct its name")
    if status in _REFUSALS:
        return Refused(f"{settings.endpoint} answers {status} for {source.repository} {by}")
    if isinstance(error, HFValidationError):
        return NotThere(f"{source.repository} is no name of a repository: {error}")
    return Unavailable(f"{settings.endpoint} answers {status or type(error).__name__} for {source.repository}")
