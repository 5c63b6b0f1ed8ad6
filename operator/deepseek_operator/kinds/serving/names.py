"""Names of a serving's children. They can never change: a stored object carries them."""

from deepseek_operator.api.v1alpha1.serving.definition import SERVING
from deepseek_operator.core.names import child_name, digest


def serving_revision(name: str, revision: str) -> str:
    """Deployment, ControllerRevision and Service of one revision."""
    return f"{child_name(SERVING, name)}-{revision}"


def serving_service(name: str) -> str:
    """The Service that users call, and the HorizontalPodAutoscaler and PodDisruptionBudget beside it."""
    return child_name(SERVING, name)


def serving_exam(name: str, uid: str, *what: object) -> str:
    """Job of one try of an exam: of the run, the step, the revision and all else that tells it from others.

    As a digest: `-0`, which an Indexed Job's pod has behind it in its host name, is all that there is room for.
    """
    return f"{child_name(SERVING, name)}-exam-{digest([uid, *what], 8)}"
