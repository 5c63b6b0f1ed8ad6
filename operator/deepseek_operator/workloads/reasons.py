"""Causes that every kind tells by one name. What a person does about each is the kind's to say, for it names its fields.

The names are part of the public contract: alerts and scripts match them.
"""

WAITING_FOR_QUOTA = "WaitingForQuota"
FORBIDDEN = "Forbidden"
REJECTED = "Rejected"
WAITING_FOR_CAPACITY = "WaitingForCapacity"
IMAGE_PULL_FAILED = "ImagePullFailed"
CONFIGURATION_MISSING = "ConfigurationMissing"
VOLUME_NOT_MOUNTED = "VolumeNotMounted"
INIT_CONTAINER_FAILED = "InitContainerFailed"

DOES_NOT_FIT = "DoesNotFit"
NEEDS_MULTIPLE_NODES = "NeedsMultipleNodes"
UNKNOWN_PROFILE = "UnknownProfile"
UNSUPPORTED = "Unsupported"
HOST_ACCESS_NOT_ALLOWED = "HostAccessNotAllowed"

WAITING_FOR_PREDECESSOR = "WaitingForPredecessor"
NAME_CONFLICT = "NameConflict"

INTERNAL_ERROR = "InternalError"
TOO_LARGE = "TooLarge"

INTERNAL_ERROR_ADVICE = (
    "Read the operator's log, which has the error once in full, and report it; an edit of the resource, or some minutes, "
    "have it tried again. Other resources go on."
)
TOO_LARGE_ADVICE = "Write less in the field that the message names; until then nothing is done for this resource."
