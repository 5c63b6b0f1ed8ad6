"""Where files come from."""

from pydantic import Field

from deepseek_operator.api.base import ApiModel, PvcUri


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
        return str(self.uri).removeprefix("pvc://").partition("/")[0]

    @property
    def path(self) -> str:
        """Path inside the volume; empty for its root."""
        return str(self.uri).removeprefix("pvc://").partition("/")[2]
