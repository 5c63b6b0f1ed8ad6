"""Causes that every kind tells by one name, and what a person does about each, said once.

Of a cause whose remedy is a field of the kind (another image, fewer devices) the kind says itself what to do.

The names are part of the public contract: alerts and scripts match them.
"""

from collections.abc import Mapping

WAITING_FOR_QUOTA = "WaitingForQuota"
FORBIDDEN = "Forbidden"
REJECTED = "Rejected"
WAITING_FOR_API = "WaitingForAPI"
WAITING_FOR_CLAIM = "WaitingForClaim"
WAITING_FOR_CAPACITY = "WaitingForCapacity"
IMAGE_PULL_FAILED = "ImagePullFailed"
CONFIGURATION_MISSING = "ConfigurationMissing"
VOLUME_NOT_MOUNTED = "VolumeNotMounted"
INIT_CONTAINER_FAILED = "InitContainerFailed"

FETCHING = "Fetching"
SOURCE_NOT_FOUND = "SourceNotFound"
SOURCE_REFUSED = "SourceRefused"
SOURCE_NOT_ALLOWED = "SourceNotAllowed"
SOURCE_CORRUPT = "SourceCorrupt"
SOURCE_UNAVAILABLE = "SourceUnavailable"
CLAIM_FULL = "ClaimFull"
FETCH_FAILED = "FetchFailed"

DOES_NOT_FIT = "DoesNotFit"
NEEDS_MULTIPLE_NODES = "NeedsMultipleNodes"
UNKNOWN_PROFILE = "UnknownProfile"
UNSUPPORTED = "Unsupported"
HOST_ACCESS_NOT_ALLOWED = "HostAccessNotAllowed"

WAITING_FOR_PREDECESSOR = "WaitingForPredecessor"
NAME_CONFLICT = "NameConflict"

INTERNAL_ERROR = "InternalError"
TOO_LARGE = "TooLarge"

ADVICE: Mapping[str, str] = {
    WAITING_FOR_QUOTA: "Raise the namespace's quota, free some of it, ask for less, or write the resources that it makes obligatory.",
    FORBIDDEN: "Ask an administrator: RBAC or an admission policy refuses what the operator wants to make.",
    REJECTED: "Edit the spec: the API server refuses the object that it leads to, in the message's words.",
    WAITING_FOR_API: "Install what the message names, give the operator the right that it names, or edit the spec so that it does without.",
    WAITING_FOR_CLAIM: "Create the PersistentVolumeClaim that the message names.",
    CONFIGURATION_MISSING: "Create the Secret or other object that the message names, or correct its name in the spec.",
    VOLUME_NOT_MOUNTED: "Look at that volume's claim, and at the storage behind it.",
    INIT_CONTAINER_FAILED: "Read that container's log; it comes from the accelerator's profile or from a webhook of the cluster.",
    FETCHING: "Wait until the source is on its claim.",
    SOURCE_NOT_FOUND: "Edit the source as the message says; it is tried again meanwhile.",
    SOURCE_REFUSED: "Write a Secret as the source's credentials whose token or keys may read it, or correct that Secret.",
    SOURCE_NOT_ALLOWED: "Write another source, or ask an administrator to add the address that the message names to sources.web.allowed in the chart's values.",
    SOURCE_CORRUPT: "Let whoever runs the mirror or the server look: what it sends is not what it promises. The rest is kept for the next try.",
    SOURCE_UNAVAILABLE: "Nothing, if it lasts no longer: it goes on where it was. Else let an administrator look at the address, sources.hub.endpoint or sources.s3.endpoint in the chart's values, or at the web server.",
    CLAIM_FULL: "Grow the claim, free some of it, or annotate it with deepseek-operator.io/evict=LastUse, so that what was fetched and nothing names any more goes: nothing is begun that has no room.",
    FETCH_FAILED: "Read the message and the log of the Job that status.sources names; what has come is kept for the next try.",
    UNKNOWN_PROFILE: "Write one of the profiles that the message names, or ask the administrator to add one.",
    UNSUPPORTED: "Edit the spec as the message says: this device or program can't do what is asked.",
    HOST_ACCESS_NOT_ALLOWED: "Write another accelerator.profile, or ask an administrator to allow this one in the namespace as the message says.",
    WAITING_FOR_PREDECESSOR: "Nothing: an object of a deleted resource of this name is still going.",
    NAME_CONFLICT: "Delete or rename the object that the message names, or rename this resource.",
    INTERNAL_ERROR: "Read the operator's log, which has the error once in full, and report it; an edit of the resource, or some minutes, have it tried again. Other resources go on.",
    TOO_LARGE: "Write less in the field that the message names; until then nothing is done for this resource.",
}
"""What to do, where that is the same for every kind."""
