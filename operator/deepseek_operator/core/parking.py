"""Why an object is left alone, and what to do about it; the same for every kind, which never says it itself."""

INTERNAL_ERROR, TOO_LARGE = "InternalError", "TooLarge"

INTERNAL_ERROR_ADVICE = (
    "Read the operator's log, which has the error once in full, and report it; an edit of the resource, or some minutes, "
    "have it tried again. Other resources go on."
)
TOO_LARGE_ADVICE = "Write less in the field that the message names; until then nothing is done for this resource."
