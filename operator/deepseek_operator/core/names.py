"""Names, labels, owner references and digests. They can never change: a stored object carries them.

An owner's name has at most 40 characters (the CRD says so), so that every name below stays within the 63 of
a DNS label, pod host names `<job>-<completion index>` included. Children that bear data (Job, PVC) carry six hex
digits of the owner's uid: a resource recreated under the same name never meets the data of its predecessor.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from deepseek_operator.api.resource import GROUP, Family, Resource

try:
    import orjson
except ModuleNotFoundError:  # Whoever renders manifests and nothing else needs none of the operator's libraries.
    _IS_QUICK = False
else:
    _IS_QUICK = True

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "deepseek-operator"
OWNER_UID = f"{GROUP}/owner-uid"
ATTEMPT_LABEL = f"{GROUP}/attempt"
REVISION_LABEL = f"{GROUP}/revision"
ROLE_LABEL = f"{GROUP}/role"
APPLIED = f"{GROUP}/applied"
FIELD_MANAGER = "deepseek-operator"

_slowly = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
# Made once: `json.dumps` makes an encoder of what differs from its usual settings at each call, and a pass asks for 25 digests.
_FRACTIONS = [re.compile(before + rb"-?[0-9]+[.e]") for before in (rb'":', rb"\[", rb",")]
# Three, since a pattern is found fast by the letter that it begins with: with one of three beginnings it takes longer than
# the standard library's JSON.

_UID_DIGITS = 6
_REVISION_DIGITS = 10


def digest(value: object, digits: int = 16) -> str:
    """First hex digits of the SHA-256 of the canonical JSON of `value`: keys sorted, no white space, ASCII only.

    The same value gives the same digest in every process and release; a test holds ten of them frozen.
    """
    return hashlib.sha256(_canonical(value)).hexdigest()[:digits]


def _canonical(value: object) -> bytes:
    """As the standard library writes it. orjson does the same in a quarter of the time, but for small fractions (0.00001
    for 1e-05), what is not ASCII, the character 127, and what it refuses: integers beyond 64 bits, half a character."""
    if not _IS_QUICK:
        return _slowly(value).encode()
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return _slowly(value).encode()
    is_same = text.isascii() and b"\x7f" not in text and not any(one.search(b"[" + text) for one in _FRACTIONS)
    return text if is_same else _slowly(value).encode()


def uid_hash(uid: str) -> str:
    """Six hex digits of an owner's uid."""
    return hashlib.sha256(uid.encode()).hexdigest()[:_UID_DIGITS]


def revision_hash(user_input: object) -> str:
    """Ten hex digits of the resolved user input of a revision; never of anything the operator's code decides."""
    return digest(user_input, _REVISION_DIGITS)


HANDED_ON = ("app.kubernetes.io/part-of", "kueue.x-k8s.io/priority-class", "kueue.x-k8s.io/queue-name")
"""Labels by which other systems know what belongs to a resource: an application's parts, Kueue's queue and priority."""


def handed_on(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a resource's own labels that its Jobs or Deployments carry as well."""
    return {key: labels[key] for key in HANDED_ON if key in labels}


def family_of(owner: Resource) -> Family:
    """What the children of that kind of owner have in common. ValueError: it is no kind of the operator's."""
    if owner.family is None:
        raise ValueError(f"{owner.kind} owns nothing of the operator's")
    return owner.family


def owner_label(owner: Resource) -> str:
    """The label in which a child bears the owner's name."""
    return f"{GROUP}/{family_of(owner).word}"


def child_name(owner: Resource, name: str) -> str:
    """The shortest name of a child of the owner of that name; others have `-…` behind it."""
    return f"{name}-{family_of(owner).suffix}"


def owner_labels(resource: Resource, name: str, uid: str) -> dict[str, str]:
    """Labels of every child and pod of an owner; `OWNER_UID` is what the operator selects by."""
    return {
        MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": f"deepseek-{family_of(resource).word}",
        "app.kubernetes.io/instance": name,
        owner_label(resource): name,
        OWNER_UID: uid,
    }


def owner_reference(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """The controlling ownerReference: the garbage collector removes the child with its owner."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
