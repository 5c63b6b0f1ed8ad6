"""Names of resource types: the API server's own, and the operator's kinds with the marks by which their objects are known."""

from dataclasses import dataclass, field

GROUP = "deepseek-operator.io"
VERSION = "v1alpha1"

OWNER_NAME_LENGTH = 40
"""Characters of an owner's name: those of its children add up to 23, and must stay DNS labels of at most 63."""


@dataclass(frozen=True)
class Family:
    """How the children of one kind of owner are told from everybody else's. It can never change: stored objects carry it.

    Attributes:
        word: the kind in labels, metrics and tables: `deepseek-operator.io/<word>: <owner's name>`.
        suffix: children are named `<owner's name>-<suffix>`, alone or with `-…` behind.
        ends_loose_pods: a pod that nothing controls any more is ended with its owner; otherwise it was set apart by a
            person, as one does to look into it, and is theirs.
    """

    word: str
    suffix: str
    ends_loose_pods: bool = False


@dataclass(frozen=True, eq=False)
class Resource:
    """One namespaced resource type: `api_version` as in a manifest, `plural` as in a URL.

    Two of the same version, kind and plural are equal. A pass compares and looks up hundreds of them, nearly all of them the
    very same object: so that is asked first, and one text makes the hash.

    Attributes:
        family: of one of the operator's own kinds, what its children have in common; None: it is nobody's owner.
        is_read_whole: watched without a label selector, because users make objects of it that specs name, or that name ours.
        installed_by: what a cluster that doesn't serve it has to install, as the end of "install …"; empty: every cluster
            serves it.
    """

    api_version: str
    kind: str
    plural: str
    family: Family | None = field(default=None, repr=False)
    is_read_whole: bool = field(default=False, repr=False)
    installed_by: str = field(default="", repr=False)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Resource) and self._named == other._named)

    def __hash__(self) -> int:
        return hash(self.plural)

    def __lt__(self, other: "Resource") -> bool:
        return self._named < other._named

    @property
    def _named(self) -> tuple[str, str, str]:
        return self.api_version, self.kind, self.plural

    @property
    def group(self) -> str:
        """The API group; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def is_owner(self) -> bool:
        """One of the operator's own kinds."""
        return self.family is not None

    @property
    def is_optional(self) -> bool:
        """It may be missing, appear and vanish while the operator runs: that is told to those who want it, no fault."""
        return bool(self.installed_by)

    @property
    def is_watched_whole(self) -> bool:
        """True when every object of it is watched, whoever made it: what users write, and what that names."""
        return self.is_owner or self.is_read_whole


def of_kind(kind: str, plural: str, family: Family) -> Resource:
    """The resource of one of the operator's own kinds."""
    return Resource(f"{GROUP}/{VERSION}", kind, plural, family)
